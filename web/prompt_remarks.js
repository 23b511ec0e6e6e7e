// Remarks about a prompt, at the bottom of its textarea: phrases that do not occur, and warnings.
//
// The space for them is a border of the textarea, so that the text ends, and scrolls, above it.

import { app } from "../../scripts/app.js";

const STYLE = new CSSStyleSheet();
STYLE.replaceSync(`
textarea[data-lumosx-remarks] { border-bottom: var(--lumosx-remarks) solid transparent !important; }
.lumosx-remarks { position: absolute; overflow: hidden; box-sizing: border-box; margin: 0 !important;
    padding: 1px 6px 2px; border-top: 1px solid var(--border-color); border-radius: 0 0 4px 4px; font: 11px/15px sans-serif;
    color: var(--input-text); }
.lumosx-remarks p { margin: 0; overflow: hidden; overflow-wrap: anywhere; }
.lumosx-remarks.lumosx-brief p { white-space: nowrap; text-overflow: ellipsis; }
.lumosx-remarks p.lumosx-warning::before { content: "\\26a0\\fe0e\\a0"; color: #e69f00; }
.lumosx-remarks u { margin-left: 0.6em; cursor: help; text-decoration: underline wavy 1px; text-underline-offset: 2px; }
`);
document.adoptedStyleSheets.push(STYLE);

const LINE = 19; // pixels of one line with its frame
const MOST = 0.4; // of the textarea's height, but a line in any case; all of it is shown under the mouse
const TEXTS = {
    en: { missing: "Not in the prompt:", meant: (words) => ` (“${words}”?)` },
    zh: { missing: "提示词中没有：", meant: (words) => `（是“${words}”吗？）` },
    "zh-TW": { missing: "提示詞中沒有：", meant: (words) => `（是「${words}」嗎？）` },
};

export class PromptRemarks {
    constructor(textarea) {
        this.textarea = textarea;
        this.list = Object.assign(document.createElement("div"), { className: "lumosx-remarks" });
        this.list.addEventListener("pointerdown", (event) => {
            event.preventDefault();
            event.stopPropagation(); // which would move the node
            textarea.focus();
        });
    }

    // missing: {phrase, colour, message, meant}; meant: the suggested correction, or null.
    // warnings: sentences.
    show(missing, warnings) {
        const texts = TEXTS[app.extensionManager?.setting?.get("Comfy.Locale")] ?? TEXTS.en;
        const lines = warnings.map((warning) => line([warning], "lumosx-warning", warning));
        if (missing.length) {
            const parts = missing.flatMap((each) => [underlined(each), each.meant ? texts.meant(each.meant) : ""]);
            lines.unshift(line([texts.missing, ...parts], "lumosx-missing"));
        }
        this.list.replaceChildren(...lines);
        this.list.title = [...missing.map(({ message }) => message), ...warnings].join("\n");
    }

    paint(backgroundColor) {
        const { textarea, list } = this;
        if (!list.childNodes.length) return this.remove();
        const parent = textarea.parentElement;
        if (list.parentElement !== parent) parent.append(list);
        const { offsetLeft, offsetTop, offsetWidth, offsetHeight } = textarea;
        // The page stretches elements here, so each side is set.
        Object.assign(list.style, {
            left: `${offsetLeft}px`,
            bottom: `${parent.clientHeight - offsetTop - offsetHeight}px`,
            width: `${offsetWidth}px`,
            height: "auto",
            maxHeight: `${Math.max(LINE, Math.round(MOST * offsetHeight))}px`,
            backgroundColor,
        });
        list.classList.remove("lumosx-brief");
        list.classList.toggle("lumosx-brief", list.scrollHeight > list.clientHeight);
        textarea.style.setProperty("--lumosx-remarks", `${list.offsetHeight}px`);
        textarea.dataset.lumosxRemarks = "";
    }

    remove() {
        this.list.remove();
        delete this.textarea.dataset.lumosxRemarks;
        this.textarea.style.removeProperty("--lumosx-remarks");
    }
}

function line(parts, kind, title = "") {
    const made = Object.assign(document.createElement("p"), { className: kind, title });
    made.append(...parts);
    return made;
}

function underlined({ phrase, colour, message }) {
    const item = Object.assign(document.createElement("u"), { textContent: phrase, title: message });
    item.style.textDecorationColor = colour;
    return item;
}
