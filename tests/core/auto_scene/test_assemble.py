"""Photos and a plan become a scene: the logic, with finders that read the colours of drawings."""

import pytest
import torch

pytest.importorskip("scipy", reason="scipy is not installed")

from drawn_world import COLOURS, SHADE, WALL, ColourFaces, ColourPhrases, OwnersMasks, Photo

from lumosx_core.auto_scene.assemble import build_scene
from lumosx_core.auto_scene.cutouts.regions import Box, Face
from lumosx_core.auto_scene.plan.plan import PersonPlan, ScenePlan
from lumosx_core.auto_scene.search import PartsMissing
from lumosx_core.auto_scene.settings import AutoSettings, Finders
from lumosx_core.errors import LumosXError
from lumosx_core.scene.scene import Reference, Scene, Subject

SHIRT = (5, 60, 55, 100)
JACKET = (5, 40, 55, 120)


class Desk:
    """Finders that count what they did."""

    def __init__(self, **scores):
        self.phrases = ColourPhrases({key.replace("_", " "): value for key, value in scores.items()})
        self.masks = OwnersMasks()
        self.loaded: list[str] = []

    def finders(self) -> Finders:
        def loading(name, finder):
            def load():
                self.loaded.append(name)
                return finder

            return load

        return Finders(loading("faces", ColourFaces()), loading("phrases", self.phrases), loading("masks", self.masks))


def build(photos, plan, desk=None, **options):
    settings = {name: options.pop(name) for name in ("background", "missing", "feather") if name in options}
    images = [photo.image if isinstance(photo, Photo) else photo for photo in photos]
    return build_scene(images, plan, (desk or Desk()).finders(), AutoSettings(**settings), **options)


