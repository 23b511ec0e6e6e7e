import json
import re

import pytest
import torch
from safetensors import safe_open

from lumosx_core import Reference, Scene, Subject
from lumosx_core.errors import LumosXError
from lumosx_core.prompt.phrase_mask import (
    PromptSpan,
    check_prompt_length,
    clean_prompt,
    match_phrases_in_text,
    phrase_mask,
    phrase_mask_of_ids,
    prompt_spans,
)


class Words:
    """A tokenizer of words and punctuation marks, which numbers them as they come; 1 ends the text, 0 pads it."""

    def __init__(self):
        self.ids: dict[str, int] = {}

    def pieces(self, text):
        return re.findall(r" ?\w+| ?[^\w\s]", " " + text)

    def pieces_of(self, ids):
        """As sentencepiece writes them; a token that is no word spells U+FFFD."""
        names = {token: piece.replace(" ", "▁") for piece, token in self.ids.items()}
        return [names.get(token, "\ufffd") for token in ids]

    def __call__(self, text):
        return [self.ids.setdefault(piece, len(self.ids) + 2) for piece in self.pieces(text)] + [1]

    def tokens(self, text):
        return [
            *zip(self(text)[:-1], (piece.replace(" ", "▁") for piece in self.pieces(text)), strict=True),
            (1, "</s>"),
        ]


def picture(phrase):
    return Reference(phrase, torch.zeros(2, 2, 3))


def mask_of(prompt, *phrases, text_len=32):
    words = Words()
    scene = Scene(objects=tuple(picture(phrase) for phrase in phrases))
    return [
        row.nonzero().flatten().tolist()
        for row in phrase_mask(words(prompt), scene, words, pieces=words.pieces_of, prompt=prompt, text_len=text_len)
    ]


def error_of(prompt, scene, text_len=32, ids=None):
    words = Words()
    with pytest.raises(LumosXError) as caught:
        phrase_mask(ids or words(prompt), scene, words, pieces=words.pieces_of, prompt=prompt, text_len=text_len)
    return str(caught.value)


def test_masks_equal_those_of_the_released_code(golden):
    with safe_open(golden / "phrase_masks.safetensors", "pt") as file:
        cases = json.loads(file.metadata()["cases"])
        compared = 0
        for i, case in enumerate(cases):
            prompt_ids = file.get_tensor(f"{i}.prompt_ids").tolist()
            for j in range(len(case["phrases"])):
                expected = file.get_tensor(f"{i}.{j}.mask")
                phrase_ids = file.get_tensor(f"{i}.{j}.phrase_ids").tolist()
                assert torch.equal(phrase_mask_of_ids(prompt_ids, phrase_ids, len(expected)), expected), case[
                    "phrases"
                ][j]
                compared += 1
    assert compared == 22


def test_a_phrase_without_a_number_means_every_occurrence():
    assert mask_of("a man sees a man", "man", "a man", "") == [[1, 4], [0, 1, 3, 4], []]


def test_overlapping_occurrences_are_joined():
    assert mask_of("a a a b", "a a") == [[0, 1, 2]]


def test_a_number_names_one_occurrence():
    assert mask_of("a man sees a man", "man#1", "man#2", "a man #2") == [[1], [4], [3, 4]]


def test_a_number_that_the_prompt_itself_contains_is_part_of_the_words():
    prompt = "player #3 passes to player #7"
    assert mask_of(prompt, "player #3", "player #7", "player", "player#2") == [[0, 1, 2], [5, 6, 7], [0, 5], [5]]


@pytest.mark.parametrize("number", ["0", "3", "12345678901234567890"])
def test_a_number_beyond_the_occurrences_says_how_many_there_are(number):
    message = error_of("a man sees a man", Scene((Subject(picture(f"man#{number}")),)))
    assert f'"man#{number}" of subject 1 (face)' in message
    assert "the prompt has 2" in message
    assert '"man#1" or "man#2"' in message


def test_rows_stand_in_the_order_of_the_scene():
    words = Words()
    prompt = "a man in a jacket and a woman by a lamp in a room"
    scene = Scene(
        subjects=(Subject(picture("man"), (picture("jacket"),)), Subject(None, (picture("woman"),))),
        objects=(picture("lamp"),),
        background=picture("room"),
    )
    mask = phrase_mask(words(prompt), scene, words, pieces=words.pieces_of, prompt=prompt, text_len=20)
    assert mask.shape == (5, 20)
    assert mask.dtype == torch.bool
    found = [[prompt.split()[i] for i in row.nonzero().flatten()] for row in mask]
    assert found == [["room"], ["lamp"], ["man"], ["jacket"], ["woman"]]


def test_no_pictures_give_no_rows():
    assert phrase_mask([5, 1], Scene(), Words(), pieces=Words().pieces_of, prompt="x", text_len=8).shape == (0, 8)


