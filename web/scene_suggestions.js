// A subject's `scene` dragged into the empty canvas offers LumosX Scene first. The page suggests only nodes with a required
// input of the type, and there every input may stay empty.

import { app } from "../../scripts/app.js";

app.registerExtension({
    name: "lumosx.SceneSuggestions",
    setup() {
        const suggestions = (LiteGraph.slot_types_default_out.LUMOSX_SCENE ??= []);
        if (!suggestions.includes("LumosXScene")) suggestions.unshift("LumosXScene");
    },
});
