import pytest

from lumosx_core.prompt.readings import MOST_READINGS, readings


def texts(typed, dynamic=True):
    return [reading.text for reading in readings(typed, dynamic=dynamic)]


def typed_for(typed, words, dynamic=False):
    """The typed text for some words of the first reading."""
    [reading, *_] = readings(typed, dynamic=dynamic)
    start = reading.text.index(words)
    places = reading.places[start : start + len(words)]
    return typed[places[0][0] : places[-1][1]]


def test_plain_words_are_read_as_they_are():
    assert texts("a man in a denim jacket") == ["a man in a denim jacket"]


def test_space_is_collapsed_and_cut_off_at_the_ends():
    assert texts("  a\n\n man\t") == ["a man"]
    assert typed_for("  a\n\n man\t", "a man") == "a\n\n man"


@pytest.mark.parametrize(
    ("typed", "text"),
    [
        ("a (denim:1.2) jacket", "a denim jacket"),
        ("((red hat))", "red hat"),
        ("((red:0.5) hat:1.1)", "red hat"),
        ("(hat)s", "hat s"),
        ("(note: hat)", "note: hat"),
        ("(:1.2)", ":1.2"),
        (r"\(red\) hat", "(red) hat"),
        ("a ) hat ( b", "a ) hat ( b"),
        ("(open hat", "(open hat"),
    ],
)
def test_brackets_are_weights_as_for_the_tokenizer(typed, text):
    assert texts(typed) == [text]


def test_words_know_where_they_were_typed_past_weights_and_escapes():
    typed = r"a (denim:1.2) jacket \(new\)"
    assert typed_for(typed, "denim") == "denim"
    assert typed_for(typed, "jacket") == "jacket"
    assert typed_for(typed, "(new)") == r"\(new\)"


def test_mangled_and_escaped_characters_are_read_cleaned_and_know_their_place():
    assert texts("tea &amp;amp; cake, caf\u00c3\u00a9 man") == ["tea & cake, caf\u00e9 man"]
    assert typed_for("a caf&eacute; man", "caf\u00e9") == "caf&eacute;"
    assert typed_for("tea &amp;amp; cake", "cake") == "cake"
    assert typed_for("caf\u00c3\u00a9 man", "man") == "man"
    assert typed_for("x&nbsp;man's", "man") == "man"
    assert texts("\u623f\u95f4\uff0c\u7537\u4eba") == ["\u623f\u95f4,\u7537\u4eba"]


def test_every_choice_is_drawn_with_every_other_one():
    assert texts("a {man|boy} in {red|blue}") == ["a man in red", "a man in blue", "a boy in red", "a boy in blue"]


def test_choices_within_choices_are_drawn_too():
    assert texts("{a {red|blue} hat|nothing|}") == ["a red hat", "a blue hat", "nothing", ""]


def test_comments_and_escaped_braces_are_no_choices():
    assert texts("a man // with {a|b}\nin /* or\nnot */ red \\{x\\|y\\}") == ["a man in red {x|y}"]


def test_choices_that_the_page_does_not_draw_stay_as_they_are():
    assert texts("a {man|boy} // x", dynamic=False) == ["a {man|boy} // x"]


def test_too_many_draws_are_read_as_one_text_without_drawing():
    typed = "{a|b}" * 5
    assert len(texts("{a|b}" * 4)) == 16 <= MOST_READINGS < 32
    assert texts(typed) == [typed]
    wide = "{" + "|".join(f"word{i}" for i in range(MOST_READINGS + 1)) + "}"
    assert texts(wide) == [wide]


@pytest.mark.parametrize(
    "typed", ["{" * 3000, "(" * 3000 + ")" * 3000, "{a|{b|" * 500, "}" * 9 + "|" * 9, "\\", "{a\\"]
)
def test_text_that_makes_no_sense_is_read_all_the_same(typed):
    assert 1 <= len(readings(typed, dynamic=True)) <= MOST_READINGS
