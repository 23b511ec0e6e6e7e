"""Images in nodes as an artist brings them: uploaded, dropped, chosen; and what a workflow without weights says."""

from __future__ import annotations

import base64

import pytest
from PIL import Image

RENDERERS = pytest.mark.parametrize("vue", [False, True], ids=["canvas", "nodes 2.0"])
EXAMPLE = "two_people/subjects/2/face_man.png"


@pytest.fixture
def cutout(tmp_path):
    image = Image.new("RGBA", (100, 60), (0, 90, 0, 0))
    image.paste((200, 10, 10, 255), (40, 20, 60, 40))
    path = tmp_path / "my cutout.png"
    image.save(path)
    return path


def begin(desk, vue: bool) -> None:
    desk.set("Comfy.VueNodes.Enabled", vue)
    desk.open()
    desk.clear()


def graph(desk) -> dict[str, int]:
    """A LumosX Load Image whose image and mask are shown by ComfyUI."""
    ids = {
        "load": desk.add("LumosXLoadImage"),
        "show": desk.add("PreviewImage", 500, 0),
        "mask": desk.add("MaskToImage", 500, 400),
        "show_mask": desk.add("PreviewImage", 800, 400),
    }
    desk.connect(ids["load"], 0, ids["show"], "images")
    desk.connect(ids["load"], 1, ids["mask"], "mask")
    desk.connect(ids["mask"], 0, ids["show_mask"], "images")
    return ids


def value(desk, node: int, name: str) -> str:
    return desk.page.evaluate(
        "([id, name]) => app.graph.getNodeById(id).widgets.find(w => w.name === name).value", [node, name]
    )


def previewed(desk, node: int, vue: bool, width: int) -> None:
    """Wait until a node shows an image of this width."""
    if vue:
        desk.page.wait_for_function(
            """([id, width]) => [...document.querySelectorAll(`[data-node-id="${id}"] img`)]
                .some(image => image.naturalWidth === width)""",
            arg=[node, width],
        )
    else:
        desk.page.wait_for_function(
            "([id, width]) => app.graph.getNodeById(id).imgs?.some(image => image.naturalWidth === width)",
            arg=[node, width],
        )


def seen(desk, node: int, outputs: dict) -> Image.Image:
    [path] = desk.server.saved(outputs, str(node))
    return Image.open(path)


@RENDERERS
def test_an_image_is_uploaded_shown_and_run(desk, cutout, vue):
    begin(desk, vue)
    ids = graph(desk)
    desk.look_at(ids["load"])
    if vue:
        upload = desk.page.locator(f'[data-node-id="{ids["load"]}"] input[type=file]')
        if not upload.count():
            desk.page.locator(f'[data-node-id="{ids["load"]}"]').get_by_role("button").first.click()
        upload.or_(desk.page.locator("input[type=file]")).first.set_input_files(cutout)
    else:
        with desk.page.expect_file_chooser() as chooser:
            desk.page.evaluate(
                "id => app.graph.getNodeById(id).widgets.find(w => w.name === 'upload').callback()", ids["load"]
            )
        chooser.value.set_files(cutout)
    desk.page.wait_for_function(
        "id => app.graph.getNodeById(id).widgets.find(w => w.name === 'image').value.startsWith('my cutout')",
        arg=ids["load"],
    )
    previewed(desk, ids["load"], vue, 100)
    outputs = desk.run()
    assert seen(desk, ids["show"], outputs).convert("RGB").getpixel((0, 0)) == (255, 255, 255)
    assert seen(desk, ids["show_mask"], outputs).convert("L").getpixel((50, 30)) == 255
    assert seen(desk, ids["show_mask"], outputs).convert("L").getpixel((0, 0)) == 0
    desk.screenshot(f"load_image_uploaded_{'vue' if vue else 'canvas'}")
    assert not desk.errors


def drop(desk, path, x: float, y: float) -> None:
    """Drop a file from outside of the browser onto a place of the page."""
    desk.page.evaluate(
        """([content, name, x, y]) => {
            const bytes = Uint8Array.from(atob(content), letter => letter.charCodeAt(0))
            const dataTransfer = new DataTransfer()
            dataTransfer.items.add(new File([bytes], name, { type: "image/png" }))
            const target = document.elementFromPoint(x, y)
            for (const kind of ["dragenter", "dragover", "drop"])
                target.dispatchEvent(new DragEvent(kind, {
                    bubbles: true, cancelable: true, clientX: x, clientY: y, dataTransfer
                }))
        }""",
        [base64.b64encode(path.read_bytes()).decode(), path.name, x, y],
    )


@RENDERERS
def test_a_file_dropped_onto_an_example_replaces_it(desk, cutout, vue):
    begin(desk, vue)
    ids = graph(desk)
    desk.set_widget(ids["load"], "image", f"{EXAMPLE} [lumosx]")
    previewed(desk, ids["load"], vue, 135)
    desk.look_at(ids["load"])
    place = desk.page.evaluate(
        """id => {
            const { pos, size } = app.graph.getNodeById(id), { ds, canvas } = app.canvas
            const box = canvas.getBoundingClientRect()
            return [box.left + (pos[0] + size[0] / 2 + ds.offset[0]) * ds.scale,
                    box.top + (pos[1] + size[1] - 20 + ds.offset[1]) * ds.scale]
        }""",
        ids["load"],
    )
    desk.screenshot(f"load_image_example_{'vue' if vue else 'canvas'}")
    drop(desk, cutout, *place)
    desk.page.wait_for_function(
        "id => app.graph.getNodeById(id).widgets.find(w => w.name === 'image').value.startsWith('my cutout')",
        arg=ids["load"],
    )
    previewed(desk, ids["load"], vue, 100)
    assert not desk.errors


@RENDERERS
def test_an_example_picture_shows_its_image_as_soon_as_it_is_chosen(desk, vue):
    begin(desk, vue)
    node = desk.add("LumosXExamplePicture")
    desk.look_at(node)
    shown = desk.page.locator("img[alt]")

    def image_is(name: str) -> None:
        desk.page.wait_for_function(
            "name => [...document.querySelectorAll('img')].some(i => i.alt === name && i.naturalWidth > 0)", arg=name
        )

    image_is(value(desk, node, "picture"))
    desk.set_widget(node, "picture", EXAMPLE)
    image_is(EXAMPLE)
    assert shown.first.is_visible()
    desk.screenshot(f"example_picture_{'vue' if vue else 'canvas'}")
    workflow = desk.workflow()
    [saved] = workflow["nodes"]
    assert saved["widgets_values"] == [EXAMPLE]
    desk.clear()
    desk.load(workflow)
    image_is(EXAMPLE)
    assert desk.api_prompt()[str(node)]["inputs"] == {"picture": EXAMPLE}
    assert not desk.errors


@RENDERERS
def test_without_weights_the_page_says_what_is_missing_and_how_to_get_it(desk, vue):
    begin(desk, vue)
    desk.load_template("Two people, own outfits")
    desk.close_dialogs()
    desk.run()
    said = desk.page.get_by_text("A part of the workflow did not run").first
    said.wait_for()
    text = desk.page.locator("body").inner_text()
    desk.page.wait_for_timeout(500)
    desk.screenshot(f"no_weights_{'vue' if vue else 'canvas'}")
    assert "is not in models/diffusion_models" in text
    assert f"-m lumosx_core download --comfyui {desk.server.directory}" in text
