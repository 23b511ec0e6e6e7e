"""No front end reports a deprecated function of the page in our files."""

import pytest

OURS = "OURS IS DEPRECATED"


@pytest.mark.parametrize("renderer", ["classic", "Nodes 2.0"])
def test_our_files_use_nothing_that_the_page_calls_deprecated(desk, renderer):
    said = []
    # Where it was said: the page's own functions, called by one of our files.
    desk.page.add_init_script(
        """for (const kind of ["warn", "error", "log"]) {
            const { [kind]: plain } = console
            console[kind] = function (...texts) {
                const { stack } = new Error()
                if (/deprecat/i.test(texts.join(" ")) && stack.includes("ComfyUI-LumosX")) {
                    plain.call(console, "OURS IS DEPRECATED", ...texts, stack)
                } else plain.apply(console, texts)
            }
        }"""
    )
    desk.page.on("console", lambda message: said.append(message.text) if message.text.startswith(OURS) else None)
    desk.open()
    desk.page.evaluate("() => { LiteGraph.alwaysRepeatWarnings = true }")  # or it says each only for the first who asks
    desk.draw_by(renderer)
    desk.load_template("Two people, own outfits")
    desk.close_dialogs()
    video = desk.page.evaluate("() => String(app.graph.nodes.find(node => node.type === 'LumosXSceneToVideo').id)")
    desk.look_at(video)
    desk.page.locator(".lumosx-mirror").first.wait_for()
    desk.page.evaluate("() => { app.graph.nodes.find(node => node.type === 'LumosXSubject').mode = 2 }")
    desk.page.get_by_test_id("queue-button").click()
    desk.page.locator(".lumosx-notices").wait_for()
    assert said == []
