"""Words of the prompt in the colours of the people and things they belong to, in ComfyUI's page."""

import pytest

from lumosx_core.drawing.contact_sheet import COLOURS

MAN, WOMAN, LAMP = COLOURS[:3]  # subjects come first, then objects
NODES = ("LoadImage", "LumosXSubject", "LumosXSubject", "LumosXScene", "LumosXSceneToVideo")
PICTURE, FIRST, SECOND, SCENE, VIDEO = range(1, 6)
PROMPT = "A man in a denim jacket hands a red hat to a woman by a white lamp."


@pytest.fixture(params=["classic", "Nodes 2.0"])
def renderer(request):
    return request.param


@pytest.fixture
def scene(shared_desk, renderer):
    """The page with a man in a denim jacket, a woman in a red hat, and a white lamp, but no prompt."""
    shared_desk.draw_by(renderer)
    build(shared_desk)
    yield shared_desk
    shared_desk.draw_by("classic")


def build(desk):
    desk.clear()
    for number, kind in enumerate(NODES, 1):
        assert int(desk.add(kind, 420 * (number - VIDEO), 300 * (number == SECOND))) == number
    for node, slot, phrase in (
        (FIRST, "face", "man"),
        (FIRST, "attribute_1", "denim jacket"),
        (SECOND, "face", "woman"),
        (SECOND, "attribute_1", "red hat"),
        (SCENE, "object_1", "white lamp"),
    ):
        desk.connect(PICTURE, 0, node, slot)
        desk.set_widget(node, f"{slot}_phrase", phrase)
    desk.connect(FIRST, 0, SCENE, "subject_1")
    desk.connect(SECOND, 0, SCENE, "subject_2")
    desk.connect(SCENE, 0, VIDEO, "scene")
    desk.look_at(VIDEO, zoom=1.5)


def prompt_of(desk, name="positive_prompt"):
    boxes = desk.page.get_by_placeholder(name, exact=True).or_(desk.page.get_by_label(name, exact=True))
    return boxes.locator("visible=true")


def write(desk, text, name="positive_prompt"):
    box = prompt_of(desk, name)
    box.click(position={"x": 120, "y": 12})
    box.press("ControlOrMeta+a")
    desk.page.keyboard.insert_text(text)


def marks(desk):
    """Words that have a colour, and which; of a word of several groups the picture of stripes."""
    return desk.page.evaluate(
        """() => {
            const seen = [...document.querySelectorAll(".lumosx-mirror span")].filter(span => span.checkVisibility())
            return seen.map(span => {
                const { backgroundColor, backgroundImage } = getComputedStyle(span)
                return [span.textContent, backgroundImage === "none" ? backgroundColor : backgroundImage]
            })
        }"""
    )


def expect_words(desk, kind, words):
    """Wait until the elements of a kind are just these words."""
    desk.page.wait_for_function(
        """([kind, words]) => {
            const seen = [...document.querySelectorAll(kind)].filter(each => each.checkVisibility())
            const found = seen.map(each => each.textContent)
            return JSON.stringify(found) === JSON.stringify(words)
        }""",
        arg=[kind, list(words)],
    )


def expect_text(desk, kind, text):
    assert desk.page.locator(kind).all_text_contents() == [text]


def expect_marks(desk, *expected):
    """Wait for words in colours, given as (word, colour)."""
    expect_words(desk, ".lumosx-mirror span", [word for word, _ in expected])
    assert [colour for _, colour in marks(desk)] == [tint(colour) for _, colour in expected]


def tint(colour):
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, 0.3)"


def expect_missing(desk, *phrases):
    """Wait for phrases below the prompt."""
    expect_words(desk, ".lumosx-missing u", phrases)


ALL = (("man", MAN), ("denim jacket", MAN), ("red hat", WOMAN), ("woman", WOMAN), ("white lamp", LAMP))


def test_words_get_the_colours_of_their_groups_while_they_are_typed(scene):
    write(scene, "")
    scene.page.keyboard.type("A man in a denim jacket", delay=10)
    expect_marks(scene, ("man", MAN), ("denim jacket", MAN))
    scene.page.keyboard.type(" hands a red hat to a woman by a white lamp.", delay=10)
    expect_marks(scene, *ALL)
    scene.screenshot("prompt_colours")
    assert scene.errors == []


def test_words_of_two_groups_have_stripes_of_both_colours(scene):
    scene.set_widget(SECOND, "attribute_1_phrase", "denim jacket")
    write(scene, "a denim jacket")
    scene.page.locator(".lumosx-mirror span").wait_for()
    [(word, stripes)] = marks(scene)
    assert word == "denim jacket" and tint(MAN) in stripes and tint(WOMAN) in stripes


