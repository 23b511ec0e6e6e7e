"""Links and slots of scenes have a colour of their own, in both renderers and whatever the palette."""

import pytest

SCENE = (122, 92, 255)


@pytest.mark.parametrize("renderer", ["classic", "Nodes 2.0"])
@pytest.mark.parametrize("palette", ["dark", "light", "nord"])
def test_links_of_scenes_have_their_own_colour(shared_desk, renderer, palette):
    desk = shared_desk
    desk.clear()
    desk.draw_by(renderer)
    desk.page.evaluate("palette => app.extensionManager.setting.set('Comfy.ColorPalette', palette)", palette)
    subject, scene = desk.add("LumosXSubject", 0, 0), desk.add("LumosXScene", 520, 0)
    desk.connect(subject, 0, scene, "subject_1")
    desk.look_at(scene)
    desk.settle()
    try:
        colours = desk.page.evaluate(
            """() => {
                const rgb = colour => {
                    const pen = new OffscreenCanvas(1, 1).getContext("2d")
                    pen.fillStyle = colour
                    pen.fillRect(0, 0, 1, 1)
                    return [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3)
                }
                const of = type => [
                    LGraphCanvas.link_type_colors[type],
                    app.canvas.default_connection_color_byType[type],
                    getComputedStyle(document.body).getPropertyValue(`--color-datatype-${type}`),
                ].map(colour => colour && rgb(colour))
                return [of("LUMOSX_SCENE"), of("MODEL")]
            }"""
        )
        assert [tuple(each) for each in colours[0]] == [SCENE] * 3
        assert all(tuple(each or ()) != SCENE for each in colours[1])
        assert is_drawn(desk)
        desk.screenshot(f"link {palette} {renderer}")
    finally:
        desk.page.evaluate("() => app.extensionManager.setting.set('Comfy.ColorPalette', 'dark')")
        desk.draw_by("classic")


def is_drawn(desk) -> bool:
    """Whether the colour is on the screen."""
    from io import BytesIO

    import numpy as np
    from PIL import Image

    picture = np.asarray(Image.open(BytesIO(desk.page.screenshot())).convert("RGB")).astype(int)
    return bool((abs(picture - SCENE).max(-1) <= 3).sum() > 50)