def owner_of(image: torch.Tensor, phrase: str) -> int:
    """The owner of the thing in a cutout, by the shade in its middle."""
    middle = image[image.shape[0] // 2, image.shape[1] // 2]
    assert (middle - torch.tensor(COLOURS[phrase])).abs().max() < 0.03, f"not a {phrase}"
    return round(float((middle - torch.tensor(COLOURS[phrase])).mean()) / SHADE)


def two_people(gap: int = 40) -> Photo:
    photo = Photo()
    photo.person("man", 40, owner=1, wears={"denim jacket": JACKET})
    return photo.person("woman", 100 + gap, owner=2, wears={"sweater": SHIRT})


PLAN = ScenePlan((PersonPlan("man", ("denim jacket",)), PersonPlan("woman", ("sweater",))))


def test_two_people_get_their_faces_and_clothes():
    found = build([two_people()], PLAN)
    man, woman = found.scene.subjects
    assert (man.face.phrase, man.attributes[0].phrase) == ("man", "denim jacket")
    assert (woman.face.phrase, woman.attributes[0].phrase) == ("woman", "sweater")
    assert owner_of(man.attributes[0].image, "denim jacket") == 1
    assert owner_of(woman.attributes[0].image, "sweater") == 2
    assert owner_of(man.face.image, "face") == 1 and owner_of(woman.face.image, "face") == 2
    assert found.scene.background is None and found.scene.objects == ()


def test_words_decide_who_is_who_not_the_place_in_the_row():
    mirrored = ScenePlan(PLAN.people[::-1])
    woman, man = build([two_people()], mirrored).scene.subjects
    assert owner_of(woman.attributes[0].image, "sweater") == 2
    assert owner_of(man.attributes[0].image, "denim jacket") == 1


@pytest.mark.parametrize("gap", [40, 2, -20])
def test_identical_garments_stay_with_their_owners_however_close_they_stand(gap):
    photo = Photo()
    photo.person("man", 40, owner=1, wears={"white shirt": SHIRT})
    photo.person("woman", 100 + gap, owner=2, wears={"white shirt": SHIRT})
    plan = ScenePlan((PersonPlan("man", ("white shirt",)), PersonPlan("woman", ("white shirt",))))
    man, woman = build([photo], plan).scene.subjects
    assert owner_of(man.attributes[0].image, "white shirt") == 1
    assert owner_of(woman.attributes[0].image, "white shirt") == 2


def test_a_garment_that_only_a_neighbour_wears_is_not_found():
    photo = Photo()
    photo.person("man", 40, owner=1)
    photo.person("woman", 80, owner=2, wears={"red hat": (0, 40, 30, 60)})  # it is in the man's box
    plan = ScenePlan((PersonPlan("man", ("red hat",)), PersonPlan("woman")))
    with pytest.raises(LumosXError, match=r'Nothing was found for "red hat" of person 1 \("man"\) in photo 1'):
        build([photo], plan)


def test_three_people_with_numbers_stand_from_left_to_right():
    photo = Photo(200, 420)
    for i, left in enumerate((20, 150, 280), 1):
        photo.person("man", left, owner=i, wears={"white shirt": SHIRT})
    plan = ScenePlan(tuple(PersonPlan(f"man#{i}", ("white shirt",)) for i in (1, 2, 3)))
    subjects = build([photo], plan).scene.subjects
    assert [owner_of(subject.attributes[0].image, "white shirt") for subject in subjects] == [1, 2, 3]
    assert [owner_of(subject.face.image, "face") for subject in subjects] == [1, 2, 3]


def test_people_may_come_from_different_photos():
    one = Photo().person("woman", 50, owner=1, wears={"sweater": SHIRT})
    other = Photo(240, 260).person("man", 120, owner=2, wears={"denim jacket": JACKET})
    man, woman = build([one, other], PLAN).scene.subjects
    assert owner_of(man.attributes[0].image, "denim jacket") == 2
    assert owner_of(woman.face.image, "face") == 1


def test_cut_outs_are_on_white_and_without_the_wall():
    jacket = build([two_people()], PLAN).scene.subjects[0].attributes[0].image
    assert jacket.shape[0] <= 80 * 1.2 and jacket.shape[1] <= 50 * 1.2  # with the mask's leeway
    wall = (jacket - torch.tensor(WALL)).abs().amax(-1) < 0.02
    white = jacket.amin(-1) > 0.999
    assert not (wall & ~white).any()


def test_objects_and_the_background_are_found_and_the_place_is_emptied():
    photo = two_people().paint("lamp", (10, 150, 25, 190), 3)
    found = build([photo], ScenePlan(PLAN.people, ("lamp",), "plain wall"))
    assert owner_of(found.scene.objects[0].image, "lamp") == 3
    assert found.scene.background.phrase == "plain wall"
    assert (found.scene.background.image - torch.tensor(WALL)).abs().max() < 0.1
    assert found.removed.shape == (200, 300)
    assert found.removed[160, 15] == 1 and found.removed[100, 60] == 1 and found.removed[5, 5] == 0
    assert build([photo], ScenePlan(PLAN.people, ("lamp",), "plain wall"), background="none").scene.background is None


def test_for_inpainting_the_place_and_what_hides_it_are_told_whatever_the_plan():
    photo = two_people().paint("lamp", (10, 150, 25, 190), 3)
    plan = ScenePlan((PersonPlan("man"),), ("lamp",))
    found = build([photo], plan, background="inpaint", missing="leave out")
    assert found.scene.background is None
    for row, column in ((100, 60), (100, 160), (160, 15)):  # the man, a bystander, the lamp
        assert found.removed[row, column] == 1
    assert found.removed[5, 5] == 0
    assert not build([photo], plan, background="none", missing="leave out").removed.any()


def test_objects_leave_the_place_also_where_their_picture_is_of_another_photo():
    one = two_people().paint("lamp", (10, 110, 35, 190), 3)
    other = Photo().paint("lamp", (200, 20, 220, 60), 4)
    plan = ScenePlan((PersonPlan("man"),), ("lamp",), "plain wall")
    found = build([one, other], plan)
    assert found.place == 1 and found.removed[40, 210] == 1
    assert (found.scene.background.image - torch.tensor(WALL)).abs().max() < 0.1
    given = Scene((), (Reference("lamp", picture(0.4)),))
    found = build([one, other], plan, overrides=given)
    assert found.removed[40, 210] == 1 and found.scene.objects[0].image[0, 0, 0] == 0.4


def test_clothes_that_are_no_part_of_the_figure_leave_the_place_too():
    photo = Photo().person("man", 100, owner=1)
    photo.paint("red hat", (103, 22, 117, 30), 5)  # another shade: the mask of the figure leaves it out
    found = build([photo], ScenePlan((PersonPlan("man", ("red hat",)),), (), "plain wall"))
    assert found.removed[26, 110] == 1


def test_bystanders_leave_the_background_too():
    plan = ScenePlan((PersonPlan("man"),), (), "plain wall")
    photo = two_people()
    photo.image[20:60, 140:200] = torch.tensor(COLOURS["woman"]) + 2 * SHADE  # she looks away
    background = build([photo], plan).scene.background.image
    assert (background - torch.tensor(WALL)).abs().max() < 0.1


def test_the_place_is_the_photograph_that_shows_most_of_it():
    crowded = two_people()
    empty = Photo(120, 160)
    found = build([crowded, empty], ScenePlan(PLAN.people, (), "plain wall"))
    assert found.place == 1 and found.scene.background.image.shape == (120, 160, 3)


def test_objects_with_like_names_are_different_things():
    photo = Photo().paint("lamp", (10, 10, 40, 60), 1).paint("lamp", (200, 20, 220, 60), 2)
    plan = ScenePlan((), ("lamp#1", "lamp#2"))
    objects = build([photo], plan).scene.objects
    assert sorted(owner_of(reference.image, "lamp") for reference in objects) == [1, 2]


def test_nothing_is_loaded_that_is_not_needed():
    desk = Desk()
    faces_only = ScenePlan((PersonPlan("person#1"), PersonPlan("person#2")))
    subjects = build([two_people()], faces_only, desk).scene.subjects
    assert desk.loaded == ["faces"] and [owner_of(subject.face.image, "face") for subject in subjects] == [1, 2]
    desk = Desk()
    build([Photo().paint("lamp", (10, 10, 40, 60), 1)], ScenePlan((), ("lamp",)), desk)
    assert "faces" not in desk.loaded


def test_a_man_and_a_woman_are_told_apart_also_where_only_faces_are_asked_for():
    desk = Desk()
    woman, man = build([two_people()], ScenePlan((PersonPlan("woman"), PersonPlan("man"))), desk).scene.subjects
    assert owner_of(woman.face.image, "face") == 2 and owner_of(man.face.image, "face") == 1
    assert set(desk.loaded) == {"faces", "phrases"}


def test_a_guess_is_told():
    photo = Photo().person("man", 40, owner=1).person("man", 160, owner=2)
    found = build([photo], ScenePlan((PersonPlan("man"), PersonPlan("woman"))))
    [warning] = [warning for warning in found.warnings if "looks like" in warning]
    assert 'looks like "woman"' in warning and "person 2" in warning
    assert not [w for w in build([two_people()], PLAN).warnings if "looks like" in w]


def test_phrases_of_one_photograph_share_its_look():
    photo = two_people().paint("lamp", (10, 150, 25, 190), 3).paint("table", (250, 150, 290, 190), 4)
    desk = Desk()
    build([photo], ScenePlan(PLAN.people, ("lamp", "table"), "plain wall"), desk)
    assert desk.masks.looks == [(200, 300)]


def test_clothes_are_looked_for_in_their_owners_box_alone():
    desk = Desk()
    build([two_people()], PLAN, desk)
    assert desk.phrases.asked == [
        ((200, 300), ("man", "woman", "person")),
        ((160, 60), ("denim jacket",)),
        ((160, 60), ("sweater",)),
    ]


def test_faces_that_are_given_take_the_place_of_the_detector():
    desk = Desk()
    given = [[Face(Box(160, 25, 180, 50)), Face(Box(60, 25, 80, 50))]]
    man, _ = build([two_people()], PLAN, desk, faces=given).scene.subjects
    assert owner_of(man.face.image, "face") == 1 and "faces" not in desk.loaded


# Overrides


def picture(value: float) -> torch.Tensor:
    return torch.full((20, 20, 3), value)


def test_a_mask_of_the_foreground_empties_the_place_without_any_search():
    desk = Desk()
    mask = torch.zeros(200, 300)
    mask[20:180, 40:220] = 1
    given = Scene((Subject(Reference("man", picture(0.2)), (Reference("denim jacket", picture(0.3)),)),))
    plan = ScenePlan((PersonPlan("man", ("denim jacket",)),), (), "plain wall")
    found = build([two_people()], plan, desk, overrides=given, foreground=[mask])
    assert desk.loaded == [] and torch.equal(found.removed, mask)
    assert (found.scene.background.image - torch.tensor(WALL)).abs().max() < 0.1
    assert [mark.label for mark in found.marks[0]] == ["foreground"]
    emptied = build([two_people()], plan, desk, overrides=given, background="inpaint", foreground=[mask])
    assert desk.loaded == [] and torch.equal(emptied.removed, mask)


def test_what_is_found_besides_leaves_the_place_too():
    mask = torch.zeros(200, 300)
    mask[20:180, 40:220] = 1
    photo = two_people().paint("lamp", (10, 150, 25, 190), 3)
    removed = build([photo], ScenePlan(PLAN.people, ("lamp",), "plain wall"), foreground=[mask]).removed
    assert removed[100, 210] == 1 and removed[160, 15] == 1 and removed[5, 5] == 0


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        ([torch.zeros(200, 300)] * 2, "foreground has 2 masks, but there are 1 photos"),
        ([torch.zeros(300, 200)], "The mask of photo 1 in foreground is 200x300, the photo is 300x200"),
    ],
)
def test_masks_of_the_foreground_have_to_fit_the_photos(masks, message):
    with pytest.raises(LumosXError, match=message):
        build([two_people()], PLAN, foreground=masks)