def test_weights_choices_and_line_breaks_do_not_hide_words(scene):
    write(scene, "A (man:1.2) in a denim\njacket, {a red hat|a woman in a red hat}, a ((woman)) \\(white lamp\\)")
    words = ("man", "denim\njacket", "red hat", "woman", "red hat", "woman", "white lamp")
    expect_marks(scene, *zip(words, (MAN, MAN, WOMAN, WOMAN, WOMAN, WOMAN, LAMP), strict=True))
    expect_missing(scene)
    write(scene, "A man in a denim jacket, a woman in a {red hat|cap} by a white lamp")
    expect_missing(scene, "red hat")
    assert "some of the choices" in scene.page.locator(".lumosx-missing u").get_attribute("title")


def test_phrases_that_the_prompt_lacks_are_listed_at_the_foot_of_its_box_with_what_is_wrong(scene, renderer):
    write(scene, "A man in a Denim Jacket, a red hat, a white lamp")
    expect_missing(scene, "denim jacket", "woman")
    message = scene.page.locator(".lumosx-missing u").first.get_attribute("title")
    assert message.startswith('Phrase "denim jacket" of subject 1 (attribute 1) does not occur in the prompt.')
    assert 'The prompt writes it "Denim Jacket".' in message
    assert 'Did you mean "Denim Jacket"?' in message
    expect_text(scene, ".lumosx-missing", "Not in the prompt:denim jacket (“Denim Jacket”?)woman (“man”?)")
    box, listed = prompt_of(scene).bounding_box(), scene.page.locator(".lumosx-remarks").bounding_box()
    assert abs(listed["y"] + listed["height"] - box["y"] - box["height"]) < 1
    assert listed["y"] > box["y"] and listed["x"] >= box["x"] - 1
    assert listed["x"] + listed["width"] <= box["x"] + box["width"] + 1
    scene.screenshot(f"prompt_missing_{renderer}")
    write(scene, PROMPT)
    expect_missing(scene)


def test_another_phrase_on_a_subject_shows_in_the_prompt(scene):
    write(scene, PROMPT)
    expect_marks(scene, *ALL)
    scene.type_into(FIRST, "attribute_1_phrase", "jacket")
    scene.look_at(VIDEO)
    expect_marks(scene, ALL[0], ("jacket", MAN), *ALL[2:])
    scene.type_into(FIRST, "attribute_1_phrase", "coat")
    scene.look_at(VIDEO)
    expect_missing(scene, "coat")
    expect_marks(scene, ALL[0], *ALL[2:])


def test_the_server_is_asked_only_when_the_scene_or_the_prompt_has_changed(scene):
    write(scene, PROMPT)
    expect_marks(scene, *ALL)
    asked = []
    scene.page.on("request", lambda request: asked.append(request.url.rpartition("/")[2]))
    scene.page.evaluate("() => { app.graph.getNodeById(4).pos = [0, 700] }")
    scene.set_widget(VIDEO, "width", 640)
    scene.page.evaluate("() => app.extensionManager.workflow.activeWorkflow.changeTracker.checkState()")
    scene.page.wait_for_timeout(1000)
    assert "match_phrases" not in asked
    write(scene, "A man")
    expect_missing(scene, "white lamp", "denim jacket", "woman", "red hat")
    assert asked.count("match_phrases") == 1


def test_colours_move_with_their_words_before_the_server_has_answered(scene):
    write(scene, PROMPT)
    expect_marks(scene, *ALL)
    scene.page.route("**/lumosx/match_phrases", lambda route: None)  # it never answers
    prompt_of(scene).press("Control+Home")
    scene.page.keyboard.type("Dusk. ")
    assert [word for word, _ in marks(scene)] == [word for word, _ in ALL]
    assert misplaced(scene) == []
    prompt_of(scene).press("Control+End")
    for _ in range(len("lamp.")):
        scene.page.keyboard.press("Backspace")
    assert [word for word, _ in marks(scene)] == [word for word, _ in ALL[:-1]]


