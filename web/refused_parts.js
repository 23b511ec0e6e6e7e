// Explains in the page why a part of the workflow did not run.
//
// ComfyUI runs every output that is valid. If a model is missing, a preview of the scene still runs, and the page
// reports a finished job: the refused half of the workflow only gets red outlines.

import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";

const MOST = 4; // refused nodes that are named
const LIFE = 120_000; // milliseconds: a command is to be copied
const TITLES = { en: "A part of the workflow did not run", zh: "工作流的一部分没有运行", "zh-TW": "工作流程的一部分沒有執行" };

function nodeErrors() {
    return app.extensionManager.lastNodeErrors ?? app.lastNodeErrors ?? {};
}

function hasOurNodes(graph) {
    return graph.nodes.some((node) => /^(LumosX|Ingredients)/.test(node.comfyClass ?? "") || (node.subgraph && hasOurNodes(node.subgraph)));
}

function titleOf(id, error) {
    const node = (app.rootGraph ?? app.graph).getNodeById(id);
    return node?.title ?? LiteGraph.registered_node_types[error.class_type]?.title ?? error.class_type;
}

// A LumosX message is complete; ComfyUI's needs its details, but not the list of all existing files.
function reasonOf({ type, message, details }) {
    if (type === "custom_validation_failed") return details.replace(/^\w+ - /, "");
    return `${message}: ${details}`.replace(/ not in [[(][^]*$/, "");
}

function lineOf([id, error]) {
    return `${titleOf(id, error)}: ${error.errors.map(reasonOf).join(" ")}`;
}

api.addEventListener("promptQueued", () => {
    const refused = Object.entries(nodeErrors()).filter(([, error]) => error?.errors?.length);
    if (!refused.length || !hasOurNodes(app.rootGraph ?? app.graph)) return;
    const locale = app.extensionManager.setting.get("Comfy.Locale");
    app.extensionManager.toast.add({
        severity: "error",
        summary: TITLES[locale] ?? TITLES.en,
        detail: refused.slice(0, MOST).map(lineOf).join("\n\n"),
        life: LIFE,
    });
});
