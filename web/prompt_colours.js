// Words of a prompt in the colours of the subjects and objects they belong to, while the prompt is being typed.
//
// The server finds the words. Without its answer the prompt remains the plain textarea, and nothing of this
// is ever part of the workflow.

import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";
import { nodesIn } from "./graph_nodes.js";
import { boxOf, watchBoxes, watchTheme } from "./prompt_boxes.js";
import { PromptMirror } from "./prompt_mirror.js";

const PROMPTS = {
    LumosXSceneToVideo: "positive_prompt", LumosXPreviewScene: "prompt", LumosXSceneForOtherModels: "prompt",
};
const NEEDS_NO_PROMPT = new Set(["LumosXPreviewScene"]); // an empty prompt lacks nothing there
const PAUSE = 300; // milliseconds without a change before the server is asked

// {node, widget, mirror, asked, answer, request}; no mirror while the page shows no box
const prompts = new Set();
// The server gives up an earlier request of the same page.
const PAGE = `${Date.now().toString(36)}-${Math.random().toString(36).slice(2)}`;
let timer;
let lastRequest = Promise.resolve(); // requests of this page go one after another

function lookSoon() {
    clearTimeout(timer);
    timer = setTimeout(look, PAUSE);
}

// Put a mirror behind each box that the page shows.
function follow() {
    const boxes = [...prompts].map((prompt) => [prompt, boxOf(prompt.node, prompt.widget)]);
    // First remove the old ones: a box may now show the prompt of another node.
    for (const [prompt, box] of boxes) if (prompt.mirror?.textarea !== box) leave(prompt);
    for (const [prompt, box] of boxes) {
        if (!box || prompt.mirror) continue;
        prompt.mirror = new PromptMirror(box, lookSoon);
        if (prompt.answer) prompt.mirror.show(prompt.answer);
        prompt.mirror.follow();
        lookSoon();
    }
}

function leave(prompt) {
    prompt.mirror?.remove();
    prompt.mirror = null;
}

async function look() {
    const shown = [...prompts].filter((prompt) => prompt.mirror);
    if (!shown.length) return;
    let output = {};
    try {
        if (!someWidgetActs(app.rootGraph ?? app.graph)) output = (await app.graphToPrompt()).output;
    } catch {
        // The page cannot build a prompt from this workflow at the moment, and reports it at Run.
    }
    await Promise.all(shown.map((prompt) => ask(prompt, output)));
}

// Some widgets act when their value is read: they take a photo, end a recording, upload. That is left to Run.
function someWidgetActs(graph) {
    const acts = (widget) => widget.serializeValue?.constructor?.name === "AsyncFunction";
    return graph.nodes.some((node) => node.widgets?.some(acts) || (node.subgraph && someWidgetActs(node.subgraph)));
}

async function ask(prompt, output) {
    const { node, widget, mirror } = prompt;
    if (!mirror) return; // its box went meanwhile
    mirror.follow();
    const id = idIn(output, node);
    const text = mirror.text;
    const wanted = text.trim() || !NEEDS_NO_PROMPT.has(node.comfyClass);
    const question = id && isTyped(node, widget) && wanted ? questionOf(output, id, text, widget) : null;
    if (question === prompt.asked) return;
    prompt.asked = question;
    prompt.request?.abort();
    prompt.request = new AbortController();
    const answer = question && (await answerTo(question, prompt.request.signal));
    if (prompt.asked !== question) return; // it has changed meanwhile
    prompt.answer = answer;
    if (prompt.mirror && prompt.mirror.textarea.value !== text) return;
    if (answer) prompt.mirror?.show(answer);
    else prompt.mirror?.clear();
}

// Whether the prompt is in the box, and does not come from another node.
function isTyped(node, widget) {
    const place = node.inputs?.findIndex((input) => input.widget?.name === widget.name) ?? -1;
    return place < 0 || !node.isInputConnected(place);
}

async function answerTo(question, signal) {
    const before = lastRequest;
    let done;
    lastRequest = new Promise((resolve) => (done = resolve));
    try {
        await before;
        const response = await api.fetchApi("/lumosx/match_phrases", {
            method: "POST",
            headers: { "Content-Type": "application/json" },
            body: question,
            signal,
        });
        return response.ok ? await response.json() : null;
    } catch {
        return null;
    } finally {
        done();
    }
}

// The node's id as the server calls it. A subgraph that is used several times gives its nodes several; any will do.
function idIn(output, node) {
    for (const [id, each] of nodesIn(app.rootGraph ?? app.graph)) if (each === node && output[id]) return id;
    return null;
}

// Only the nodes that the scene comes from: nothing else matters, and much else changes with every draw of {a|b}.
function questionOf(output, id, text, widget) {
    const { class_type, inputs } = output[id];
    const own = Array.isArray(inputs.scene) ? { scene: inputs.scene } : {};
    if (inputs.bind_phrases === false) own.bind_phrases = false; // phrases may be missing
    const graph = { [id]: { class_type, inputs: own } };
    const waiting = [id];
    while (waiting.length) {
        for (const value of Object.values(graph[waiting.pop()].inputs)) {
            const source = Array.isArray(value) ? value[0] : null;
            if (source === null || graph[source] || !output[source]) continue;
            const { class_type, inputs, _meta } = output[source];
            graph[source] = { class_type, inputs, _meta }; // the title names people in messages
            waiting.push(source);
        }
    }
    return JSON.stringify({ prompt: graph, node: id, text, dynamic: !!widget.dynamicPrompts, page: PAGE });
}

app.registerExtension({
    name: "lumosx.PromptColours",
    setup() {
        api.addEventListener("graphChanged", lookSoon);
        // In Nodes 2.0, where only the first letter is reported when one types fast.
        document.addEventListener("input", ({ target }) => target.closest?.(".lg-node") && lookSoon(), true);
        watchBoxes(follow);
        watchTheme(() => prompts.forEach(({ mirror }) => mirror?.paint()));
    },
    afterConfigureGraph() {
        lookSoon();
    },
    nodeCreated(node) {
        const widget = node.widgets?.find((each) => each.name === PROMPTS[node.comfyClass]);
        if (!widget) return;
        const prompt = { node, widget, mirror: null, asked: null, answer: null };
        prompts.add(prompt);
        const { callback } = widget;
        widget.callback = function (...values) {
            lookSoon();
            return callback?.apply(this, values);
        };
        const { onRemoved } = node;
        node.onRemoved = function () {
            prompts.delete(prompt);
            prompt.request?.abort();
            leave(prompt);
            return onRemoved?.apply(this, arguments);
        };
    },
});