def misplaced(desk):
    """Marks within the box with an edge that is not just where the textarea has it, by a third of a letter."""
    return desk.page.evaluate(
        """() => {
            const area = document.querySelector("textarea[data-lumosx=mirrored]"), box = area.getBoundingClientRect()
            const spans = [...document.querySelectorAll(".lumosx-mirror span")]
            const whole = spans.find(span => span.getClientRects().length === 1)
            const letter = whole.getBoundingClientRect().width / whole.textContent.length
            // A third of a letter, or of a space where that is narrower.
            const pen = new OffscreenCanvas(1, 1).getContext("2d")
            pen.font = getComputedStyle(area).font
            const ofLetter = pen.measureText(whole.textContent).width / whole.textContent.length
            const step = letter * Math.min(0.35, 0.4 * pen.measureText(" ").width / ofLetter)
            // What the textarea says which letters are left and right of an edge, near its top and its bottom.
            const around = (x, { top, bottom }) => [-step, step].flatMap(aside => [top + 1.5, bottom - 1.5].map(y => {
                if (y < box.top + 1 || y > box.bottom - 1) return null
                const { offsetNode, offset } = document.caretPositionFromPoint(x + aside, y)
                return offsetNode === area ? offset : "elsewhere"
            }))
            let at = 0
            return [...document.querySelector(".lumosx-mirror > div").childNodes].flatMap(part => {
                const start = at, end = at += part.textContent.length
                if (part.nodeType !== Node.ELEMENT_NODE) return []
                const lines = [...part.getClientRects()], first = lines[0], last = lines.at(-1)
                const wrong = [...around(first.left, first).filter(offset => offset !== null && offset !== start),
                    ...around(last.right, last).filter(offset => offset !== null && offset !== end)]
                return wrong.length ? [[part.textContent, start, end, ...wrong]] : []
            })
        }"""
    )


@pytest.mark.parametrize("zoom", [0.8, 1.0, 2.2])
def test_colours_lie_under_their_words_when_the_text_is_scrolled_and_the_node_resized(scene, zoom):
    # Short words first: a line breaks elsewhere as soon as its room is a little wider or narrower.
    write(scene, "\n".join(f"{'a ' * 60}{PROMPT}" for _ in range(30)))
    scene.page.wait_for_function("() => document.querySelectorAll('.lumosx-mirror span').length === 150")
    scene.look_at(VIDEO, zoom)
    area = prompt_of(scene)
    for width, height, scrolled in ((400, 420, 0), (400, 420, 47), (560, 500, 131), (330, 420, 10_000)):
        scene.page.evaluate("size => app.graph.getNodeById(5).setSize(size)", [width, height])
        scene.look_at(VIDEO, zoom)
        area.evaluate("(area, top) => { area.scrollTop = top }", scrolled)
        scene.settle()
        assert area.evaluate("area => area.scrollHeight > area.clientHeight && area.clientWidth < area.offsetWidth")
        assert misplaced(scene) == []
    scene.screenshot(f"prompt_scrolled_{zoom}")


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_words_stay_readable_on_their_colours(scene, theme):
    write(scene, PROMPT)
    expect_marks(scene, *ALL)
    scene.page.evaluate("theme => app.extensionManager.setting.set('Comfy.ColorPalette', theme)", theme)
    scene.settle()
    text = prompt_of(scene).evaluate("area => getComputedStyle(area).color")
    page = scene.page.locator(".lumosx-mirror").evaluate("mirror => getComputedStyle(mirror).backgroundColor")
    scene.screenshot(f"prompt_{theme}")
    scene.page.evaluate("() => app.extensionManager.setting.set('Comfy.ColorPalette', 'dark')")
    assert (sum(numbers(page)) > 3 * 128) == (theme == "light")
    for colour in COLOURS:
        assert contrast(numbers(text), mixed(numbers(tint(colour)), numbers(page))) > 4.5


def numbers(colour):
    return [float(part) for part in colour.partition("(")[2].rstrip(")").split(",")]


def mixed(tinted, page):
    *colour, alpha = tinted
    return [alpha * one + (1 - alpha) * other for one, other in zip(colour, page, strict=False)]


def contrast(one, other):
    """The ratio of WCAG 2."""

    def luminance(colour):
        parts = [part / 255 for part in colour[:3]]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_the_preview_of_a_scene_has_the_same_colours(scene):
    preview = scene.add("LumosXPreviewScene", 500, 0)
    scene.connect(SCENE, 0, preview, "scene")
    scene.page.evaluate("() => app.graph.remove(app.graph.getNodeById(5))")
    scene.look_at(preview)
    unfold = scene.page.locator(f'[data-node-id="{preview}"]').get_by_text("Show advanced inputs")
    if unfold.count():  # Nodes 2.0 of later front ends
        unfold.click()
    write(scene, "a {man|x} and a woman", name="prompt")
    expect_marks(scene, ("man", MAN), ("woman", WOMAN))
    expect_missing(scene, "white lamp", "denim jacket", "red hat")  # no choices are drawn in this prompt
    write(scene, " ", name="prompt")
    expect_missing(scene)  # it can do without a prompt, and then lacks nothing


