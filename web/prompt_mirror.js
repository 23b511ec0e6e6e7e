// Colours behind the words of a textarea.
//
// A mirror behind the textarea contains the same text at the same position, invisible except for the backgrounds of
// marked words. The textarea is unchanged: it only becomes transparent while there are colours to show.

import { PromptRemarks } from "./prompt_remarks.js";

const STYLE = new CSSStyleSheet();
STYLE.replaceSync(`
.lumosx-mirror { position: absolute; overflow: hidden; box-sizing: border-box; pointer-events: none;
    color: transparent; border-color: transparent; user-select: none; margin: 0 !important; }
.lumosx-mirror > div { white-space: pre-wrap; overflow-wrap: break-word; }
.lumosx-mirror span { border-radius: 2px; box-decoration-break: clone; -webkit-box-decoration-break: clone; }
textarea[data-lumosx] { transition: none !important; }
textarea[data-lumosx=mirrored] { position: relative; background: transparent !important; }
`);
document.adoptedStyleSheets.push(STYLE);

// The styles that determine the position of a letter, and the look of the text area.
const METRICS = ["font", "letterSpacing", "wordSpacing", "lineHeight", "textAlign", "textIndent", "textTransform",
    "direction", "tabSize", "wordBreak", "fontKerning", "fontFeatureSettings", "paddingTop", "paddingRight",
    "paddingBottom", "paddingLeft", "borderTopStyle", "borderTopWidth", "borderLeftStyle", "borderLeftWidth",
    "borderBottomStyle", "borderBottomWidth", "borderRadius"];

const TINT = "4d"; // opacity of a background, in hexadecimal: words stay readable on it in dark and in light themes

export class PromptMirror {
    // onInput: called as the artist types.
    constructor(textarea, onInput) {
        this.textarea = textarea;
        this.text = "";
        this.marks = []; // [start, end, colours]
        this.mirror = element("div", "lumosx-mirror");
        this.content = this.mirror.appendChild(element("div"));
        this.remarks = new PromptRemarks(textarea);
        textarea.dataset.lumosx = ""; // the page may reset its classes, but leaves this alone
        this.listening = new AbortController();
        const { signal } = this.listening;
        textarea.addEventListener("input", () => (this.follow(), onInput()), { signal });
        textarea.addEventListener("scroll", () => this.scroll(), { signal });
        // Also called when the page puts the textarea into the document, or takes it away.
        this.observer = new ResizeObserver(() => this.paint());
        this.observer.observe(textarea);
    }

    // spans: {text, colours}, which together are the text of the textarea; missing and warnings: see PromptRemarks.
    show({ spans, missing, warnings }) {
        this.marks = [];
        this.text = "";
        for (const { text, colours } of spans) {
            if (colours.length) this.marks.push([this.text.length, this.text.length + text.length, colours]);
            this.text += text;
        }
        this.remarks.show(missing, warnings);
        this.paint();
    }

    clear() {
        this.show({ spans: [], missing: [], warnings: [] });
    }

    // Keep the colours at their words until the next answer.
    follow() {
        const now = this.textarea.value;
        if (now === this.text) return;
        const before = this.text;
        let start = 0;
        while (start < Math.min(before.length, now.length) && before[start] === now[start]) start++;
        let end = 0;
        const most = Math.min(before.length, now.length) - start;
        while (end < most && before[before.length - 1 - end] === now[now.length - 1 - end]) end++;
        const shift = now.length - before.length;
        this.marks = this.marks.flatMap(([from, to, colours]) => {
            if (to <= start) return [[from, to, colours]];
            return from >= before.length - end ? [[from + shift, to + shift, colours]] : [];
        });
        this.text = now;
        this.paint();
    }

    paint() {
        const { textarea, mirror } = this;
        const parent = textarea.parentElement;
        if (!parent) return;
        textarea.dataset.lumosx = "";
        const style = getComputedStyle(textarea);
        // The page's own colour, which may have changed since the last time.
        const { backgroundColor } = style;
        this.remarks.paint(backgroundColor);
        if (!this.marks.length) {
            mirror.remove();
            return;
        }
        mirror.style.backgroundColor = backgroundColor;
        textarea.dataset.lumosx = "mirrored";
        if (mirror.parentElement !== parent) parent.insertBefore(mirror, textarea);

        for (const name of METRICS) mirror.style[name] = style[name];
        mirror.style.left = `${textarea.offsetLeft}px`;
        mirror.style.top = `${textarea.offsetTop}px`;
        // The textarea's scroll bar takes space from its text.
        mirror.style.width = `${textarea.clientWidth + 2 * textarea.clientLeft}px`;
        mirror.style.height = `${textarea.offsetHeight}px`;

        const parts = [];
        let at = 0;
        for (const [start, end, colours] of this.marks) {
            parts.push(this.text.slice(at, start), marked(this.text.slice(start, end), colours));
            at = end;
        }
        this.content.replaceChildren(...parts, this.text.slice(at));
        this.scroll();
    }

    scroll() {
        this.content.style.transform = `translate(${-this.textarea.scrollLeft}px, ${-this.textarea.scrollTop}px)`;
    }

    remove() {
        this.listening.abort();
        this.observer.disconnect();
        this.mirror.remove();
        this.remarks.remove();
        delete this.textarea.dataset.lumosx;
    }
}

function marked(text, colours) {
    const span = element("span");
    span.textContent = text;
    if (colours.length === 1) {
        span.style.backgroundColor = colours[0] + TINT;
        span.style.boxShadow = `inset 0 -2px ${colours[0]}`;
    } else {
        const stripes = (alpha) => colours.map((c, i) => `${c}${alpha} ${8 * i}px ${8 * (i + 1)}px`).join(", ");
        span.style.background = `repeating-linear-gradient(90deg, ${stripes("")}) bottom / 100% 2px no-repeat, `
            + `repeating-linear-gradient(90deg, ${stripes(TINT)})`;
    }
    return span;
}

function element(tag, className = "") {
    return Object.assign(document.createElement(tag), { className });
}
