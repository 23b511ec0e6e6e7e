import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lumosx_core.auto_scene.plan.english_rules import read_prompt
from lumosx_core.auto_scene.plan.plan import PersonPlan, ScenePlan, check_plan, detector_word, format_plan, parse_plan
from lumosx_core.errors import LumosXError
from lumosx_core.scene.write_case import check_names

TEXT = "man: denim jacket, white shirt | woman: light brown sweater || white lamp, bedside table || cozy room"
PLAN = ScenePlan(
    (PersonPlan("man", ("denim jacket", "white shirt")), PersonPlan("woman", ("light brown sweater",))),
    ("white lamp", "bedside table"),
    "cozy room",
)
PROMPT = "A man in a denim jacket over a white shirt and a woman in a light brown sweater. A white lamp. A cozy room."


def error_of(call, *arguments):
    with pytest.raises(LumosXError) as caught:
        call(*arguments)
    return str(caught.value)


def test_a_plan_is_read_and_written():
    assert parse_plan(TEXT) == PLAN
    assert format_plan(PLAN) == TEXT


@pytest.mark.parametrize(
    "text",
    [
        TEXT.replace(" ", ""),
        TEXT.replace(" ", "   "),
        TEXT.replace(" | ", "\n").replace(" || ", "\n||\n") + "\n",
        TEXT.replace(" | ", "\r\n").replace(" || ", "\r\n||\r\n"),
        f"|{TEXT}||  ||",
        TEXT.replace(", ", ",, ,").replace(" | ", ", | |"),
        TEXT.replace("white lamp, ", "white lamp\n"),
        TEXT.replace(" || cozy", ", | || cozy") + " |",
    ],
)
def test_white_space_line_breaks_and_separators_too_many_do_not_matter(text):
    def bare(plan):
        return [(label, phrase.replace(" ", "")) for label, phrase in plan.labelled()]

    assert bare(parse_plan(text)) == bare(PLAN)


@pytest.mark.parametrize(
    ("text", "plan"),
    [
        ("man | woman", ScenePlan((PersonPlan("man"), PersonPlan("woman")))),
        ("man:|woman :", ScenePlan((PersonPlan("man"), PersonPlan("woman")))),
        ("|| lamp", ScenePlan(objects=("lamp",))),
        ("|| || cozy, warmly lit room", ScenePlan(background="cozy, warmly lit room")),
        ("||||room", ScenePlan(background="room")),
        ("man || || room", ScenePlan((PersonPlan("man"),), (), "room")),
        (": red hat", ScenePlan((PersonPlan("", ("red hat",)),))),
        ("man#2: shirt#1 | :", ScenePlan((PersonPlan("man#2", ("shirt#1",)), PersonPlan("")))),
    ],
)
def test_parts_may_be_missing(text, plan):
    assert parse_plan(text) == plan
    assert parse_plan(format_plan(plan)) == plan


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["plan is empty", "Write: person"]),
        ("\n || | ||\n", ["plan is empty"]),
        ("a || b || c || d", ["has 4 parts", "at most 3"]),
        ("man || lamp || room | kitchen", ["2 backgrounds", '"room", "kitchen"', "Keep one"]),
        ("man || lamp || room\nkitchen", ["2 backgrounds"]),
        ("man: hat, shirt, hat", ["Person 1", '"hat" twice', "hat#2"]),
        ("man | woman: woman", ["Person 2", '"woman" twice']),
        ("|| lamp, lamp", ["list of objects", '"lamp" twice']),
        ("man: hat woman: shirt", ["Person 1", "2 colons", "Put |"]),
        ("man: hat | hat, shirt", ["Person 2", '"hat, shirt"', "colon behind the word"]),
        ("man || lamp | room", ['"lamp | room"', "|| before the background"]),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_mend(text, words):
    message = error_of(parse_plan, text)
    assert all(word in message for word in words), message


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (ScenePlan((PersonPlan("man", ("red, white shirt",)),)), ["attribute 1 of person 1", '","']),
        (ScenePlan((PersonPlan("man: tall"),)), ["word of person 1", '":"']),
        (ScenePlan((PersonPlan("man", ("",)),)), ["attribute 1 of person 1", "is empty"]),
        (ScenePlan(objects=("lamp, red",)), ["object 1"]),
        (ScenePlan(objects=("red\nlamp",)), ["object 1", "one space"]),
        (ScenePlan(background="room | hall"), ["background", '"|"']),
        (ScenePlan(background=""), ["background", "is empty"]),
    ],
)
def test_a_phrase_that_would_be_read_as_something_else_is_not_written(plan, words):
    message = error_of(format_plan, plan)
    assert all(word in message for word in words), message