def test_widgets_that_act_when_they_are_asked_for_their_value_are_left_in_peace(scene):
    """Such as one that takes a picture or ends a recording: that is for Run."""
    write(scene, PROMPT)
    expect_marks(scene, *ALL)
    scene.page.evaluate(
        "() => { app.graph.getNodeById(1).widgets[0].serializeValue = async () => { window.acted = true; return 'x' } }"
    )
    write(scene, "A man")
    expect_marks(scene)
    assert not scene.page.evaluate("() => window.acted")


def test_a_prompt_from_another_node_has_no_colours(scene):
    write(scene, PROMPT)
    expect_marks(scene, *ALL)
    text = scene.add("PrimitiveStringMultiline", 0, 500)
    scene.connect(text, 0, VIDEO, "positive_prompt")
    scene.page.evaluate("() => app.extensionManager.workflow.activeWorkflow.changeTracker.checkState()")
    expect_marks(scene)
    expect_missing(scene)


def test_a_node_within_a_subgraph_has_colours_too(desk):
    build(desk)
    write(desk, "a man")
    expect_marks(desk, ("man", MAN))
    desk.page.evaluate(
        """() => {
            const nodes = [4, 5].map(id => app.graph.getNodeById(id))
            const { subgraph } = app.graph.convertToSubgraph(new Set(nodes))
            app.canvas.setGraph(subgraph)
            const node = subgraph.nodes.find(node => node.type === "LumosXSceneToVideo")
            app.canvas.ds.scale = 1
            app.canvas.ds.offset = [400 - node.pos[0], 300 - node.pos[1]]
            app.canvas.setDirty(true, true)
        }"""
    )
    write(desk, "a woman by a white lamp")
    expect_marks(desk, ("woman", WOMAN), ("white lamp", LAMP))


def test_the_workflow_is_the_same_with_and_without_the_colours(scene, desk, renderer):
    write(scene, PROMPT)
    expect_marks(scene, *ALL)
    desk.page.route("**/prompt_colours.js", lambda route: route.abort())
    desk.open()
    desk.draw_by(renderer)
    build(desk)
    write(desk, PROMPT)
    desk.page.wait_for_timeout(1000)
    assert marks(desk) == []
    assert scene.api_prompt() == desk.api_prompt()
    # An id is drawn at random; Nodes 2.0 of 1.35 measures places on the screen.
    assert {**rounded(scene.workflow()), "id": ""} == {**rounded(desk.workflow()), "id": ""}


def rounded(content):
    if isinstance(content, dict):
        return {name: rounded(each) for name, each in content.items()}
    if isinstance(content, list):
        return list(map(rounded, content))
    return round(content, 3) + 0.0 if isinstance(content, float) else content


@pytest.mark.parametrize("status", [404, 500])
def test_without_the_route_the_prompt_is_a_plain_textarea(scene, status):
    write(scene, "A man")
    expect_marks(scene, ("man", MAN))
    scene.page.route("**/lumosx/match_phrases", lambda route: route.fulfill(status=status, body="no"))
    with scene.page.expect_response("**/lumosx/match_phrases"):
        write(scene, PROMPT)
    expect_marks(scene)
    assert (
        scene.page.locator(".lumosx-remarks, .lumosx-mirror, [data-lumosx=mirrored], [data-lumosx-remarks]").count()
        == 0
    )
    assert prompt_of(scene).input_value() == PROMPT == scene.api_prompt()["5"]["inputs"]["positive_prompt"]


def change(desk, phrases):
    """Give subjects other phrases for their faces."""
    for node, phrase in phrases.items():
        desk.set_widget(node, "face_phrase", phrase)
    desk.page.evaluate("() => app.extensionManager.workflow.activeWorkflow.changeTracker.checkState()")


def test_the_renderer_can_be_exchanged_on_the_open_page(shared_desk):
    shared_desk.draw_by("classic")
    build(shared_desk)
    write(shared_desk, "A man in a denim jacket")
    for renderer in ("Nodes 2.0", "classic", "Nodes 2.0", "classic"):
        shared_desk.draw_by(renderer)
        shared_desk.look_at(VIDEO, zoom=1.5)
        expect_marks(shared_desk, ("man", MAN), ("denim jacket", MAN))
        expect_missing(shared_desk, "white lamp", "woman", "red hat")
        assert misplaced(shared_desk) == []
        write(shared_desk, "A woman in a red hat")
        expect_marks(shared_desk, ("woman", WOMAN), ("red hat", WOMAN))
        write(shared_desk, "A man in a denim jacket")
        expect_marks(shared_desk, ("man", MAN), ("denim jacket", MAN))


