// LumosX's templates by name, "1 Try it" first: ComfyUI lists the templates of custom nodes in the order of the file system.

import { api } from "../../scripts/api.js";

const FOLDER = decodeURIComponent(new URL(import.meta.url).pathname.split("/extensions/")[1].split("/")[0]);

const { getWorkflowTemplates } = api;
api.getWorkflowTemplates = async function (...given) {
    const templates = await getWorkflowTemplates.apply(this, given);
    const own = templates[FOLDER];
    return own ? { ...templates, [FOLDER]: [...own].sort() } : templates;
};
