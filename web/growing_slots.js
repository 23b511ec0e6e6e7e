// Inputs that grow: LumosX Scene shows four subjects, LumosX Subject one set of further attributes, LumosX Auto Scene one
// photo, LumosX Self-Routing four masks, Ingredients Faces two images, and another slot appears as soon as the last one
// is connected.
//
// Slots are only ever added. The page reconnects links by the position of their slot when it pastes, makes a subgraph or
// loads, so a slot removed in between would remove subjects with it.

import { app } from "../../scripts/app.js";

const GROWING = {
    LumosXScene: { slot: "subject_", shown: 4, most: 20, earlier: "subjects." },
    LumosXAutoScene: { slot: "photograph_", shown: 1, most: 20, earlier: "photographs." },
    LumosXSubject: { slot: "more_attributes_", shown: 1, most: 20, earlier: "more." },
    LumosXSelfRouting: { slot: "mask_", shown: 4, most: 20, earlier: "" },
    IngredientsFaces: { slot: "image_", shown: 2, most: 8, earlier: "" },
};

let needed = 0; // slots that the file being opened needs

function numberOf(name, slot) {
    return name.startsWith(slot) ? Number(name.slice(slot.length)) : 0;
}

// The page receives only the first slots, and not the list that held the inputs in earlier versions.
function hide(declared, { slot, shown, earlier }) {
    const hidden = (name) => numberOf(name, slot) > shown || `${name}.` === earlier;
    for (const name of Object.keys(declared.input.optional).filter(hidden)) delete declared.input.optional[name];
    const { optional } = declared.input_order ?? {};
    if (optional) declared.input_order.optional = optional.filter((name) => !hidden(name));
}

function slotsOf(node, slot) {
    return node.inputs.filter((input) => numberOf(input.name, slot) > 0);
}

function add(node, { slot }) {
    const slots = slotsOf(node, slot);
    const { type, shape, tooltip, localized_name } = slots[0];
    const number = slots.length + 1;
    const shown = localized_name?.replace(/1$/, number); // "subject_1", or what it is called in another language
    node.addInput(`${slot}${number}`, type, { localized_name: shown, shape, tooltip });
}

function grow(node, growing) {
    const slots = slotsOf(node, growing.slot);
    const last = slots[slots.length - 1];
    if (slots.length < growing.most && node.isInputConnected(node.inputs.indexOf(last))) add(node, growing);
}

// Saved by an earlier version: its slots were those of a list, such as "subjects.subject_1".
function rename(inputs, { slot, earlier }) {
    for (const input of inputs ?? []) {
        if (input.name.startsWith(earlier + slot)) input.name = input.name.slice(earlier.length);
    }
}

// When the page creates nodes from a file in API format, it connects only to inputs that already exist.
function prepare(prompt) {
    for (const { class_type, inputs } of Object.values(prompt ?? {})) {
        const growing = GROWING[class_type];
        if (!growing || !inputs) continue;
        for (const name of Object.keys(inputs)) {
            const now = name.startsWith(growing.earlier + growing.slot) ? name.slice(growing.earlier.length) : name;
            if (now !== name) {
                inputs[now] = inputs[name];
                delete inputs[name];
            }
            needed = Math.max(needed, numberOf(now, growing.slot));
        }
    }
}

app.registerExtension({
    name: "lumosx.GrowingSlots",
    setup() {
        const { loadApiJson } = app;
        app.loadApiJson = async function (prompt, ...others) {
            prepare(prompt);
            try {
                return await loadApiJson.call(this, prompt, ...others);
            } finally {
                needed = 0;
            }
        };
    },
    beforeRegisterNodeDef(nodeType, nodeData) {
        const growing = GROWING[nodeData.name];
        if (!growing) return;
        hide(nodeData, growing);
        const { configure, onConnectionsChange } = nodeType.prototype;
        nodeType.prototype.configure = function (data) {
            rename(data.inputs, growing);
            return configure.apply(this, arguments);
        };
        nodeType.prototype.onConnectionsChange = function (side, place, connected) {
            const result = onConnectionsChange?.apply(this, arguments);
            if (connected) grow(this, growing);
            return result;
        };
    },
    nodeCreated(node) {
        const growing = GROWING[node.comfyClass];
        while (growing && slotsOf(node, growing.slot).length < Math.min(needed, growing.most)) add(node, growing);
    },
});