def test_pictures_that_are_given_are_used_and_not_looked_for():
    desk = Desk()
    given = Scene(
        (
            Subject(None, (Reference("sweater", picture(0.1)),)),
            Subject(Reference("man", picture(0.2)), (Reference("denim jacket", picture(0.3)),)),
        ),
        (Reference("lamp", picture(0.4)),),
        Reference("", picture(0.5)),
    )
    plan = ScenePlan(PLAN.people, ("lamp",), "plain wall")
    scene = build([two_people()], plan, desk, overrides=given).scene
    values = [(reference.phrase, round(float(reference.image[0, 0, 0]), 1)) for reference in scene.references]
    assert values[:4] == [("plain wall", 0.5), ("lamp", 0.4), ("man", 0.2), ("denim jacket", 0.3)]
    assert values[5] == ("sweater", 0.1)
    assert scene.layout.subjects == (2, 2)
    assert not {"sweater", "denim jacket", "lamp"} & {phrase for _, asked in desk.phrases.asked for phrase in asked}


def test_the_same_attribute_given_twice_goes_to_the_people_in_their_order():
    people = (PersonPlan("man", ("white shirt",)), PersonPlan("woman", ("white shirt",)))
    given = Scene(tuple(Subject(None, (Reference("white shirt", picture(value)),)) for value in (0.1, 0.2)))
    scene = build([two_people()], ScenePlan(people), overrides=given).scene
    assert [round(float(subject.attributes[0].image[0, 0, 0]), 1) for subject in scene.subjects] == [0.1, 0.2]


