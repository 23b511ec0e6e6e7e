"""A scene of several people on the artist's desk, and how many of them a run would get."""

from __future__ import annotations

from collections import Counter

from desk import Desk

COLUMNS = {"face": -700, "more": -380, "person": 0}
ROW = 420


class Crowd:
    """So many people, each with a face, a garment, and another garment through more_attributes, in one LumosX Scene.

    Args:
        desk: an open page without nodes; it shows them all afterwards.
    """

    def __init__(self, desk: Desk, people: int):
        self.desk, self.people = desk, people
        self.persons, self.extras = [], []
        self.scene = desk.add("LumosXScene", 420, 0)
        for i in range(people):
            image = desk.add("LumosXExamplePicture", COLUMNS["face"], i * ROW)
            extra = desk.add("LumosXSubject", COLUMNS["more"], i * ROW)
            person = desk.add("LumosXSubject", COLUMNS["person"], i * ROW)
            desk.connect(image, 0, extra, "attribute_1")
            desk.connect(image, 0, person, "face")
            desk.connect(image, 0, person, "attribute_1")
            desk.connect(extra, 0, person, "more_attributes_1")
            desk.connect(person, 0, self.scene, f"subject_{i + 1}")
            desk.set_widget(person, "face_phrase", f"person {i + 1}")
            self.persons.append(person)
            self.extras.append(extra)
        self.sheet = desk.add("LumosXPreviewScene", 800, 0)
        desk.connect(self.scene, 0, self.sheet, "scene")
        self.show()

    def show(self) -> None:
        self.desk.page.evaluate(
            """() => {
                const { ds, canvas } = app.canvas, nodes = app.canvas.graph.nodes
                const ends = place => nodes.map(node => node.pos[place] + node.size[place])
                const box = [Math.min(...nodes.map(n => n.pos[0])), Math.min(...nodes.map(n => n.pos[1])) - 30,
                    Math.max(...ends(0)), Math.max(...ends(1))]
                const room = [canvas.clientWidth - 240, canvas.clientHeight - 220]
                ds.scale = Math.min(1, room[0] / (box[2] - box[0]), room[1] / (box[3] - box[1]))
                ds.offset[0] = 150 / ds.scale - box[0]
                ds.offset[1] = 130 / ds.scale - box[1]
                app.canvas.setDirty(true, true)
            }"""
        )
        self.desk.settle()

    def title(self, node) -> tuple[float, float]:
        """The screen position of a node's title."""
        return tuple(
            self.desk.page.evaluate(
                """id => {
                    const node = app.canvas.graph.getNodeById(id), { ds, canvas } = app.canvas
                    const box = canvas.getBoundingClientRect()
                    const x = node.pos[0] + Math.min(120, node.size[0] / 2), y = node.pos[1] - 14
                    return [box.left + (x + ds.offset[0]) * ds.scale, box.top + (y + ds.offset[1]) * ds.scale]
                }""",
                node,
            )
        )

    def select(self, *nodes) -> None:
        """Click the titles of nodes, all but the first with Ctrl."""
        keyboard, mouse = self.desk.page.keyboard, self.desk.page.mouse
        for place, node in enumerate(nodes):
            if place:
                keyboard.down("Control")
            mouse.click(*self.title(node))
            self.desk.settle()
        keyboard.up("Control")

    def select_all(self) -> None:
        self.focus()
        self.press("Control+a")

    def focus(self) -> None:
        """Click where nothing is, so that keys go to the canvas."""
        self.desk.page.mouse.click(*self.empty_place())
        self.desk.settle()

    def empty_place(self) -> tuple[float, float]:
        return 1280, 850

    def press(self, keys: str) -> None:
        self.desk.page.keyboard.press(keys)
        self.desk.settle()
        self.desk.page.wait_for_timeout(150)


def scenes(prompt: dict) -> list[int]:
    """Of each LumosX Scene that a run would get, the number of its people who are whole."""
    return sorted(
        sum(_whole(prompt, source) for source in _links(node, "subject_"))
        for node in prompt.values()
        if node["class_type"] == "LumosXScene"
    )


def _links(node: dict, slot: str) -> list[str]:
    return [value[0] for name, value in node["inputs"].items() if name.startswith(slot) and isinstance(value, list)]


def _whole(prompt: dict, id: str) -> bool:
    person = prompt[id]
    links = Counter(name for name, value in person["inputs"].items() if isinstance(value, list))
    extras = [prompt[each] for each in _links(person, "more_attributes_")]
    return links["face"] == links["attribute_1"] == 1 and [len(_links(each, "attribute_1")) for each in extras] == [1]