def test_a_missing_phrase_names_phrase_owner_and_prompt():
    scene = Scene((Subject(picture("man")), Subject(picture("woman"), (picture("denim jacket"),))))
    message = error_of("a man and a woman", scene)
    assert message == (
        'Phrase "denim jacket" of subject 2 (attribute 1) does not occur in the prompt. Write the phrase exactly as in '
        'the prompt, or change the prompt. The prompt is: "a man and a woman"'
    )


def test_all_missing_phrases_are_named_at_once():
    message = error_of("nothing", Scene(objects=(picture("lamp"),), background=picture("room")))
    assert '"room" of the background' in message
    assert '"lamp" of object 1' in message


@pytest.mark.parametrize(
    ("prompt", "phrase", "hint"),
    [
        ("a Denim Jacket", "denim jacket", 'writes it "Denim Jacket"'),
        ("a woman", "man", 'only inside "woman"'),
        ("a man on the left", "man (left)", r"brackets in a prompt are weights: write \( and \)"),
        ("one two man", "two three", "does not occur in the prompt. Write"),
    ],
)
def test_a_missing_phrase_comes_with_a_hint(prompt, phrase, hint):
    assert hint in error_of(prompt, Scene(objects=(picture(phrase),)))


def test_a_phrase_behind_a_bracket_or_a_quotation_mark_is_found():
    assert mask_of('two (man) and a "man"', "man#1", "man#2") == [[2], [7]]


def test_a_phrase_behind_the_end_of_a_cut_prompt_says_so():
    words = Words()
    ids = words("a b c man")[:4]
    with pytest.raises(LumosXError, match="cut off: shorten the prompt"):
        phrase_mask(
            [*ids[:3], 1],
            Scene(objects=(picture("man"),)),
            words,
            pieces=words.pieces_of,
            prompt="a b c man",
            text_len=4,
        )


def test_a_prompt_of_exactly_text_len_tokens_is_taken_and_one_more_is_refused():
    check_prompt_length([5] * 31 + [1], 32)
    check_prompt_length([5, 1] + [0] * 510, 2)
    with pytest.raises(LumosXError, match="has 33 tokens .* reads 32"):
        check_prompt_length([5] * 32 + [1], 32)
    with pytest.raises(LumosXError, match="has 6 tokens"):
        mask_of("one two three four five", "one", text_len=5)


def test_tokens_that_are_embeddings_match_nothing():
    assert not phrase_mask_of_ids([-1, 4, -1, 1], [-1, 1], 8).any()
    assert phrase_mask_of_ids([-1, 4, -1, 1], [4, 1], 8).nonzero().flatten().tolist() == [1]


def test_phrases_are_cleaned_like_the_prompt():
    assert clean_prompt("  a\n man&amp;amp;s  “hat” \t") == 'a man&s "hat"'
    assert mask_of("a man & woman", "  man  &amp; \n woman ", " \n") == [[1, 2, 3], []]


SCENE = Scene(
    subjects=(
        Subject(picture("man"), (picture("denim jacket"),)),
        Subject(picture("woman in a denim jacket")),
    ),
    background=picture("room"),
)
PROMPT = "A man, and a woman in a denim jacket, in a room."


def test_spans_of_tokens_carry_every_group_a_word_belongs_to():
    words = Words()
    spans = prompt_spans(
        words.tokens(PROMPT),
        SCENE,
        phrase_mask(words(PROMPT), SCENE, words, pieces=words.pieces_of, prompt=PROMPT, text_len=512),
    )
    assert spans == [
        PromptSpan("A "),
        PromptSpan("man", (1,)),
        PromptSpan(", and a "),
        PromptSpan("woman in a ", (2,)),
        PromptSpan("denim jacket", (1, 2)),
        PromptSpan(", in a "),
        PromptSpan("room", (0,)),
        PromptSpan("."),
    ]


def test_spans_of_the_text_equal_spans_of_the_tokens():
    words = Words()
    mask = phrase_mask(words(PROMPT), SCENE, words, pieces=words.pieces_of, prompt=PROMPT, text_len=512)
    assert match_phrases_in_text(PROMPT, SCENE) == prompt_spans(words.tokens(PROMPT), SCENE, mask)


def test_spans_of_the_text_follow_numbers_and_whole_words():
    scene = Scene(objects=(picture("man#2"), picture("man#3"), picture("absent"), picture(""), picture(" a  hat")))
    spans = match_phrases_in_text("woman, man, man,  a hat.", scene)
    assert spans == [
        PromptSpan("woman, man, "),
        PromptSpan("man", (0,)),
        PromptSpan(", "),
        PromptSpan("a hat", (4,)),
        PromptSpan("."),
    ]


def test_a_character_of_several_byte_tokens_is_put_together():
    scene = Scene(objects=(picture("x"),))
    tokens = [(4, "▁a"), (5, "▁"), (6, "<0xC3>"), (7, "<0xA9>"), (8, "t"), (1, "</s>"), (0, "<pad>")]
    mask = torch.zeros(1, 8, dtype=torch.bool)
    mask[0, 2:4] = True
    assert prompt_spans(tokens, scene, mask) == [PromptSpan("a "), PromptSpan("é", (0,)), PromptSpan("t")]
