// LumosX Example Picture shows its image as soon as it is chosen, in both renderers.
//
// LumosX Load Image does not need this: its input is an image upload, for which the page shows a preview itself.

import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";

const NODE = "LumosXExamplePicture";
const WIDGET = "picture";
const SUFFIX = " [lumosx]"; // what the server knows the pack's own images by
const HEIGHT = 180; // of the preview at least, in units of the canvas
const NO_ROOM = 120; // a node saved lower than this had no preview, and would cover its neighbours with one

app.registerExtension({
    name: "LumosX.ExamplePreview",
    nodeCreated(node) {
        if (node.comfyClass !== NODE) return;
        const choice = node.widgets.find((widget) => widget.name === WIDGET);
        const image = document.createElement("img");
        image.style.cssText = "width: 100%; height: 100%; object-fit: contain; pointer-events: none";
        let height = HEIGHT;
        const preview = node.addDOMWidget("preview", "lumosx_preview", image, {
            serialize: false,
            hideOnZoom: false,
            getMinHeight: () => height,
        });
        preview.serialize = false; // the workflow is what it was without the preview

        const show = () => {
            const query = new URLSearchParams({ filename: `${choice.value}${SUFFIX}`, type: "input" });
            image.src = api.apiURL(`/view?${query}`);
            image.alt = choice.value;
            image.style.display = height ? "" : "none";
        };
        const { callback } = choice;
        choice.callback = function (...values) {
            const result = callback?.apply(this, values);
            if (!height) {
                height = HEIGHT;
                node.setSize([node.size[0], Math.max(node.size[1], node.computeSize()[1])]);
            }
            show();
            return result;
        };
        const { onConfigure } = node;
        node.onConfigure = function (...values) {
            onConfigure?.apply(this, values);
            height = (values[0]?.size?.[1] ?? HEIGHT) < NO_ROOM ? 0 : HEIGHT;
            show();
        };
        show();
    },
});
