import json
import random
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from lumosx_core.auto_scene.cutouts.regions import Box
from lumosx_core.auto_scene.networks.grounding_dino import GroundingDino, _network_size
from lumosx_core.errors import LumosXError, MissingPackageError

pytest.importorskip("transformers")
import tiny_networks
from tiny_networks import photo

SIZES = [(64, 85), (480, 700), (900, 300)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_networks.write_grounding_dino(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def finder(folder):
    return GroundingDino.load(folder, threshold=0)


def calls_of(finder, monkeypatch):
    """The token ids of each pass through the network from now on."""
    passes, forward = [], finder.model.forward

    def spied(**inputs):
        passes.append(inputs["input_ids"][0].tolist())
        return forward(**inputs)

    monkeypatch.setattr(finder.model, "forward", spied)
    return passes


class Given(nn.Module):
    """A network that answers with these boxes (centre and size) and probabilities of token 1, the first word's."""

    def __init__(self, boxes, scores):
        super().__init__()
        self.anywhere = nn.Parameter(torch.zeros(()))
        self.config = SimpleNamespace(max_text_len=32)
        logits = torch.full((1, len(scores), 32), float("-inf"))
        logits[0, :, 1] = torch.tensor(scores).logit()
        self.answer = SimpleNamespace(pred_boxes=torch.tensor(boxes)[None], logits=logits)

    def forward(self, **inputs):
        return self.answer


def found_by(finder, boxes, scores, *, threshold=0.3, size=(100, 200)):
    given = GroundingDino(Given(boxes, scores), finder.tokenizer, threshold=threshold)
    [found] = given.find(torch.zeros(*size, 3), ["hat"])
    return found


# The same answers as transformers' own processor


def reference(folder, finder, image, text):
    """The output of transformers' processor for all queries: scores (n,), corners (n, 4); logits (n, tokens),
    offsets."""
    from transformers import AutoTokenizer, GroundingDinoProcessor

    words = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt", return_offsets_mapping=True)
    offsets = words.pop("offset_mapping")[0].tolist()
    with torch.no_grad():
        answer = finder.model(**words, pixel_values=finder._pixels(image))
    processor = SimpleNamespace(batch_decode=lambda ids: ids)
    [found] = GroundingDinoProcessor.post_process_grounded_object_detection(
        processor, answer, words["input_ids"], threshold=-1, target_sizes=[image.shape[:2]]
    )
    return found["scores"], found["boxes"], answer.logits[0], offsets


def nearest(detection, corners):
    box = detection.box
    distances = (corners - torch.tensor([box.left, box.top, box.right, box.bottom])).abs().amax(dim=1)
    return int(distances.argmin()), float(distances.min())


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_pictures_are_prepared_as_transformers_does(folder, finder, height, width):
    preparation = pytest.importorskip("transformers.models.grounding_dino.image_processing_pil_grounding_dino")
    image = photo(height, width)
    pictures = preparation.GroundingDinoImageProcessorPil.from_pretrained(folder)
    theirs = pictures((image.numpy() * 255).round().astype(np.uint8), return_tensors="pt")["pixel_values"]
    # They round a resized image to whole 255ths.
    assert (finder._pixels(image) - theirs).abs().max() <= 1 / 255 / 0.224


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_boxes_and_scores_are_those_of_transformers(folder, finder, height, width):
    image = photo(height, width)
    text = "denim jacket . man . quux ."
    _, corners, logits, offsets = reference(folder, finder, image, text)
    corners = corners.clamp(torch.zeros(4), torch.tensor([width, height, width, height]))
    for phrase, detections in zip(
        ["denim jacket", "man", "quux"], finder.find(image, ["denim jacket", "man", "quux"]), strict=True
    ):
        start = text.index(phrase)
        own = [i for i, (a, b) in enumerate(offsets) if a < b and start <= a and b <= start + len(phrase)]
        scores = logits[:, own].sigmoid().amax(dim=1)
        assert len(detections) > 10
        for detection in detections:
            query, distance = nearest(detection, corners)
            assert distance <= 1e-3
            assert detection.score == pytest.approx(float(scores[query]), abs=1e-5)


def test_the_score_of_a_lone_phrase_is_at_most_the_processors(folder, finder):
    image = photo(64, 85)
    scores, corners, _, _ = reference(folder, finder, image, "denim jacket .")
    for detection in finder.find(image, ["denim jacket"])[0]:
        query, _ = nearest(detection, corners)
        # The processor counts the full stop and the marks around the text as well.
        assert detection.score <= float(scores[query]) + 1e-5


@pytest.mark.parametrize("limits", [(800, 1333), (64, 128)])
def test_pictures_are_resized_as_transformers_does(limits):
    from transformers.image_transforms import get_size_with_aspect_ratio

    numbers = random.Random(0)
    for _ in range(500):
        size = numbers.randint(200, 6000), numbers.randint(200, 6000)
        assert _network_size(*size, *limits) == get_size_with_aspect_ratio(size, *limits), size


def test_the_released_size_is_the_default(finder, folder, tmp_path):
    assert GroundingDino(finder.model, finder.tokenizer)._pixels(photo(600, 800)).shape == (1, 3, 800, 1066)
    assert finder._pixels(photo(600, 800)).shape == (1, 3, 64, 85)


@pytest.mark.parametrize("size", [800, None, {}, {"height": 64, "width": 64}, {"shortest_edge": 64}])
def test_a_size_without_both_edges_is_the_released_one(folder, tmp_path, size):
    copied(folder, tmp_path)
    stored = json.loads((folder / "preprocessor_config.json").read_text())
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({**stored, "size": size, "image_mean": [0.5] * 3}))
    preparation = GroundingDino.load(tmp_path).preparation
    assert preparation["size"] == {"shortest_edge": 800, "longest_edge": 1333}
    assert preparation["image_mean"] == [0.5] * 3


def test_a_folder_may_lack_its_preparation(folder, tmp_path):
    (copied(folder, tmp_path) / "preprocessor_config.json").unlink()
    assert GroundingDino.load(tmp_path).preparation["size"]["shortest_edge"] == 800


# Phrases


def test_phrases_are_read_together_as_in_training(finder, monkeypatch):
    passes = calls_of(finder, monkeypatch)
    finder.find(photo(64, 85), ["Denim Jacket", "man#2"])
    [ids] = passes
    assert finder.tokenizer.convert_ids_to_tokens(ids) == ["[CLS]", "denim", "jacket", ".", "man", ".", "[SEP]"]


def test_phrases_of_the_same_words_are_searched_once(finder, monkeypatch):
    passes = calls_of(finder, monkeypatch)
    first, second, third, hat = finder.find(photo(64, 85), ["man", "man#2", "MAN", "hat"])
    assert first == second == third != hat
    assert len(passes) == 1 and len(passes[0]) == 6


def test_phrases_are_lower_case_whatever_the_tokeniser_does(folder, finder, tmp_path):
    from transformers import AutoTokenizer

    copied(folder, tmp_path)
    settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": False}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    other = GroundingDino(finder.model, AutoTokenizer.from_pretrained(tmp_path), threshold=0)
    image = photo(64, 85)
    assert other.find(image, ["denim jacket"]) == other.find(image, ["Denim JACKET"])


def test_marks_that_would_end_a_phrase_are_left_out(finder):
    image = photo(64, 85)
    assert finder.find(image, ["denim. jacket?"]) == finder.find(image, ["denim jacket"])


def test_more_phrases_than_the_network_reads_go_into_further_passes(finder, monkeypatch):
    image, phrases = photo(64, 85), ["denim jacket", "white shirt", "brown sweater", "red hat", "lamp"] * 2
    phrases = [f"{phrase} {letter}" for phrase, letter in zip(phrases, "abcdefghij", strict=True)]
    passes = calls_of(finder, monkeypatch)
    found = finder.find(image, phrases)
    assert len(found) == 10 and all(found)
    assert len(passes) == 2 and all(len(ids) <= 32 for ids in passes)
    assert max(len(ids) for ids in passes) > 28  # not one pass each
    first = passes[0].count(finder.tokenizer.convert_tokens_to_ids("."))
    assert found[first:] == finder.find(image, phrases[first:])


def test_no_phrases_cost_nothing(finder, monkeypatch):
    passes = calls_of(finder, monkeypatch)
    assert finder.find(photo(64, 85), []) == []
    assert passes == []


@pytest.mark.parametrize("phrase", ["", " ", "?", "\u200b"])
def test_a_phrase_without_words_is_refused(finder, phrase):
    with pytest.raises(LumosXError, match="has no words"):
        finder.find(photo(64, 85), ["man", phrase])


def test_a_phrase_too_long_for_the_network_is_refused(finder):
    assert finder.find(photo(64, 85), ["man " * 29])[0]
    with pytest.raises(LumosXError, match="has 30 tokens, Grounding DINO reads 29"):
        finder.find(photo(64, 85), ["man " * 30])


# Detections


def test_detections_come_best_first_and_above_the_threshold(finder):
    boxes = [[0.1, 0.5, 0.1, 0.2], [0.5, 0.5, 0.1, 0.2], [0.9, 0.5, 0.1, 0.2]]
    found = found_by(finder, boxes, [0.4, 0.2, 0.8])
    assert [each.score for each in found] == pytest.approx([0.8, 0.4])
    assert found[0].box.centre == pytest.approx((180, 50))
    assert len(found_by(finder, boxes, [0.4, 0.2, 0.8], threshold=0.1)) == 3


def test_the_threshold_can_be_changed(finder):
    given = GroundingDino(Given([[0.5, 0.5, 0.1, 0.2]], [0.4]), finder.tokenizer)
    assert given.find(torch.zeros(50, 50, 3), ["hat"])[0]
    given.threshold = 0.5
    assert not given.find(torch.zeros(50, 50, 3), ["hat"])[0]


def test_two_boxes_around_the_same_thing_are_one(finder):
    # Intersection over union of the second, the best, with the first 0.8, with the third 0.6.
    boxes = [[0.5, 0.5, 0.2, 0.5], [0.5, 0.5, 0.2, 0.4], [0.5, 0.5, 0.12, 0.4]]
    found = found_by(finder, boxes, [0.5, 0.9, 0.4])
    assert [each.score for each in found] == pytest.approx([0.9, 0.4])


def test_boxes_lie_inside_the_photo(finder):
    [found] = found_by(finder, [[0.05, 0.95, 0.3, 0.3]], [0.9])
    assert (found.box.left, found.box.top, found.box.right, found.box.bottom) == pytest.approx((0, 80, 40, 100))


def test_boxes_of_less_than_half_a_pixel_are_left_out(finder):
    boxes = [[0.5, 0.5, 0.001, 0.5], [0.5, 0.5, 0.2, 0.002], [0.5, 0.5, 0.01, 0.01]]
    assert [found.box for found in found_by(finder, boxes, [0.9, 0.8, 0.7])] == [Box(99, 49.5, 101, 50.5)]


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 3000), (3000, 2), (2000, 3000)])
def test_photographs_of_any_size_are_searched(finder, height, width):
    [found] = finder.find(torch.rand(height, width, 3), ["man"])
    for each in found:
        assert 0 <= each.box.left < each.box.right <= width and 0 <= each.box.top < each.box.bottom <= height


