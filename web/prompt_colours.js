// Words of a prompt in the colours of the subjects and objects they belong to, while the prompt is being typed.
//
// The server finds the words. Without its answer the prompt is the plain textarea that it always was, and nothing of
// this is ever part of the workflow.

import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";
import { PromptMirror } from "./prompt_mirror.js";

const PROMPTS = { LumosXSceneToVideo: "positive_prompt", LumosXPreviewScene: "prompt" };
const NEEDS_NO_PROMPT = new Set(["LumosXPreviewScene"]); // an empty prompt lacks nothing there
const PAUSE = 300; // milliseconds without a change before the server is asked
const NOT_IN_THE_PROMPT = { en: "Not in the prompt:", zh: "提示词中没有：", "zh-TW": "提示詞中沒有：" };

const prompts = new Set(); // {node, widget, mirror, asked}
let timer;

function lookSoon() {
    clearTimeout(timer);
    timer = setTimeout(look, PAUSE);
}

async function look() {
    if (!prompts.size) return;
    let output = {};
    try {
        if (!someWidgetActs(app.rootGraph ?? app.graph)) output = (await app.graphToPrompt()).output;
    } catch {
        // The page cannot make a prompt of this workflow at the moment, and says so when it is run.
    }
    await Promise.all([...prompts].map((prompt) => ask(prompt, output)));
}

// Some widgets act when they are asked for their value: they take a picture, end a recording, upload. That is for Run.
function someWidgetActs(graph) {
    const acts = (widget) => widget.serializeValue?.constructor?.name === "AsyncFunction";
    return graph.nodes.some((node) => node.widgets?.some(acts) || (node.subgraph && someWidgetActs(node.subgraph)));
}

async function ask(prompt, output) {
    const { node, widget, mirror } = prompt;
    mirror.follow();
    const id = idIn(output, node);
    const typed = !node.inputs?.some((input) => input.widget?.name === widget.name && input.link != null);
    const text = mirror.text;
    const wanted = text.trim() || !NEEDS_NO_PROMPT.has(node.comfyClass);
    const question = id && typed && wanted ? questionOf(output, id, text, widget) : null;
    if (question === prompt.asked) return;
    prompt.asked = question;
    const answer = question && (await answerTo(question));
    if (prompt.asked !== question || mirror.textarea.value !== text) return; // it has changed meanwhile
    if (answer) mirror.show(answer.spans, answer.missing);
    else mirror.clear();
}

async function answerTo(question) {
    try {
        const response = await api.fetchApi("/lumosx/match_phrases", {
            method: "POST",
            headers: { "Content-Type": "application/json" },
            body: question,
        });
        return response.ok ? await response.json() : null;
    } catch {
        return null;
    }
}

// Nodes within a subgraph have the ids of the nodes around them before their own, as in "3:7".
function idIn(output, node) {
    const own = (id) => output[id].class_type === node.comfyClass && id.split(":").pop() === String(node.id);
    return Object.keys(output).filter(own).sort((one, other) => one.length - other.length)[0];
}

// Only the nodes that the scene comes from: nothing else matters, and much else changes with every draw of {a|b}.
function questionOf(output, id, text, widget) {
    const { class_type, inputs } = output[id];
    const graph = { [id]: { class_type, inputs: Array.isArray(inputs.scene) ? { scene: inputs.scene } : {} } };
    const waiting = [id];
    while (waiting.length) {
        for (const value of Object.values(graph[waiting.pop()].inputs)) {
            const source = Array.isArray(value) ? value[0] : null;
            if (source === null || graph[source] || !output[source]) continue;
            graph[source] = { class_type: output[source].class_type, inputs: output[source].inputs };
            waiting.push(source);
        }
    }
    return JSON.stringify({ prompt: graph, node: id, text, dynamic: !!widget.dynamicPrompts });
}

app.registerExtension({
    name: "lumosx.PromptColours",
    setup() {
        api.addEventListener("graphChanged", lookSoon);
    },
    afterConfigureGraph() {
        lookSoon();
    },
    nodeCreated(node) {
        const widget = node.widgets?.find((each) => each.name === PROMPTS[node.comfyClass]);
        if (!(widget?.element instanceof HTMLTextAreaElement)) return;
        const locale = app.extensionManager?.setting?.get("Comfy.Locale");
        const mirror = new PromptMirror(widget.element, NOT_IN_THE_PROMPT[locale] ?? NOT_IN_THE_PROMPT.en);
        const prompt = { node, widget, mirror, asked: null };
        prompts.add(prompt);
        const { callback } = widget;
        widget.callback = function (...values) {
            lookSoon();
            return callback?.apply(this, values);
        };
        const { onRemoved } = node;
        node.onRemoved = function () {
            prompts.delete(prompt);
            mirror.remove();
            return onRemoved?.apply(this, arguments);
        };
        lookSoon();
    },
});