@pytest.mark.parametrize(
    "given",
    [
        Scene(
            (
                Subject(
                    Reference("girl", picture(0.0)),
                ),
            )
        ),
        Scene((Subject(None, (Reference("tie", picture(0.0)),)),)),
        Scene((Subject(Reference("man", picture(0.0)), (Reference("sweater", picture(0.0)),)),)),
        Scene((), (Reference("car", picture(0.0)),)),
    ],
)
def test_a_picture_for_nobody_is_refused(given):
    with pytest.raises(LumosXError, match="takes nobody's place.*The plan's are"):
        build([two_people()], PLAN, overrides=given)


# What is not there


def test_everything_that_is_missing_is_named_at_once():
    plan = ScenePlan((PersonPlan("man", ("red hat",)), PersonPlan("woman", ("tie",))), ("car",))
    with pytest.raises(LumosXError) as caught:
        build([two_people()], plan)
    for part in ('"red hat" of person 1', '"tie" of person 2', 'the object "car"', "Lower the threshold"):
        assert part in str(caught.value)


def test_what_is_missing_can_be_left_out():
    plan = ScenePlan((PersonPlan("man", ("denim jacket", "red hat")), PersonPlan("woman")), ("car",))
    found = build([two_people()], plan, missing="leave out")
    assert [reference.phrase for reference in found.scene.references] == ["man", "denim jacket", "woman"]
    assert sum("Nothing was found" in warning for warning in found.warnings) == 2


def test_a_person_without_a_face_in_sight_is_told():
    photo = Photo().person("man", 40, owner=1, wears={"denim jacket": JACKET})
    photo.image[20:60, 40:100] = torch.tensor(COLOURS["man"]) + SHADE
    plan = ScenePlan((PersonPlan("man", ("denim jacket",)),))
    with pytest.raises(LumosXError, match=r'No face of person 1 \("man"\) can be seen in photo 1'):
        build([photo], plan)
    [subject] = build([photo], plan, missing="leave out").scene.subjects
    assert subject.face is None and len(subject.attributes) == 1


def test_people_who_are_not_in_the_photograph_are_told_or_left_out():
    with pytest.raises(LumosXError, match=r"2 people to be found, but 0 can be seen.*nobody for person 1 .*person 2"):
        build([Photo()], PLAN)
    alone = Photo().person("man", 40, owner=1, wears={"denim jacket": JACKET})
    with pytest.raises(PartsMissing, match=r'but 1 can be seen.*nobody for person 2 \("woman"\)') as caught:
        build([alone], PLAN)
    assert caught.value.marks[0][0].label == 'person 1 ("man")'
    found = build([alone], PLAN, missing="leave out")
    assert [reference.phrase for reference in found.scene.references] == ["man", "denim jacket"]
    assert any("person 2" in warning for warning in found.warnings)


