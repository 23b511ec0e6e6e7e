"""The glyph world: clips that are always the same, words that name what is there, and a judge that cannot be fooled."""

import colorsys
import hashlib
import random
import re
from dataclasses import replace

import pytest
import torch

from lumosx_core import LumosXError
from lumosx_core.models.lumosx.tiny import tiny_files
from lumosx_core.models.wan.umt5 import TextEncoder
from lumosx_core.prompt.phrase_mask import phrase_mask
from lumosx_core.scene.scene import Reference, Scene, Subject
from lumosx_training.cache import CacheSettings, build_cache
from lumosx_training.glyph_world import Casting, GlyphSource, casting
from lumosx_training.glyph_world.appearance import NEW_HUES, NEW_PATTERNS
from lumosx_training.glyph_world.caption import describe
from lumosx_training.glyph_world.drawing import draw_garment
from lumosx_training.glyph_world.scoring import judge, placed_right
from lumosx_training.glyph_world.source import WORLD_VERSION


def only(people: int, **options) -> Casting:
    return Casting(people=casting.only(people), **options)


def samples(count, casting=None, seed=5, **options):
    source = GlyphSource(seed, count, casting=casting or Casting(), **options)
    return [source.sample(key) for key in source.keys()]  # noqa: SIM118 (a source is no dict)


def described(count, casting=None, placed=None):
    """Scenes and their captions, without the time that filming takes."""
    for number in range(count):
        chance = random.Random(number)
        scene = (casting or Casting()).scene(chance)
        yield scene, describe(scene, chance, placed=placed)


