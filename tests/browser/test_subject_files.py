"""An artist saves a subject, finds it in the lists of the page with its face, and uses it in a new workflow."""

from __future__ import annotations

FACE, SUIT = "two_people/subjects/1/face_woman.png [lumosx]", "two_people/subjects/1/orange space suit.png [lumosx]"


def save_subject(desk, name: str) -> dict:
    """Build a subject from two images, and save it; the outputs of the run."""
    ids = {
        "face": desk.add("LumosXLoadImage"),
        "suit": desk.add("LumosXLoadImage", 0, 450),
        "subject": desk.add("LumosXSubject", 350, 0),
        "save": desk.add("LumosXSaveSubject", 750, 0),
    }
    for image, value in (("face", FACE), ("suit", SUIT)):
        desk.set_widget(ids[image], "image", value)
    desk.connect(ids["face"], 0, ids["subject"], "face")
    desk.connect(ids["suit"], 0, ids["subject"], "attribute_1")
    desk.set_widget(ids["subject"], "face_phrase", "woman")
    desk.set_widget(ids["subject"], "attribute_1_phrase", "orange space suit")
    desk.connect(ids["subject"], 0, ids["save"], "scene")
    desk.set_widget(ids["save"], "name", name)
    outputs = desk.run()
    desk.look_at(ids["save"], 0.8)
    return outputs[str(ids["save"])]


def test_a_subject_is_saved_and_loaded_in_a_new_workflow(desk):
    desk.clear()
    assert save_subject(desk, "film/Anna")["images"]
    desk.screenshot(f"subject saved {desk.server.version}")
    desk.clear()
    desk.page.evaluate("async () => { await app.refreshComboInNodes() }")
    load, sheet = desk.add("LumosXLoadSubject"), desk.add("LumosXPreviewScene", 450, 0)
    options = desk.page.evaluate(
        "(id) => app.graph.getNodeById(id).widgets.find(w => w.name === 'file').options.values", load
    )
    assert "film/Anna.safetensors" in options
    desk.set_widget(load, "file", "film/Anna.safetensors")
    desk.connect(load, 0, sheet, "scene")
    desk.set_widget(sheet, "prompt", "A woman in an orange space suit.")
    outputs = desk.run()
    assert outputs[str(load)]["images"] and outputs[str(sheet)]["images"]
    desk.look_at(load, 0.8)
    desk.page.wait_for_function("id => app.graph.getNodeById(id).imgs?.length", arg=load)
    desk.screenshot(f"subject loaded {desk.server.version}")
    assert desk.errors == []


def test_the_model_library_lists_a_subject_with_its_face(desk):
    desk.clear()
    save_subject(desk, "Anna in orange")
    desk.open()
    desk.page.keyboard.press("m")
    folder = desk.page.get_by_role("treeitem").filter(has_text="lumosx_subjects").first
    folder.click()
    entry = desk.page.get_by_text("Anna in orange").first
    entry.hover()
    desk.page.wait_for_function(
        """() => [...document.querySelectorAll(".model_preview_image, img, [style*='background-image']")].some(each =>
            `${each.src ?? ""}${each.style.backgroundImage}`.includes("data:image/jpeg;base64"))""",
        timeout=15000,
    )
    desk.screenshot(f"model library {desk.server.version}")