def test_colours_come_back_with_their_box(scene):
    """In Nodes 2.0 a box is re-created whenever its graph is opened, and when a folded node is unfolded."""
    write(scene, PROMPT)
    expect_marks(scene, *ALL)
    for collapsed in (True, False):
        scene.page.evaluate("() => app.graph.getNodeById(5).collapse()")
        if collapsed:
            scene.page.wait_for_function("() => !document.querySelector('.lumosx-mirror')?.checkVisibility()")
    expect_marks(scene, *ALL)
    write(scene, "A man")
    expect_marks(scene, ("man", MAN))


def test_nodes_of_two_graphs_keep_their_own_colours(desk, renderer):
    """The page makes the box of the one from that of the other where it can."""
    desk.draw_by(renderer)
    build(desk)
    write(desk, "a man")
    expect_marks(desk, ("man", MAN))
    ids = desk.page.evaluate(
        """() => {
            const { subgraph } = app.graph.convertToSubgraph(new Set([app.graph.getNodeById(5)]))
            const inside = subgraph.nodes.find(node => node.type === "LumosXSceneToVideo")
            const outside = LiteGraph.createNode("LumosXSceneToVideo")
            outside.pos = [...inside.pos]
            app.graph.add(outside)
            app.graph.getNodeById(4).connect(0, outside, outside.inputs.findIndex(input => input.name === "scene"))
            return { inside: inside.id, outside: outside.id }
        }"""
    )
    desk.look_at(ids["outside"], zoom=1.5)
    write(desk, "a woman by a white lamp")
    expect_marks(desk, ("woman", WOMAN), ("white lamp", LAMP))
    for where in ("inside", "outside", "inside"):
        desk.page.evaluate(
            """([id, inside]) => {
                app.canvas.setGraph(inside ? [...app.rootGraph.subgraphs.values()][0] : app.rootGraph)
                const node = app.canvas.graph.getNodeById(id), { ds } = app.canvas
                ds.scale = 1.5
                ds.offset = [200 - node.pos[0], 150 - node.pos[1]]
                app.canvas.setDirty(true, true)
            }""",
            [ids[where], where == "inside"],
        )
        expect_marks(desk, *([("man", MAN)] if where == "inside" else [("woman", WOMAN), ("white lamp", LAMP)]))


def test_warnings_about_the_scene_stand_below_the_missing_phrases_while_typing(scene, renderer):
    scene.set_widget(SECOND, "face_phrase", "man")
    write(scene, "A man in a denim jacket, a man in a red hat by a white lamp")
    expect_words(
        scene,
        ".lumosx-warning",
        [
            'The phrase "man" belongs to subject 1 (face) and to subject 2 (face), so it does not say whose it is. '
            'Write "man#1" for the one and "man#2" for the other.'
        ],
    )
    expect_missing(scene)
    scene.screenshot(f"prompt_warning_{renderer}")
    change(scene, {FIRST: "man#1", SECOND: "man#1"})
    scene.page.locator(".lumosx-warning", has_text='"man#1" is used for subject 1 (face) and for').wait_for()
    change(scene, {SECOND: "man#2"})
    scene.page.locator(".lumosx-warning").wait_for(state="detached")
    write(scene, " ")
    scene.page.locator(".lumosx-warning", has_text="The prompt is empty").wait_for()


def test_text_is_written_above_what_is_said_at_the_foot_and_a_click_there_goes_on_writing(scene, renderer):
    write(scene, "A man in a denim jacket.\n" * 30)
    scene.page.locator(".lumosx-missing").wait_for()
    area = prompt_of(scene)
    area.evaluate("area => { area.blur(); area.scrollTop = area.scrollHeight }")
    scene.settle()
    last, listed = scene.page.locator(".lumosx-mirror span").last, scene.page.locator(".lumosx-remarks")
    assert last.bounding_box()["y"] + last.bounding_box()["height"] <= listed.bounding_box()["y"] + 1
    assert misplaced(scene) == []
    listed.click()
    assert area.evaluate("area => document.activeElement === area")
    scene.screenshot(f"prompt_foot_{renderer}")