phrases = st.text("ab c'#1(é", min_size=1, max_size=8).map(lambda text: " ".join(text.split())).filter(bool)
plans = st.builds(
    ScenePlan,
    st.lists(
        st.builds(PersonPlan, st.just("") | phrases, st.lists(phrases, max_size=3, unique=True).map(tuple)).filter(
            lambda person: person.word not in person.attributes
        ),
        max_size=3,
    ).map(tuple),
    st.lists(phrases, max_size=3, unique=True).map(tuple),
    st.none() | phrases | st.just("cozy, warm: room"),
).filter(lambda plan: plan != ScenePlan())


@given(plans)
def test_every_plan_that_is_written_is_read_back(plan):
    assert parse_plan(format_plan(plan)) == plan


@example("||,")
@given(st.text("a|:,\n ", max_size=12) | st.text(max_size=20))
def test_any_text_is_a_plan_or_refused(text):
    try:
        plan = parse_plan(text)
    except LumosXError:
        return
    assert parse_plan(format_plan(plan)) == plan


def test_a_plan_whose_phrases_stand_in_the_prompt_is_accepted():
    assert check_plan(parse_plan(TEXT.replace(", bedside table", "")), PROMPT) == []


def test_every_phrase_that_is_not_in_the_prompt_is_named_with_its_owner():
    plan = parse_plan("man: Denim jacket, tie | oman: sweat || lam, white lamp || big room")
    message = error_of(check_plan, plan, PROMPT)
    assert '"Denim jacket" of person 1 (attribute 1)' in message and 'writes it "denim jacket"' in message
    assert '"tie" of person 1 (attribute 2) does not occur' in message
    assert '"oman" of person 2 (word)' in message and 'only inside "woman"' in message
    assert '"lam" of object 1' in message and 'only inside "lamp"' in message
    assert '"big room" of the background' in message
    assert "white lamp" not in message.partition("The prompt is")[0] and PROMPT in message


def test_a_number_beyond_the_occurrences_is_refused():
    prompt = "A man and a man. A snowman."
    assert check_plan(parse_plan("man#1 | man#2"), prompt) == []
    message = error_of(check_plan, parse_plan("man#1 | man#3"), prompt)
    assert "occurrence 3" in message and "the prompt has 2" in message and "person 2" in message
    assert "occurrence 0" in error_of(check_plan, parse_plan("man#0"), prompt)


def test_more_than_was_trained_is_a_warning():
    prompt = "a b c d e"
    assert check_plan(parse_plan("a | b | c"), prompt) == []
    (warning,) = check_plan(parse_plan("a | b | c | d"), prompt)
    assert "4 people" in warning and "trained with 1 to 3" in warning and "10 and more" in warning
    assert check_plan(parse_plan("a | b: c, d, e"), prompt) == []
    (warning,) = check_plan(parse_plan(": c, d, e | a: b, c#1, d#1, e#1"), prompt)[:1]
    assert "Person 2 has 4 attributes" in warning


@pytest.mark.parametrize(
    ("text", "prompt", "words"),
    [
        ("man | man", "A man and a man.", ['"man#1", "man#2"', 'People 1 ("man") and 2 ("man") are']),
        ("man | woman | man", "A man, a woman, a man.", ['People 1 ("man") and 3 ("man") are']),
        ("man | man#2", "A man and a man.", ["man#1"]),
        ("man#1 | man#1", "A man and a man.", ["man#1"]),
        ("man | man on the left", "The man on the left, the man on the right.", ['"man on the left"', "man#1"]),
        ("men | men | men", "Three men.", ['1 ("men"), 2 ("men") and 3 ("men")', "Name each of them in the prompt."]),
        ("a: shirt | b: red shirt", "a in a shirt and b in a red shirt", ['"shirt"', '"red shirt"', "shirt#1"]),
    ],
)
def test_two_people_bound_to_the_same_words_are_a_warning(text, prompt, words):
    (warning,) = check_plan(parse_plan(text), prompt)
    assert all(word in warning for word in words), warning


