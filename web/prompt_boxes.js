// Text boxes of widgets as the page shows them at the moment.
//
// The classic page puts the widget's own textarea into the document. In Nodes 2.0 that one stays outside, and the page
// creates another, which appears and disappears with the view and with subgraphs.

import { app } from "../../scripts/app.js";

// The textarea that shows a widget; null while there is none.
export function boxOf(node, widget) {
    const box = LiteGraph.vueNodesMode ? vueBoxOf(node, widget) : widget.element;
    return box instanceof HTMLTextAreaElement && box.isConnected ? box : null;
}

// Nodes of two graphs may have the same id, and only one graph is visible.
function vueBoxOf(node, widget) {
    if (app.canvas.graph !== node.graph) return null;
    const frame = document.querySelector(`.lg-node[data-node-id="${CSS.escape(node.id)}"]`);
    const named = frame?.querySelector(`[data-widget-name="${CSS.escape(widget.name)}"] textarea`);
    if (named) return named;
    // Front ends up to 1.35 name the widget only in the label of its box.
    const shown = widget.label ?? widget.localized_name ?? widget.name;
    const boxes = [...(frame?.querySelectorAll("textarea") ?? [])];
    return boxes.find((box) => [...box.labels].some((label) => label.textContent.trim() === shown)) ?? null;
}

// Calls back when boxes may have appeared or disappeared: at most once per frame.
export function watchBoxes(callback) {
    const soon = onceAFrame(callback);
    new MutationObserver(soon).observe(document.body, { childList: true, subtree: true });
    app.canvas.canvas.addEventListener("litegraph:set-graph", soon);
}

// Calls back when the look of the page may have changed.
export function watchTheme(callback) {
    const theme = new MutationObserver(onceAFrame(callback));
    for (const part of [document.documentElement, document.body]) {
        theme.observe(part, { attributes: true, attributeFilter: ["class", "style"] });
    }
}

function onceAFrame(callback) {
    let waiting = false;
    return () => {
        if (waiting) return;
        waiting = true;
        requestAnimationFrame(() => {
            waiting = false;
            callback();
        });
    };
}
