"""Settings of the stages from a caption to a sample; the tables belong to the same file as those of `settings.py`.

Sources: "paper" is LumosX (arXiv 2603.20192, data construction), "OpenS2V" arXiv 2505.20292, "Phantom-Data" arXiv
2506.18851, "own" a choice of this project, where nothing is published.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lumosx_core.models.trainable import require_setting as _require


@dataclass(frozen=True)
class ChatSettings:
    """`[chat]`: the multimodal model that writes captions and says who wears what (paper: VILA and Qwen2.5-VL).

    Args:
        method: transformers runs a model from a folder; endpoint asks a server that speaks OpenAI's chat protocol.
        folder: of the model, in Hugging Face's layout, such as that of Qwen2.5-VL-7B-Instruct.
        device: of that model: cpu or cuda.
        base_url: of the endpoint, such as http://localhost:8000/v1.
        model: its name at the endpoint.
        key_variable: name of the environment variable that has the endpoint's key; it is never written anywhere.
        timeout_seconds: for one answer.
        retries: how often a request is sent again that timed out, could not be delivered, or met a server error or a
            limit of its rate.
        wait_seconds: before the first of these; each further one waits twice as long.
        max_tokens: of an answer.
    """

    method: Literal["transformers", "endpoint"] = "transformers"
    folder: str = ""
    device: Literal["cpu", "cuda"] = "cpu"
    base_url: str = ""
    model: str = ""
    key_variable: str = "OPENAI_API_KEY"
    timeout_seconds: float = 120.0
    retries: int = 3
    wait_seconds: float = 1.0
    max_tokens: int = 1024

    def __post_init__(self):
        _require(self.timeout_seconds > 0, "chat.timeout_seconds", self.timeout_seconds, "more than 0")
        _require(0 <= self.retries <= 20, "chat.retries", self.retries, "0 to 20")
        _require(0 <= self.wait_seconds <= 600, "chat.wait_seconds", self.wait_seconds, "0 to 600")
        _require(self.max_tokens >= 16, "chat.max_tokens", self.max_tokens, "16 or more")


@dataclass(frozen=True)
class CaptionSettings:
    """`[caption]`: one description of each clip, from its key frames.

    Args:
        tries: how often the model is asked at most, where its answer is empty, too long, or no description.
        max_characters: of a caption. The network reads 512 tokens, about 2000 characters of English.
    """

    tries: int = 3
    max_characters: int = 1500

    def __post_init__(self):
        _require(self.tries >= 1, "caption.tries", self.tries, "1 or more")
        _require(16 <= self.max_characters <= 20_000, "caption.max_characters", self.max_characters, "16 to 20000")


@dataclass(frozen=True)
class FinderSettings:
    """`[finders]`: the networks of Auto Scene, as files or folders; see docs/auto_scene.md.

    Args:
        faces, phrases, masks: of the detector of faces, the detector of phrases, and the segmenter.
        identity: of a network that tells people apart by their faces; empty: they are followed by their boxes.
        device: cpu or cuda.
    """

    faces: str = ""
    phrases: str = ""
    masks: str = ""
    identity: str = ""
    device: Literal["cpu", "cuda"] = "cpu"


@dataclass(frozen=True)
class PeopleSettings:
    """`[people]`: who is in the frames at 5, 50 and 95 % of a clip.

    Args:
        min_face_score: of a face, 0..1 (OpenS2V: 0.65).
        min_area, max_area: of a person's box, as fractions of the frame's (Phantom-Data: 0.04 to 0.9).
        min_side: pixels of the shorter side of a person's box (Phantom-Data: 128).
        min_similarity: cosine of two faces that are one person's (own: 0.35; OpenS2V links from 0.1).
        min_overlap: intersection over union of two boxes that are one person's, where there are no faces to compare
            (own).
    """

    min_face_score: float = 0.65
    min_area: float = 0.04
    max_area: float = 0.9
    min_side: int = 128
    min_similarity: float = 0.35
    min_overlap: float = 0.1

    def __post_init__(self):
        for name in ("min_face_score", "min_area", "max_area", "min_overlap"):
            _require(0 <= getattr(self, name) <= 1, f"people.{name}", getattr(self, name), "a fraction from 0 to 1")
        _require(self.max_area > self.min_area, "people.max_area", self.max_area, "more than people.min_area")
        _require(self.min_side >= 1, "people.min_side", self.min_side, "1 or more")
        _require(-1 <= self.min_similarity <= 1, "people.min_similarity", self.min_similarity, "-1 to 1")


@dataclass(frozen=True)
class WordSettings:
    """`[words]`: which words of the caption mean whom.

    Args:
        repairs: how often an answer that cannot be used is sent back with what is wrong about it (own: 2).
    """

    repairs: int = 2

    def __post_init__(self):
        _require(0 <= self.repairs <= 10, "words.repairs", self.repairs, "0 to 10")


@dataclass(frozen=True)
class ReferenceSettings:
    """`[references]`: faces, attributes and objects cut out of the key frames.

    Args:
        min_inside: fraction of a face, and of an attribute, inside the mask of its owner (own: 0.8).
        min_lead: how much more of it must be inside that mask than inside anybody else's (own: 0.1).
        same_region: intersection over union of two regions that are one thing; a phrase with several regions that fit
            is left out (Phantom-Data), for nobody knows which is meant.
        feather: pixels over which the edge of a cutout fades.
    """

    min_inside: float = 0.8
    min_lead: float = 0.1
    same_region: float = 0.5
    feather: float = 1.5

    def __post_init__(self):
        for name in ("min_inside", "min_lead", "same_region"):
            _require(0 <= getattr(self, name) <= 1, f"references.{name}", getattr(self, name), "a fraction from 0 to 1")
        _require(0 <= self.feather <= 32, "references.feather", self.feather, "0 to 32")


@dataclass(frozen=True)
class BackgroundSettings:
    """`[background]`: the place without people and things (paper: FLUX inpainting).

    Args:
        method: fill is the built-in one; diffusers runs an inpainting pipeline; none leaves the background out.
        folder: of the pipeline, in diffusers' layout.
        prompt: that it is given.
        steps: of the pipeline.
        device: of the pipeline: cpu or cuda.
        max_hidden: a frame of which people and things hide more than this fraction gives no background (own: 0.5).
    """

    method: Literal["fill", "diffusers", "none"] = "fill"
    folder: str = ""
    prompt: str = "an empty place without people"
    steps: int = 28
    device: Literal["cpu", "cuda"] = "cpu"
    max_hidden: float = 0.5

    def __post_init__(self):
        needs = self.method != "diffusers" or bool(self.folder)
        _require(needs, "background.folder", self.folder, "the folder of a pipeline, with method = 'diffusers'")
        _require(self.steps >= 1, "background.steps", self.steps, "1 or more")
        _require(0 <= self.max_hidden <= 1, "background.max_hidden", self.max_hidden, "a fraction from 0 to 1")


@dataclass(frozen=True)
class ChoiceSettings:
    """`[sample]`: one image for each person, attribute, object and the background, out of up to three frames.

    Args:
        seed: of that choice (paper: at random).
        whole: leave out a clip of which an attribute or an object that its caption names has no image. Otherwise the
            sample goes without it, which is logged.
    """

    seed: int = 0
    whole: bool = False
