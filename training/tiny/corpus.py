"""Caption-like sentences of our own, from which the tokeniser of lumosx-tiny learns its vocabulary."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

_WORDS = """
person: man, woman, girl, boy, person, chef, astronaut, teacher, dancer, musician, grandfather, child
animal: cat, dog, horse, rabbit, parrot, fox
colour: red, orange, yellow, green, blue, purple, pink, brown, black, white, grey, beige, dark, light,
    silver, golden
pattern: striped, plaid, dotted, plain, floral, checked, denim, leather, woollen, knitted, wooden, metal,
    glass
garment: jacket, shirt, t-shirt, sweater, dress, coat, suit, space suit, headband, baseball cap, hat, scarf,
    apron, vest, skirt, trousers, glasses, gloves, boots, necklace, earrings, hoodie, uniform, tie, collar
feature: long wavy hair, short hair, a beard, a ponytail, curly hair, a moustache, hair tied back, a warm
    smile
object: coffee cup, table, lamp, book, guitar, camera, bottle, cutting board, mixing bowl, baking dish,
    plant, mirror, bicycle, laptop, umbrella, painting, kettle, chair, bedside table, pillow, blanket, knife,
    plate, bag, phone, flower
place: modern kitchen, cozy room, sunny garden, quiet street, busy market, small library, wide beach, forest
    path, bright office, living room, restaurant, park, launch pad, train station, bedroom, studio, workshop,
    rooftop at night
action: stands, sits, walks slowly, smiles, listens attentively, gestures with both hands, looks at the
    camera, laughs, reads, talks, is holding it carefully, turns around, appears to be explaining something, is
    leaning against the wall
light: natural, warm, soft, bright, dim, golden, cinematic, indoor, realistic, vibrant, textured, casual,
    minimalist
"""

_SENTENCES = """
A [person] with [feature], wearing a [colour] [garment] and a [pattern] [garment], [action] in a [place].
The [person] on the left, dressed in a [pattern] [garment], [action] while the [person] on the right [action].
In the background, there is a [colour] [object] with a [pattern] [object] next to it.
Two people, a [person] and a [person], are seated at a table with a [object] between them.
A [animal] wearing a [colour] [garment] [action] beside a [person] in a [place].
The scene is captured from an eye-level camera angle with [light] lighting, creating a [light] atmosphere.
Behind the [person], a [colour] wall features a [pattern] [object] and a [colour] [object].
She [action], touching the [garment], and he [action]; the [object] is placed in front of them.
Three individuals are engaged in a conversation; the middle person, in a [colour] [garment], [action].
The [object] on the counter is [colour], and the overall style of the [place] is [light] and [light].
"""


def caption_sentences(count: int, seed: int = 0) -> Iterator[str]:
    """Yield `count` sentences in the manner of video captions; the same ones for the same seed."""
    rows = re.sub(r"\n +", " ", _WORDS).strip().splitlines()
    words = {kind: choices.split(", ") for kind, choices in (row.split(": ") for row in rows)}
    sentences = _SENTENCES.strip().splitlines()
    chance = random.Random(seed)
    for _ in range(count):
        yield re.sub(r"\[(\w+)\]", lambda match: chance.choice(words[match[1]]), chance.choice(sentences))
