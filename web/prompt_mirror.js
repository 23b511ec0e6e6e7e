// Colours behind the words of a textarea, and a line of missing phrases in the gap below it.
//
// A mirror lies behind the textarea and holds the same text in the same place, invisible but for the backgrounds of
// marked words. The textarea stays what it is: it only becomes transparent while there are colours to see.

const STYLE = new CSSStyleSheet();
STYLE.replaceSync(`
.lumosx-mirror { position: absolute; overflow: hidden; box-sizing: border-box; pointer-events: none;
    color: transparent; background: var(--comfy-input-bg); border-color: transparent; user-select: none; }
.lumosx-mirror > div { white-space: pre-wrap; overflow-wrap: break-word; }
.lumosx-mirror span { border-radius: 2px; box-decoration-break: clone; -webkit-box-decoration-break: clone; }
textarea.lumosx-mirrored { position: relative; background: transparent !important; }
.lumosx-missing { position: absolute; top: 100%; left: 0; max-width: 100%; overflow: hidden;
    box-sizing: border-box; padding: 0 4px 2px; border-radius: 0 0 4px 4px; white-space: nowrap; text-overflow: ellipsis;
    font: 10px sans-serif; line-height: 15px; color: var(--input-text); background: var(--comfy-input-bg); }
.lumosx-missing:hover { white-space: normal; }
.lumosx-missing u { margin-left: 0.6em; cursor: help; text-decoration: underline wavy 1px; text-underline-offset: 2px; }
`);
document.adoptedStyleSheets.push(STYLE);

// What decides where a letter stands.
const METRICS = ["font", "letterSpacing", "wordSpacing", "lineHeight", "textAlign", "textIndent", "textTransform",
    "direction", "tabSize", "wordBreak", "fontKerning", "fontFeatureSettings", "paddingTop", "paddingRight",
    "paddingBottom", "paddingLeft", "borderTopWidth", "borderLeftWidth"];

const TINT = "4d"; // opacity of a background, in hexadecimal: words stay readable on it in dark and in light themes

export class PromptMirror {
    // title: what stands before the missing phrases.
    constructor(textarea, title) {
        this.textarea = textarea;
        this.title = title;
        this.text = "";
        this.marks = []; // [start, end, colours]
        this.mirror = element("div", "lumosx-mirror");
        this.content = this.mirror.appendChild(element("div"));
        this.list = element("div", "lumosx-missing");
        Object.assign(this.list.style, { width: "fit-content", height: "auto" }); // the page stretches what lies here
        textarea.addEventListener("input", () => this.follow());
        textarea.addEventListener("scroll", () => this.scroll());
        // Also called when the page puts the textarea into the document, or takes it away.
        this.observer = new ResizeObserver(() => this.paint());
        this.observer.observe(textarea);
    }

    // spans: {text, colours}, which together are the text of the textarea; missing: {phrase, colour, message}.
    show(spans, missing) {
        this.marks = [];
        this.text = "";
        for (const { text, colours } of spans) {
            if (colours.length) this.marks.push([this.text.length, this.text.length + text.length, colours]);
            this.text += text;
        }
        this.list.replaceChildren(...(missing.length ? [this.title, ...missing.map(missingPhrase)] : []));
        this.paint();
    }

    clear() {
        this.show([], []);
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
        const { textarea, mirror, list } = this;
        const parent = textarea.parentElement;
        if (!parent) return;
        toggle(list, parent, list.childNodes.length > 0);
        toggle(mirror, parent, this.marks.length > 0, textarea);
        textarea.classList.toggle("lumosx-mirrored", this.marks.length > 0);
        if (!this.marks.length) return;

        const style = getComputedStyle(textarea);
        for (const name of METRICS) mirror.style[name] = style[name];
        mirror.style.borderStyle = style.borderTopStyle;
        mirror.style.left = `${textarea.offsetLeft}px`;
        mirror.style.top = `${textarea.offsetTop}px`;
        // The textarea's scroll bar takes room from its text.
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
        this.observer.disconnect();
        this.mirror.remove();
        this.list.remove();
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

function missingPhrase({ phrase, colour, message }) {
    const item = element("u");
    item.textContent = phrase;
    item.title = message;
    item.style.textDecorationColor = colour;
    return item;
}

function toggle(part, parent, wanted, before = null) {
    if (!wanted) part.remove();
    else if (part.parentElement !== parent) parent.insertBefore(part, before);
}

function element(tag, className = "") {
    return Object.assign(document.createElement(tag), { className });
}