def test_a_clip_is_the_same_every_time_and_another_seed_gives_another():
    first, again, other = (samples(2, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first[1].clip.frames, again[1].clip.frames) and first[1].caption == again[1].caption
    assert first[1].scene != other[1].scene and first[0].scene != first[1].scene


def test_clips_have_the_size_that_is_asked_for_and_everybody_is_inside():
    for sample in samples(6, only(4), frames=5, height=64, width=112):
        assert sample.clip.frames.shape == (5, 64, 112, 3)
        assert sample.clip.frames.min() >= 0 and sample.clip.frames.max() <= 1
        for frame in sample.clip.regions:
            for person in frame:
                left, top, right, bottom = person["person"]
                assert 0 <= left < right <= 112 and 0 <= top < bottom <= 64


def test_a_region_holds_what_it_says():
    """The colours of a plain shirt are found in its box, and nowhere above it."""
    for sample in samples(40, only(1, hat=0, prop=0, place=0)):
        shirt = sample.scene.people[0].shirt
        if shirt.pattern != "plain":
            continue
        colour = torch.tensor(shirt.colour) / 255
        for frame, regions in zip(sample.clip.frames, sample.clip.regions, strict=True):
            left, top, right, bottom = (round(edge) for edge in regions[0]["shirt"])
            near = (frame - colour).abs().amax(-1) < 0.02
            assert near[top + 2 : bottom - 1, left + 5 : right - 5].float().mean() > 0.95
            assert near[bottom + 1 :].float().mean() < 0.05


def test_people_move():
    moved = [(sample.clip.frames[0] - sample.clip.frames[-1]).abs().max() for sample in samples(5)]
    assert min(moved) > 0.05


def test_pictures_come_face_first_then_by_name():
    for sample in samples(30, only(2, hat=1.0, prop=1.0)):
        for subject, words in zip(sample.case.scene.subjects, sample.caption.people, strict=True):
            phrases = [reference.phrase for reference in subject.attributes]
            assert subject.face.phrase == words.face
            assert phrases == sorted(phrases) and set(phrases) == {words.shirt, words.hat, words.prop}


@pytest.mark.parametrize("people", [1, 2, 3, 4])
def test_every_phrase_is_found_in_its_caption_and_names_one_thing_alone(people):
    encoder = TextEncoder(tiny_files().text_encoder)
    for sample in samples(25, only(people, hat=0.6, prop=0.6, thing=0.5)):
        ids = encoder.tokenize(sample.caption.text)
        assert 2 not in ids  # no unknown piece
        mask = phrase_mask(
            ids, sample.case.scene, encoder.tokenize, pieces=encoder.pieces, prompt=sample.caption.text, text_len=512
        )
        assert mask.any(dim=1).all()
        whose = [
            mask[list(group)].any(dim=0)
            for group in sample.case.scene.layout.groups[sample.case.scene.layout.standalone :]
        ]
        assert sum(row.int() for row in whose).max() == 1, sample.caption.text  # no word belongs to two people


def test_alike_people_cannot_be_told_apart_by_words():
    for _, caption in described(60, only(3, alike=1.0, hat=1.0), placed=False):
        words = [[re.sub(r"#\d+$", "", word) for word in (p.face, p.shirt, p.hat)] for p in caption.people]
        assert words[0] == words[1] == words[2]


def test_the_order_of_a_caption_tells_nothing_about_the_order_of_the_pictures():
    firsts = [caption.people[0].face.endswith("#1") for _, caption in described(200, only(2, alike=1.0))]
    assert 70 < sum(firsts) < 130


def test_captions_say_where_people_are():
    seen = 0
    for scene, caption in described(80, only(2, alike=0.0, thing=0), placed=True):
        clauses = re.split(r" and |\.", caption.text.lower())
        for place, index in zip(("on the left", "on the right"), scene.left_to_right, strict=True):
            [clause] = [clause for clause in clauses if place in clause]
            assert re.search(rf"\b{scene.people[index].noun}\b", clause)
            seen += 1
    assert seen == 160


@pytest.mark.parametrize(("placed", "in_order"), [(False, 60), (True, 10)])
def test_captions_that_do_not_say_it_name_people_from_left_to_right(placed, in_order):
    orders = [
        [caption.people[index].face[-2:] for index in scene.left_to_right]
        for scene, caption in described(60, only(3, alike=1.0, thing=0), placed=placed)
    ]
    assert sum(order == ["#1", "#2", "#3"] for order in orders) == pytest.approx(
        in_order, abs=0 if in_order == 60 else 9
    )


def test_patchworks_differ_and_each_shows_both_colours():
    shirts = [
        person.shirt for scene, _ in described(80) for person in scene.people if person.shirt.pattern == "patchwork"
    ]
    assert len(shirts) > 50 and len({shirt.patches for shirt in shirts}) > 30
    for shirt in shirts[:10]:
        pixels = torch.tensor(list(draw_garment(shirt).convert("RGB").getdata()))
        for colour in (shirt.colour, shirt.second):
            assert (pixels == torch.tensor(colour)).all(1).float().mean() > 0.1


def colours(scene):
    for person in scene.people:
        yield from (person.face.skin, person.face.hair_colour, person.shirt.colour, person.shirt.second)


def new_share(scenes):
    found = [
        any(low < colorsys.rgb_to_hsv(*(v / 255 for v in colour))[0] < high for low, high in NEW_HUES)
        for scene in scenes
        for colour in colours(scene)
        if len(set(colour)) > 1
    ]
    return sum(found) / len(found)


def test_held_out_colours_and_patterns_never_appear_in_training():
    training = [scene for scene, _ in described(150)]
    assert new_share(training) < 0.02  # rounding to 8 bits may cross a border
    assert not [person for scene in training for person in scene.people if person.shirt.pattern in NEW_PATTERNS]
    held_out = [scene for scene, _ in described(150, Casting(new=True))]
    assert new_share(held_out) > 0.35
    assert [person for scene in held_out for person in scene.people if person.shirt.pattern in NEW_PATTERNS]


# The judge


@pytest.mark.slow
@pytest.mark.parametrize("people", [1, 2, 3, 4])
def test_true_clips_are_judged_right(people):
    wide = 80 if people < 3 else 28 * people  # nobody hides behind anybody
    unlike_strangers = []
    for sample in samples(12, only(people, hat=0.5, prop=0.5, new=True), width=wide):
        verdicts = judge(sample.clip.frames, sample.scene)
        assert all(verdict.bound for verdict in verdicts)
        assert placed_right(verdicts, sample.scene)
        unlike_strangers += [verdict.known and all(verdict.own.values()) for verdict in verdicts]
        middle = sample.clip.regions[len(sample.clip.regions) // 2]
        for verdict, regions in zip(verdicts, middle, strict=True):
            assert abs(verdict.x - regions["face"][0]) <= 2 and abs(verdict.y - regions["face"][1]) <= 2
    assert sum(unlike_strangers) >= len(unlike_strangers) - 1  # a stranger may have the same by chance


@pytest.mark.parametrize("kind", ["shirt", "hat", "prop"])
def test_a_garment_on_the_wrong_person_is_seen(kind):
    for sample in samples(12, only(2, hat=1.0, prop=1.0)):
        first, second = sample.scene.people
        if getattr(first, kind) == getattr(second, kind):
            continue
        swapped = (
            replace(first, **{kind: getattr(second, kind)}),
            replace(second, **{kind: getattr(first, kind)}),
        )
        verdicts = judge(sample.clip.frames, replace(sample.scene, people=swapped))
        assert all(verdict.face and not verdict.bound and not verdict.worn[kind] for verdict in verdicts)
        assert not any(verdict.paired for verdict in verdicts)


@pytest.mark.slow
def test_the_same_face_twice_is_seen():
    from lumosx_training.glyph_world.clip import film

    both = []
    for sample in samples(20, only(2, hat=0)):
        first, second = sample.scene.people
        twins = replace(sample.scene, people=(first, replace(second, face=first.face)))
        verdicts = judge(film(twins).frames, sample.scene)
        both.append(all(verdict.bound for verdict in verdicts))
    assert sum(both) == 0


def test_who_is_blurred_is_paired_sooner_than_bound():
    verdicts = []
    for sample in samples(10, only(2, hat=0, prop=0)):
        frames = sample.clip.frames.permute(0, 3, 1, 2)
        blurred = torch.nn.functional.avg_pool2d(frames, 13, 1, 6, count_include_pad=False)
        verdicts += judge(blurred.permute(0, 2, 3, 1), sample.scene)
    assert all(verdict.paired for verdict in verdicts if verdict.bound)
    assert sum(verdict.paired for verdict in verdicts) > sum(verdict.bound for verdict in verdicts)


def test_nobody_there_is_nobody_bound_exactly():
    sample = samples(1, only(2))[0]
    noise = torch.rand(sample.clip.frames.shape, generator=torch.Generator().manual_seed(0))
    assert not any(v.bound and v.known and all(v.own.values()) for v in judge(noise, sample.scene))


def test_exchanged_places_are_seen_apart_from_the_pairing():
    sample = samples(1, only(2))[0]
    first, second = sample.scene.people
    mirrored = replace(sample.scene, people=(replace(first, x=second.x), replace(second, x=first.x)))
    verdicts = judge(sample.clip.frames, mirrored)
    assert all(verdict.bound for verdict in verdicts) and not placed_right(verdicts, mirrored)


def test_a_key_of_another_source_is_refused():
    with pytest.raises(LumosXError, match="no clip 'glyphs-1-7'"):
        GlyphSource(1, 7).sample("glyphs-1-7")


def test_training_reads_a_clip_as_it_reads_a_folder():
    raw = GlyphSource(3, 1).load("glyphs-3-0")
    assert raw.video.shape[0] == 9 and isinstance(raw.case.scene, Scene)
    assert all(isinstance(each, Subject) for each in raw.case.scene.subjects)
    assert all(isinstance(each, Reference) for each in raw.case.scene.references)


def test_a_fingerprint_tells_what_a_clip_is_made_from_and_not_how_many_there_are():
    source = GlyphSource(3, 2)
    known = source.fingerprint("glyphs-3-0")
    assert known == replace(source, count=9).fingerprint("glyphs-3-0")
    others = [replace(source, casting=Casting(sashes=True)), replace(source, height=80), replace(source, placed=True)]
    assert len({known, *(other.fingerprint("glyphs-3-0") for other in others)}) == 4
    assert known != source.fingerprint("glyphs-3-1")


def test_a_clip_of_another_casting_takes_the_place_of_the_cached_one(tmp_path):
    settings = CacheSettings(frames=(5,), sizes=(), augment="none")
    source = GlyphSource(3, 1, frames=5, casting=only(1))
    written = [
        build_cache(each, tmp_path / "cache", tiny_files(), settings, device="cpu").written
        for each in (source, source, replace(source, casting=only(1, sashes=True)))
    ]
    assert written == [1, 0, 1]


def test_the_world_is_the_one_of_its_version():
    """If this fails because the world was changed on purpose, raise WORLD_VERSION: caches hold clips of the old one."""
    shown = samples(12, Casting(sashes=True))
    digest = hashlib.sha256(repr([(sample.scene, sample.caption) for sample in shown]).encode()).hexdigest()
    colours = [sample.clip.frames.mean((0, 1, 2)).tolist() for sample in shown[:3]]
    pictures = [sum(float(r.image.mean()) for r in sample.case.scene.references) for sample in shown[:3]]
    assert (WORLD_VERSION, digest[:16]) == (3, "624f47d5ba7048fa")
    assert colours[0] == pytest.approx([0.708, 0.695, 0.717], abs=2e-3)
    assert colours[1] == pytest.approx([0.699, 0.739, 0.723], abs=2e-3)
    assert colours[2] == pytest.approx([0.773, 0.761, 0.767], abs=2e-3)
    assert pictures == pytest.approx([4.827, 3.847, 1.934], abs=5e-3)
