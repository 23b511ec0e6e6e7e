"""Contents of the images in the node help: each node with values in it, and its neighbours where they explain more."""

from __future__ import annotations

from dataclasses import dataclass, field

PROMPT = (
    "On the left a woman wearing a shirt with a top hat and on the right a woman in a shirt."
    " The background is a meadow."
)


@dataclass(frozen=True)
class Node:
    """A node of a graph.

    Args:
        at: place on the canvas.
        size: on the canvas; None: the least.
    """

    kind: str
    at: tuple[float, float] = (0, 0)
    values: dict[str, object] = field(default_factory=dict)
    size: tuple[float, float] | None = None
    collapsed: bool = False


@dataclass(frozen=True)
class Graph:
    """A graph to be drawn.

    Args:
        nodes: by a name for the links.
        links: name of a node, number of its output, name of another node, name of its input.
        run: whether the graph runs before it is drawn.
        shown: names of the nodes that are drawn; none: all.
        zoom: pixels for a unit of the canvas.
    """

    nodes: dict[str, Node]
    links: tuple[tuple[str, int, str, str], ...] = ()
    run: bool = False
    shown: tuple[str, ...] = ()
    zoom: float = 1.5


def _alone(kind: str, size: tuple[float, float] | None = None, **values: object) -> Graph:
    return Graph({"node": Node(kind, values=values, size=size)})


