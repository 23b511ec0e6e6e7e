// Workflows of front ends since 1.39 that contain values for box inputs: these pages made a widget of such an input, with
// four more for its numbers. The inputs take links only, so the values are dropped, before another widget takes them.

import { app } from "../../scripts/app.js";

const TYPE = "BOUNDING_BOX";
const SIDES = 4; // numbers behind a box: x, y, width, height

const isBox = (value) => value !== null && typeof value === "object" && "x" in value && "width" in value;

function withoutBoxes(values) {
    const kept = [];
    for (let place = 0; place < values.length; place++) {
        if (!isBox(values[place])) kept.push(values[place]);
        else for (let side = 0; side < SIDES && typeof values[place + 1] === "number"; side++) place++;
    }
    return kept;
}

app.registerExtension({
    name: "lumosx.BoxValues",
    beforeRegisterNodeDef(nodeType, nodeData) {
        const inputs = Object.values({ ...nodeData.input?.required, ...nodeData.input?.optional });
        if (!nodeData.name.startsWith("LumosX") || !inputs.some(([type]) => type === TYPE)) return;
        const { configure } = nodeType.prototype;
        nodeType.prototype.configure = function (data) {
            if (Array.isArray(data.widgets_values)) data.widgets_values = withoutBoxes(data.widgets_values);
            for (const input of data.inputs ?? []) if (input.type === TYPE) delete input.widget;
            return configure.apply(this, arguments);
        };
    },
});