def test_people_whose_every_picture_is_given_need_not_be_in_the_photo():
    alone = Photo().person("man", 40, owner=1, wears={"denim jacket": JACKET})
    given = Scene((Subject(Reference("woman", picture(0.2)), (Reference(" sweater\n", picture(0.3)),)),))
    man, woman = build([alone], PLAN, overrides=given).scene.subjects
    assert owner_of(man.attributes[0].image, "denim jacket") == 1
    assert (woman.face.image[0, 0, 0], woman.attributes[0].image[0, 0, 0]) == (torch.tensor(0.2), torch.tensor(0.3))


def test_no_photograph_no_plan_and_unknown_settings_are_refused():
    with pytest.raises(LumosXError, match="no photo"):
        build([], PLAN)
    with pytest.raises(LumosXError, match="plan is empty"):
        build([two_people()], ScenePlan())
    with pytest.raises(LumosXError, match="background is 'blur', expected one of: fill, inpaint, none"):
        AutoSettings(background="blur")
    with pytest.raises(LumosXError, match="-1"):
        build([two_people()], PLAN, feather=-1)


def test_small_cut_outs_are_warned_of_and_marked():
    found = build([two_people()], PLAN)
    assert any("denim jacket" in warning and "112" in warning for warning in found.warnings)
    marks = {mark.label.rsplit(" ", 1)[0]: mark for mark in found.marks[0]}
    assert marks["denim jacket"].note and marks["denim jacket"].region is not None


def test_every_mark_lies_within_its_photo():
    found = build([two_people().paint("lamp", (0, 150, 15, 200), 3)], ScenePlan(PLAN.people, ("lamp",), "plain wall"))
    assert len(found.marks[0]) == 7
    for mark in found.marks[0]:
        assert 0 <= mark.box.left < mark.box.right <= 300 and 0 <= mark.box.top < mark.box.bottom <= 200


def test_a_stop_from_outside_gets_through():
    def stop(stage, done, total):
        raise InterruptedError(stage)

    with pytest.raises(InterruptedError, match="people"):
        build([two_people()], PLAN, progress=stop)


PLACE = ScenePlan(PLAN.people, (), "plain wall")


@pytest.mark.parametrize(("hidden", "kept"), [(0.1, True), (0.2, True), (0.52, False), (0.8, False), (0.97, False)])
def test_a_background_that_is_mostly_hidden_is_left_out_unless_asked_for(hidden, kept):
    mask = torch.zeros(200, 300)
    mask[:, : round(300 * hidden)] = 1
    found = build([two_people()], PLACE, foreground=[mask])
    assert (found.scene.background is not None) == kept
    assert [note for note in found.warnings if "The background is left out" in note and "fill always" in note] == (
        [] if kept else found.warnings[-1:]
    )


def test_a_background_that_is_mostly_hidden_is_kept_where_asked_for():
    mask = torch.zeros(200, 300)
    mask[:, :200] = 1
    found = build([two_people()], PLACE, foreground=[mask], background="fill always")
    assert found.scene.background is not None and "most of it is made up" in found.warnings[-1]


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (torch.full((200, 300, 3), float("nan")), "Photo 2 has values that are not numbers .* in 100.00%"),
        (torch.zeros(200, 300, 3).index_fill(0, torch.tensor([7]), float("inf")), "in 0.50% of its pixels"),
        (torch.zeros(1, 1, 3), "Photo 2 is 1x1 pixels, expected 16 or more"),
        (torch.zeros(5000, 2, 3), "Photo 2 is 2x5000 pixels"),
        (torch.zeros(200, 300, 4), r"Photo 2 has shape \(200, 300, 4\)"),
        (torch.zeros(200, 300), "Give an RGB image"),
    ],
)
def test_what_is_not_a_photo_is_refused_before_anything_is_loaded(image, message):
    desk = Desk()
    with pytest.raises(LumosXError, match=message):
        build([two_people(), image], PLAN, desk)
    assert desk.loaded == []


def test_a_photo_without_people_says_so():
    with pytest.raises(LumosXError, match="2 people to be found, but 0 can be seen in the photos: there is nobody for"):
        build([Photo()], PLAN)


def test_in_a_crowd_of_forty_the_choice_is_told():
    photo = Photo(200, 4000)
    for i in range(40):
        photo.person("man", 20 + 95 * i, owner=i % 4 + 1)
    found = build([photo], ScenePlan((PersonPlan("man"), PersonPlan("man#2"))), background="none")
    assert any("40 people can be seen in the photos, and the plan has 2" in note for note in found.warnings)