PICTURES: dict[str, Graph] = {
    "LumosXLoadModel": _alone("LumosXLoadModel", (400, 82)),
    "LumosXLoadTextEncoder": _alone("LumosXLoadTextEncoder", (400, 58)),
    "LumosXLoadVAE": _alone("LumosXLoadVAE", (400, 58)),
    "LumosXApply": _alone("LumosXApply", (300, 130)),
    "LumosXLoadImage": _alone(
        "LumosXLoadImage", (400, 420), image="two_people/subjects/2/face_man.png [lumosx]", crop_to_content=True
    ),
    "LumosXExamplePicture": _alone("LumosXExamplePicture", (400, 58), picture="glyph_people/subjects/2/top hat.png"),
    "LumosXFaces": _alone("LumosXFaces", (340, 200), picks="1"),
    "LumosXSegment": _alone("LumosXSegment", (380, 400), phrases="denim jacket, white shirt"),
    "LumosXCoreTools": _alone("LumosXCoreTools", (340, 90)),
    "LumosXAutoScene": _alone(
        "LumosXAutoScene",
        (480, 720),
        prompt="A man in a denim jacket hands a red hat to a woman in a light brown sweater, in a cozy room.",
        plan="man: denim jacket | woman: light brown sweater || red hat || cozy room",
    ),
    "LumosXSubject": _alone("LumosXSubject", face_phrase="man", attribute_1_phrase="black coat"),
    "LumosXScene": Graph(
        {
            "man": Node("LumosXSubject", (-200, 150), collapsed=True),
            "woman": Node("LumosXSubject", (-200, 200), collapsed=True),
            "place": Node("LoadImage", (-200, 30), collapsed=True),
            "node": Node("LumosXScene", (0, 0), {"background_phrase": "cozy room"}),
        },
        (
            ("man", 0, "node", "subject_1"),
            ("woman", 0, "node", "subject_2"),
            ("place", 0, "node", "background"),
        ),
    ),
    "LumosXSceneFromFolder": _alone("LumosXSceneFromFolder", (360, 78), folder="two_people"),
    "LumosXSaveSubject": Graph(
        {
            "folder": Node("LumosXSceneFromFolder", (-270, 30), {"folder": "two_people"}, collapsed=True),
            "node": Node("LumosXSaveSubject", (0, 0), {"name": "film/Anna", "number": 1}, (420, 420)),
        },
        (("folder", 0, "node", "scene"),),
        run=True,
    ),
    "LumosXLoadSubject": _alone("LumosXLoadSubject", (360, 140), file="film/Anna.safetensors"),
    "LumosXSaveScene": Graph(
        {
            "folder": Node("LumosXSceneFromFolder", (-270, 30), {"folder": "glyph_people"}, collapsed=True),
            "node": Node("LumosXSaveScene", (0, 0), {"prompt": PROMPT}, (420, 200)),
        },
        (("folder", 0, "node", "scene"),),
    ),
    "LumosXPreviewScene": Graph(
        {
            "folder": Node("LumosXSceneFromFolder", (-270, 30), {"folder": "glyph_people"}, collapsed=True),
            "node": Node("LumosXPreviewScene", (0, 0), {"prompt": PROMPT}, (520, 840)),
        },
        (("folder", 0, "node", "scene"),),
        run=True,
        zoom=1.2,
    ),
    "LumosXSceneToVideo": Graph(
        {
            "clip": Node("CLIPLoader", (-200, 0), collapsed=True),
            "vae": Node("VAELoader", (-200, 50), collapsed=True),
            "scene": Node("LumosXSceneFromFolder", (-270, 100), {"folder": "glyph_people"}, collapsed=True),
            "node": Node("LumosXSceneToVideo", values={"positive_prompt": PROMPT}, size=(400, 420)),
        },
        (("clip", 0, "node", "clip"), ("vae", 0, "node", "vae"), ("scene", 0, "node", "scene")),
        zoom=1.3,
    ),
    "LumosXSceneForOtherModels": Graph(
        {
            "scene": Node("LumosXSceneFromFolder", (-300, 30), {"folder": "glyph_people"}, collapsed=True),
            "node": Node(
                "LumosXSceneForOtherModels", values={"prompt": PROMPT, "model": "MiniMax H3"}, size=(420, 620)
            ),
        },
        (("scene", 0, "node", "scene"),),
        zoom=1.2,
    ),
    "LumosXSampler": Graph(
        {
            "node": Node("LumosXSampler", (0, 0), size=(260, 30)),
            "sigmas": Node("LumosXSigmas", (0, 90), size=(260, 82)),
            "sampler": Node("SamplerCustomAdvanced", (330, 0), size=(300, 130)),
        },
        (("node", 0, "sampler", "sampler"), ("sigmas", 0, "sampler", "sigmas")),
        zoom=1.2,
    ),
    "LumosXSigmas": _alone("LumosXSigmas", (300, 82)),
    "LumosXBestOf": _alone("LumosXBestOf", (340, 240)),
    "LumosXSelfRouting": _alone("LumosXSelfRouting", (320, 190)),
    "LumosXRecordAttention": _alone("LumosXRecordAttention", (340, 100), steps="5-16"),
    "LumosXScoreVideo": _alone("LumosXScoreVideo", (360, 170)),
    "LumosXAttentionMap": Graph(
        {
            "model": Node("LumosXLoadModel", (-3000, 0), {"model_name": "lumosx-tiny.safetensors"}),
            "clip": Node("LumosXLoadTextEncoder", (-3000, 200), {"text_encoder_name": "lumosx-tiny-umt5.safetensors"}),
            "vae": Node("VAELoader", (-3000, 400), {"vae_name": "lumosx-tiny-vae.safetensors"}),
            "scene": Node("LumosXSceneFromFolder", (-3000, 600), {"folder": "glyph_people"}),
            "video": Node(
                "LumosXSceneToVideo",
                (-2500, 0),
                {"positive_prompt": PROMPT, "width": 80, "height": 64, "length": 9},
            ),
            "record": Node("LumosXRecordAttention", (-1000, 40), collapsed=True),
            "sampler": Node("KSampler", (-1000, 90), {"seed": 1, "steps": 16, "cfg": 1.0, "sampler_name": "euler"}),
            "decode": Node("VAEDecode", (-1000, 440), collapsed=True),
            "node": Node("LumosXAttentionMap", (0, 0), {"frames": 2}, (340, 780)),
        },
        (
            ("model", 0, "record", "model"),
            ("clip", 0, "video", "clip"),
            ("vae", 0, "video", "vae"),
            ("scene", 0, "video", "scene"),
            ("record", 0, "sampler", "model"),
            ("video", 0, "sampler", "positive"),
            ("video", 1, "sampler", "negative"),
            ("video", 2, "sampler", "latent_image"),
            ("sampler", 0, "decode", "samples"),
            ("vae", 0, "decode", "vae"),
            ("record", 1, "node", "attention"),
            ("sampler", 0, "node", "samples"),
            ("decode", 0, "node", "images"),
        ),
        run=True,
        shown=("node",),
        zoom=1.0,
    ),
    "IngredientsLoadModel": _alone("IngredientsLoadModel", (420, 106), model_name="ingredients-tiny/"),
    "IngredientsLoadTextEncoder": _alone(
        "IngredientsLoadTextEncoder", (460, 58), text_encoder_name="ingredients-tiny/"
    ),
    "IngredientsLoadVAE": _alone("IngredientsLoadVAE", (420, 58), vae_name="ingredients-tiny/"),
    "IngredientsFaces": Graph(
        {
            "man": Node("LoadImage", (-200, 40), collapsed=True),
            "woman": Node("LoadImage", (-200, 90), collapsed=True),
            "node": Node("IngredientsFaces", values={"face_encoder_name": "ingredients-tiny/"}, size=(440, 240)),
        },
        (("man", 0, "node", "image_1"), ("woman", 0, "node", "image_2")),
        zoom=1.2,
    ),
    "IngredientsToVideo": Graph(
        {
            "clip": Node("IngredientsLoadTextEncoder", (-370, 0), collapsed=True),
            "vae": Node("IngredientsLoadVAE", (-370, 50), collapsed=True),
            "faces": Node("IngredientsFaces", (-370, 100), collapsed=True),
            "node": Node(
                "IngredientsToVideo",
                values={"positive_prompt": "A man with a beard and a woman in a red dress talk at a table."},
                size=(420, 420),
            ),
        },
        (("clip", 0, "node", "clip"), ("vae", 0, "node", "vae"), ("faces", 0, "node", "faces")),
        zoom=1.2,
    ),
    "IngredientsSampler": Graph(
        {
            "node": Node("IngredientsSampler", (0, 0), size=(340, 30)),
            "sigmas": Node("IngredientsSigmas", (0, 90), size=(340, 58)),
            "sampler": Node("SamplerCustomAdvanced", (410, 0), size=(300, 130)),
        },
        (("node", 0, "sampler", "sampler"), ("sigmas", 0, "sampler", "sigmas")),
        zoom=1.1,
    ),
    "IngredientsSigmas": _alone("IngredientsSigmas", (440, 58)),
    "IngredientsRecordRouter": _alone("IngredientsRecordRouter", (380, 100), steps="5-16"),
    "IngredientsRouterMap": _alone("IngredientsRouterMap", (440, 140)),
}
"""By node id."""
