"""Long and hostile prompts are searched in time that grows with their length, not with its square."""

from __future__ import annotations

import re
import time

import pytest
import torch

from lumosx_core.prompt.highlight import MOST_LETTERS, mark_prompt
from lumosx_core.prompt.messages import _word_around
from lumosx_core.prompt.readings import comments
from lumosx_core.scene.scene import Reference, Scene, Subject

SCENE = Scene(
    (Subject(Reference("man", torch.ones(1, 1, 3)), tuple(Reference(f"hat {i}", torch.ones(1, 1, 3)) for i in "abc")),)
)
TEXTS = (
    "a",
    "/*",
    "{",
    "{a|b}",
    "(",
    "(a:1.2)",
    "&amp;",
    " ",
    "张",
    "a ",
    "man ",
    "hat a, ",
    "กข",
    "\\",
    "man#2 ",
    "//",
    "*/",
)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("dynamic", [False, True])
def test_a_prompt_of_one_thing_again_and_again(text, dynamic):
    typed = text * (MOST_LETTERS // len(text))
    start = time.monotonic()
    marked = mark_prompt(typed, SCENE, dynamic=dynamic)
    assert "".join(span.text for span in marked.spans) == typed
    assert time.monotonic() - start < 15  # the square of its length takes minutes


@pytest.mark.parametrize(
    "text",
    [
        *(
            "a /* b */ c // d\ne",
            "/*/ x */ y",
            "/* a",
            "a // b",
            "/* // */ x",
            "// /* \n */",
            "*/ /* */ /*",
            "/**/",
            "///",
        ),
        *("/*//x", "a/*b*//*c*/d", "//", "/", ""),
    ],
)
def test_comments_are_those_of_the_pages_pattern(text):
    pattern = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
    assert list(comments(text)) == [match.span() for match in pattern.finditer(text)]


@pytest.mark.parametrize(
    ("words", "prompt"),
    [
        *(("cat", "concat cat"), ("red hat", "a bored hats"), ("man", "woman_s man"), ("é", "caféine"), ("x", "abc")),
        *(("a.b", "xa.by"), ("(", "f(x)"), ("帽", "红帽子")),
    ],
)
def test_the_word_around_is_that_of_the_pattern(words, prompt):
    match = re.search(rf"\w*{re.escape(words)}\w*", prompt)
    assert _word_around(words, prompt) == (match and match[0])
