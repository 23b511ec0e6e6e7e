// Warnings and errors of a run in a list in a corner of the page, as long as they hold; a toast when a warning comes.
// Earlier pages show an error in a dialog, later ones only that there is one, and its message within a report.
//
// A node that ComfyUI takes from its cache does not warn again, so a warning stays until its node runs again, is removed,
// or the artist closes the list, and comes back where another file with the same nodes takes them from the cache.

import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";

const STYLE = new CSSStyleSheet();
STYLE.replaceSync(`
.lumosx-notices { position: fixed; left: 76px; bottom: 20px; z-index: 900; width: 380px; max-height: 40vh;
    overflow: auto; box-sizing: border-box; padding: 8px 12px 10px; border-radius: 8px; border: 1px solid var(--border-color);
    border-left: 4px solid #e69f00; background: var(--comfy-menu-bg); color: var(--input-text);
    font: 13px/1.4 sans-serif; }
.lumosx-notices header { display: flex; justify-content: space-between; align-items: center; font-weight: bold; }
.lumosx-notices button { border: 0; background: none; color: inherit; font: inherit; cursor: pointer; padding: 2px 4px; }
.lumosx-notices li button { font-weight: bold; text-decoration: underline; padding: 0; text-align: left; }
.lumosx-notices ul { margin: 4px 0 0; padding: 0; list-style: none; }
.lumosx-notices li { margin-top: 6px; overflow-wrap: anywhere; }
.lumosx-notices p { margin: 0; user-select: text; }
`);
document.adoptedStyleSheets.push(STYLE);

const TEXTS = {
    en: { title: "LumosX: please check", close: "Close" },
    zh: { title: "LumosX：请检查", close: "关闭" },
    "zh-TW": { title: "LumosX：請檢查", close: "關閉" },
};
const TOAST = 12_000; // milliseconds
const OURS = /(^|\.)(LumosXError|MissingPackageError)$/;

// "workflow source node" -> {source, node, title, texts, workflow}; node is an id as the server calls it: "7", or "3:7" in a
// subgraph; workflow is the path of the file that it is in.
const notices = new Map();
let panel = null;
let shownFor = null; // the workflow whose notices the panel has: nodes of another one have the same ids

const lately = new Map(); // node -> [title, texts] that it said when it last ran, in whatever workflow

const workflowNow = () => app.extensionManager.workflow?.activeWorkflow?.path ?? "";

// source: the origin, "run" or a part of the page; each removes only its own.
export function tell(source, node, title, text, toast = true) {
    const workflow = workflowNow();
    const key = `${workflow} ${source} ${node}`;
    const notice = notices.get(key) ?? { source, node, title, texts: [], workflow };
    if (notice.texts.includes(text)) return;
    const said = [...notices.values()].some((each) => isHere(each) && each.texts.includes(text)); // by another node
    notice.texts.push(text);
    notices.set(key, notice);
    if (toast && !said) app.extensionManager.toast.add({ severity: "warn", summary: title, detail: text, life: TOAST });
    draw();
}

export function forget(isOver) {
    for (const [key, notice] of notices) if (isOver(notice)) notices.delete(key);
    draw();
}

// The node, and the graph that contains it.
function find(id) {
    let graph = app.rootGraph ?? app.graph;
    const path = String(id).split(":");
    for (const part of path.slice(0, -1)) graph = graph?.getNodeById(part)?.subgraph;
    return { graph, node: graph?.getNodeById(path[path.length - 1]) };
}

function show(id) {
    const { graph, node } = find(id);
    if (!node) return;
    if (app.canvas.graph !== graph) app.canvas.setGraph(graph);
    app.canvas.centerOnNode(node);
    app.canvas.selectNode(node);
}

function isHere({ node, workflow }) {
    return workflow === workflowNow() && !!find(node).node;
}

function draw() {
    panel?.remove();
    panel = null;
    shownFor = workflowNow();
    const here = [...notices.values()].filter(isHere);
    if (!here.length) return;
    const words = TEXTS[app.extensionManager.setting.get("Comfy.Locale")] ?? TEXTS.en;
    panel = element("section", "lumosx-notices");
    panel.setAttribute("aria-label", words.title);
    const header = panel.appendChild(element("header"));
    header.append(words.title, button("✕", closeAll, words.close));
    const list = panel.appendChild(element("ul"));
    for (const { node, title, texts } of here) {
        const item = list.appendChild(element("li"));
        item.append(button(title, () => show(node)));
        for (const text of texts) item.append(Object.assign(element("p"), { textContent: text }));
    }
    document.body.append(panel);
}

function closeAll() {
    forget(isHere);
}

function button(text, action, label = text) {
    const made = Object.assign(element("button"), { type: "button", textContent: text, onclick: action });
    made.setAttribute("aria-label", label);
    return made;
}

function element(tag, className = "") {
    return Object.assign(document.createElement(tag), { className });
}

app.registerExtension({
    name: "lumosx.Notices",
    setup() {
        api.addEventListener("lumosx.notice", ({ detail: { node, title, text } }) => {
            const [, texts] = lately.get(String(node)) ?? [title, []];
            lately.set(String(node), [title, [...texts, text]]);
            tell("run", String(node), title, text);
        });
        api.addEventListener("execution_cached", ({ detail: { nodes } }) => {
            for (const node of nodes.map(String)) {
                const [title, texts] = lately.get(node) ?? ["", []];
                for (const text of texts) tell("run", node, title, text, false);
            }
        });
        api.addEventListener("execution_error", ({ detail: { node_id, node_type, exception_type, exception_message } }) => {
            if (!OURS.test(exception_type)) return;
            const title = find(node_id).node?.title ?? node_type;
            const text = exception_message.trim();
            tell("run", String(node_id), title, text.startsWith(`${title}: `) ? text.slice(title.length + 2) : text, false);
        });
        // The detail is the id of the node that begins to run; null at the end.
        api.addEventListener("executing", ({ detail }) => {
            lately.delete(String(detail));
            forget(({ source, node }) => source === "run" && node === String(detail));
        });
        setInterval(() => notices.size && workflowNow() !== shownFor && draw(), 500); // no event says that it changed
    },
    afterConfigureGraph: draw,
});
