// Inputs that few people change are folded away in Nodes 2.0, under "Show advanced inputs". An input that a workflow
// sets to another value than the default is never hidden: such a node opens unfolded.

import { app } from "../../scripts/app.js";

// The page's value for an input without a setting.
function defaultOf([type, options]) {
    if (options?.default !== undefined) return options.default;
    const choices = Array.isArray(type) ? type : options?.options;
    return choices?.[0];
}

app.registerExtension({
    name: "lumosx.FoldedInputs",
    beforeRegisterNodeDef(nodeType, { name, input }) {
        if (!/^(LumosX|Ingredients)/.test(name)) return;
        const declared = Object.entries({ ...input?.required, ...input?.optional });
        const folded = new Map(
            declared.filter(([, [, options]]) => options?.advanced).map(([key, spec]) => [key, defaultOf(spec)]),
        );
        if (!folded.size) return;
        const { onConfigure } = nodeType.prototype;
        nodeType.prototype.onConfigure = function (...given) {
            const answer = onConfigure?.apply(this, given);
            const changed = ({ name, value }) => folded.has(name) && value !== folded.get(name);
            if (this.widgets?.some(changed)) this.showAdvanced = true;
            return answer;
        };
    },
});
