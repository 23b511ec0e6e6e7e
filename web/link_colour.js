// The colour of links and slots that carry a scene, in both renderers.
//
// ComfyUI's palettes empty the colours of all types that they do not know, whenever one is chosen. A palette that knows
// ours takes precedence.

import { app } from "../../scripts/app.js";

const SCENE = "LUMOSX_SCENE";
const COLOUR = "#7a5cff"; // unlike the colours of ComfyUI's own types, and seen on dark and on light canvases

const STYLE = new CSSStyleSheet();
STYLE.replaceSync(`:root { --color-datatype-${SCENE}: ${COLOUR}; }`); // slots in Nodes 2.0
document.adoptedStyleSheets.push(STYLE);

function keepColour(colours) {
    let chosen = colours[SCENE];
    Object.defineProperty(colours, SCENE, {
        configurable: true,
        enumerable: true,
        get: () => chosen || COLOUR,
        set: (colour) => (chosen = colour),
    });
}

app.registerExtension({
    name: "lumosx.LinkColour",
    setup() {
        keepColour(app.canvas.default_connection_color_byType);
        keepColour(LGraphCanvas.link_type_colors);
    },
});
