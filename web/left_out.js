// Says at Run which people and garments are left out because their node is muted or bypassed.
//
// The page does not send a muted node, nor the link to it, so the server cannot know that somebody is missing.

import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";
import { forget, tell } from "./notices.js";

const MUTED = 2;
const BYPASSED = 4;
const READERS = new Set(["LumosXScene", "LumosXSubject", "LumosXSceneToVideo", "LumosXPreviewScene", "LumosXAutoScene"]);
const SOURCE = "left out";
const SCENE = "LUMOSX_SCENE";
const TEXTS = {
    en: (slot, title, how) => `${slot} is left out: ${title} is ${how === MUTED ? "muted" : "bypassed"}.`,
    zh: (slot, title, how) => `${slot} 未被使用：“${title}”已被${how === MUTED ? "静音" : "绕过"}。`,
    "zh-TW": (slot, title, how) => `${slot} 未被使用：「${title}」已被${how === MUTED ? "靜音" : "略過"}。`,
};

function* nodesIn(graph, path = "") {
    for (const node of graph.nodes) {
        yield [`${path}${node.id}`, node];
        if (node.subgraph && node.mode !== MUTED && node.mode !== BYPASSED) {
            yield* nodesIn(node.subgraph, `${path}${node.id}:`);
        }
    }
}

function leftOut(node) {
    const found = [];
    node.inputs.forEach((input, place) => {
        if (input.type !== SCENE && input.type !== "IMAGE") return;
        // What has a phrase without an image is said by the run itself.
        if (node.widgets?.find((widget) => widget.name === `${input.name}_phrase`)?.value?.trim()) return;
        const source = node.getInputNode(place);
        if (source && (source.mode === MUTED || source.mode === BYPASSED)) found.push([input, source]);
    });
    return found;
}

function look() {
    forget(({ source }) => source === SOURCE);
    const say = TEXTS[app.extensionManager.setting.get("Comfy.Locale")] ?? TEXTS.en;
    for (const [id, node] of nodesIn(app.rootGraph ?? app.graph)) {
        if (!READERS.has(node.comfyClass) || node.mode === MUTED || node.mode === BYPASSED) continue;
        for (const [input, source] of leftOut(node)) {
            tell(SOURCE, id, node.title, say(input.localized_name ?? input.name, source.title, source.mode));
        }
    }
}

app.registerExtension({
    name: "lumosx.LeftOut",
    setup() {
        api.addEventListener("execution_start", look);
    },
});
