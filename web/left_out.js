// Warns at Run about subjects and images that do not reach their node because a node before it is muted or bypassed.
//
// The page does not send a muted node, nor the links to it, so the server cannot know that one is missing. For a
// bypassed node it sends the first input of the same type instead: of a scene only the first subject, of a subject only
// the further attributes.

import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";
import { nodesIn } from "./graph_nodes.js";
import { forget, tell } from "./notices.js";

const BYPASSED = 4;
const READERS = new Set(["LumosXScene", "LumosXSubject", "LumosXSceneToVideo", "LumosXPreviewScene", "LumosXAutoScene",
    "LumosXSceneForOtherModels"]);
const SOURCE = "left out";
const SCENE = "LUMOSX_SCENE";
const WATCHED = new Set([SCENE, "IMAGE", "MASK"]);
const TEXTS = {
    en: {
        absent: (slot, title) => `${slot} is left out: ${title}, or a node before it, is muted or bypassed.`,
        replaced: (slot, title) =>
            `${title} is bypassed, so ${slot} gets only what is connected to the first scene input of ${title}. Mute ` +
            `it (Ctrl+M) to leave it out as a whole.`,
    },
    zh: {
        absent: (slot, title) => `${slot} 未被使用：“${title}”或其上游节点已被静音或绕过。`,
        replaced: (slot, title) =>
            `“${title}”已被绕过，因此 ${slot} 只得到“${title}”第一个场景输入所连接的内容。若要整体略去，请改用静音（Ctrl+M）。`,
    },
    "zh-TW": {
        absent: (slot, title) => `${slot} 未被使用：「${title}」或其上游節點已被靜音或略過。`,
        replaced: (slot, title) =>
            `「${title}」已被略過，因此 ${slot} 只得到「${title}」第一個場景輸入所連接的內容。若要整體略去，請改用靜音（Ctrl+M）。`,
    },
};

// The node that a slot is connected to; where the link comes from outside a subgraph, the node there. `node.inputs` of a
// subgraph's node, and the slots of what its inside calls its input, have the same order.
function sourceOf(node, place, within) {
    const link = node.getInputLink(place);
    if (!link) return null;
    const source = node.graph.getNodeById(link.origin_id);
    if (source || !within.length) return source;
    return sourceOf(within[within.length - 1], link.origin_slot, within.slice(0, -1));
}

function look(sent) {
    forget(({ source }) => source === SOURCE);
    const say = TEXTS[app.extensionManager.setting.get("Comfy.Locale")] ?? TEXTS.en;
    for (const [id, node, within] of nodesIn(app.rootGraph ?? app.graph)) {
        if (!READERS.has(node.comfyClass) || !sent[id]) continue;
        node.inputs.forEach((input, place) => {
            if (!WATCHED.has(input.type)) return;
            const source = sourceOf(node, place, within);
            if (!source) return;
            const slot = input.localized_name ?? input.name;
            // The run itself warns about a phrase without an image.
            const phrase = sent[id].inputs[`${input.name}_phrase`];
            const saidByRun = typeof phrase === "string" && phrase.trim();
            if (sent[id].inputs[input.name] === undefined) {
                if (!saidByRun) tell(SOURCE, id, node.title, say.absent(slot, source.title));
            } else if (source.mode === BYPASSED && input.type === SCENE) {
                tell(SOURCE, id, node.title, say.replaced(slot, source.title));
            }
        });
    }
}

app.registerExtension({
    name: "lumosx.LeftOut",
    setup() {
        const { queuePrompt } = api;
        api.queuePrompt = async function (number, prompt) {
            const answer = await queuePrompt.apply(this, arguments);
            try {
                look(prompt.output);
            } catch (error) {
                console.error("LumosX could not look for what is left out:", error); // the run continues
            }
            return answer;
        };
    },
});