@pytest.mark.parametrize(
    ("text", "prompt"),
    [
        ("man#1 | man#2", "A man and a man."),
        ("man | woman", "A man and a woman."),
        ("man: shirt#1 | woman: shirt#2", "A man in a shirt, a woman in a shirt."),
        ("man: shirt, red shirt", "A man in a shirt under a red shirt."),
        ("| :", "Anything."),
    ],
)
def test_people_with_words_of_their_own_are_no_warning(text, prompt):
    assert check_plan(parse_plan(text), prompt) == []


def test_the_prompt_is_compared_as_the_network_reads_it():
    assert check_plan(parse_plan("denim jacket: R&B shirt"), "A  denim\n jacket, R&amp;B shirt.") == []


# What a case folder cannot hold


def check_case_names(plan, name="video", prompt=PROMPT):
    check_names(
        name, prompt, [(person.word, person.attributes) for person in plan.people], plan.objects, plan.background
    )


def test_a_plan_that_a_case_folder_can_hold_is_accepted():
    check_case_names(PLAN)
    check_case_names(parse_plan(": face mask, v. neck shirt | man#2 || || v. big, warm: room"), name=None)


@pytest.mark.parametrize(
    ("text", "file"),
    [
        ("|| Mt. Fuji", "objects/Mt. Fuji.png"),
        ("|| black/white lamp", "objects/black/white lamp.png"),
        ("|| || sea \\ sky", "background/sea \\ sky.png"),
        ("|| || .net office", "background/.net office.png"),
        ("man | woman: bell\a", "subjects/2/bell\\x07.png"),
        ("man: face_paint", "subjects/1/face_paint.png"),
        ("fullfullbody", "subjects/1/face_fullfullbody.png"),
        ("man: " + "é" * 130, ".png"),
    ],
)
def test_a_plan_that_only_a_case_folder_cannot_hold_is_refused_by_it_alone(text, file):
    plan = parse_plan(text)
    assert check_plan(plan, ". ".join(phrase for _, phrase in plan.labelled())) == []
    message = error_of(check_case_names, plan)
    assert "cannot become the file name" in message and file in message


def test_a_case_name_that_the_caption_cannot_hold_is_refused():
    assert "must not be empty, contain ';'" in error_of(check_case_names, PLAN, "a;b")


# What a detector looks for


@pytest.mark.parametrize(
    ("word", "sought"),
    [
        ("man", "man"),
        ("man#2", "man"),
        ("Woman#1", "woman"),
        ("chef", "chef"),
        ("Ada Lovelace", "ada lovelace"),
        ("old man", "old man"),
        ("first man", "first man"),
        ("man on the left", "man on the left"),
        ("woman with two children", "woman with two children"),
        ("her brother", "brother"),
        ("the other man#2", "man"),
        # Several of a kind
        ("men", "man"),
        ("Women#3", "woman"),
        ("people", "person"),
        ("friends", "friend"),
        ("two old men in hats", "old man in hats"),
        ("both women", "woman"),
        ("princess", "princess"),
        ("glasses", "glasses"),
        # Nobody
        *dict.fromkeys(
            ["", "one", "One#2", "other", "another", "the others", "first", "second", "last one"], "person"
        ).items(),
        *dict.fromkeys(
            ["left one", "one in red", "the one on the right", "one of the men", "older one"], "person"
        ).items(),
        *dict.fromkeys(["couple", "twins", "two", "3", "a group of people", "he", "they", "both"], "person").items(),
    ],
)
def test_a_detector_is_asked_for_one_person_who_can_be_seen(word, sought):
    assert detector_word(word) == sought


@pytest.mark.parametrize(
    ("prompt", "sought"),
    [
        ("Two women, one in a red hat and one in a blue hat.", {"person"}),
        ("Two men talk. One wears a blue cap, the other wears a white cap.", {"person"}),
        ("Both women wear sunglasses.", {"woman"}),
        ("A man in a suit and a man on the left in a hat.", {"man"}),
        ("A couple wears matching red hats.", {"person"}),
    ],
)
def test_a_detector_can_see_the_people_that_the_rules_read(prompt, sought):
    people = read_prompt(prompt).people
    assert len(people) == 2
    assert {detector_word(person.word) for person in people} == sought