# Folders


def copied(folder, tmp_path, **config):
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    stored = json.loads((folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**stored, **config}))
    return tmp_path


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(LumosXError, match="nowhere is not a folder with a model.*grounding-dino-tiny"):
        GroundingDino.load(tmp_path / "nowhere")


def test_the_authors_own_format_is_recognised(tmp_path):
    (tmp_path / "groundingdino_swint_ogc.pth").write_bytes(b"weights")
    for path in (tmp_path, tmp_path / "groundingdino_swint_ogc.pth"):
        with pytest.raises(LumosXError, match="authors' own format.*IDEA-Research/grounding-dino-tiny"):
            GroundingDino.load(path)


def test_another_model_is_refused(folder, tmp_path):
    with pytest.raises(LumosXError, match="type 'owlv2', expected grounding-dino"):
        GroundingDino.load(copied(folder, tmp_path, model_type="owlv2"))


def test_the_retrained_model_of_the_same_kind_is_accepted(folder, tmp_path):
    pytest.importorskip("transformers.models.mm_grounding_dino")
    from transformers import MMGroundingDinoConfig, MMGroundingDinoForObjectDetection

    config = json.loads((folder / "config.json").read_text())
    config = {name: value for name, value in config.items() if name not in ("model_type", "architectures")}
    copied(folder, tmp_path)
    MMGroundingDinoForObjectDetection(MMGroundingDinoConfig.from_dict(config)).save_pretrained(tmp_path)
    assert GroundingDino.load(tmp_path, threshold=0).find(photo(64, 85), ["man"])[0]


def test_missing_weights_are_noticed(folder, tmp_path):
    from safetensors.torch import load_file, save_file

    copied(folder, tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["model.level_embed"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(LumosXError, match="lacks weights.*level_embed"):
        GroundingDino.load(tmp_path)


def test_damaged_files_are_named(folder, tmp_path):
    copied(folder, tmp_path)
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:5000])
    with pytest.raises(LumosXError, match="cannot be opened.*Download it again"):
        GroundingDino.load(tmp_path)
    for name in ("preprocessor_config.json", "config.json"):
        for content in ("{", '["grounding-dino"]'):
            (tmp_path / name).write_text(content)
            with pytest.raises(LumosXError, match=f"{name} is damaged.*Download it again"):
                GroundingDino.load(tmp_path)


def test_without_transformers_the_package_is_named(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingPackageError, match="Finding phrases in photos needs the package 'transformers'"):
        GroundingDino.load(folder)
