"""A sample folder is a case folder with its video, and one that is neither is refused with all its reasons."""

import os
import pickle
import re
import shutil
import sys
from pathlib import Path

import pytest
import torch
from sample_files import (
    CAPTION,
    SHORT,
    assert_same_case,
    make_picture,
    make_sample,
    make_video,
    noise,
    numbers,
    ramp,
    scene,
    truncate,
)

from lumosx_core.errors import LumosXError, MissingPackageError
from lumosx_core.scene.case_folder import Case, read_case
from lumosx_core.scene.write_case import write_case
from lumosx_training.data.clips import ClipSettings
from lumosx_training.data.samples import BadSample, RawSample, SampleSettings, read_sample, write_sample

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "two_people"


@pytest.fixture
def folder(tmp_path):
    return make_sample(tmp_path / "clip")


def reasons(folder, settings=SHORT):
    with pytest.raises(BadSample) as caught:
        read_sample(folder, settings)
    assert caught.value.path == str(folder) and str(folder) in str(caught.value)
    return caught.value.reasons


def test_a_case_becomes_a_sample_by_its_video_and_stays_a_case(tmp_path):
    write_case(tmp_path / "case", Case("clip", CAPTION, scene()))
    case = read_case(tmp_path / "case")
    make_video(tmp_path / "case" / "video.mp4", ramp(9))
    sample = read_sample(tmp_path / "case", SHORT)
    assert_same_case(sample.case, case)
    assert_same_case(read_case(tmp_path / "case"), case)
    assert sample.key == "case" and sample.fps == 16 and numbers(sample.video) == [0, 1, 2, 3, 4]


def test_the_examples_of_the_repository_are_samples_but_for_their_video(tmp_path):
    shutil.copytree(EXAMPLE, tmp_path / "two_people")
    make_video(tmp_path / "two_people" / "video.mp4", ramp(5))
    assert len(read_sample(tmp_path / "two_people", SHORT).case.scene.subjects) == 2


def test_a_sample_is_written_and_read_back_with_the_very_bytes_of_its_video(folder, tmp_path):
    sample = read_sample(folder, SHORT)
    write_sample(tmp_path / "copy", sample)
    copy = read_sample(tmp_path / "copy", SHORT)
    assert_same_case(copy.case, sample.case)
    assert (tmp_path / "copy" / "video.mp4").read_bytes() == (folder / "video.mp4").read_bytes()
    with pytest.raises(LumosXError, match="copy is in use"):
        write_sample(tmp_path / "copy", sample)


def test_a_sample_whose_video_cannot_be_written_leaves_nothing(tmp_path):
    with pytest.raises(LumosXError):
        write_sample(tmp_path / "bad", RawSample("bad", Case(None, CAPTION, scene()), torch.zeros(0, 4, 4, 3)))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("video", [ramp(5), ramp(5).float() / 255])
def test_the_vae_gets_pixels_from_minus_one_to_one(video):
    pixels = RawSample("clip", Case(None, CAPTION, scene()), video).pixels()
    assert pixels.shape == (3, 5, 32, 48) and pixels.dtype == torch.float32
    assert pixels[:, 0].unique().tolist() == [-1]
    assert torch.allclose(pixels[1, :, 7, 9], torch.arange(5) * 4 / 127.5 - 1, atol=1e-6)


def empty_caption(folder):
    (folder / "caption.txt").write_text("clip; \n")


def no_caption(folder):
    (folder / "caption.txt").unlink()


def caption_of_other_bytes(folder):
    (folder / "caption.txt").write_bytes("clip;Ein Mann in Köln".encode("latin-1"))


def no_face(folder):
    (folder / "subjects/1/face_man.png").unlink()


def two_faces(folder):
    make_picture(folder / "subjects/1/face_woman.png")


def nobody(folder):
    shutil.rmtree(folder / "subjects/1")
    (folder / "subjects/1").mkdir()


def empty_picture(folder):
    (folder / "objects/red cup.png").write_bytes(b"")


def truncated_picture(folder):
    truncate(folder / "background/bright kitchen.png")


def no_video(folder):
    (folder / "video.mp4").unlink()


def empty_video(folder):
    (folder / "video.mp4").write_bytes(b"")


def truncated_video(folder):
    (folder / "video.mp4").unlink()
    truncate(make_video(folder / "video.mp4", noise(9)))


def short_video(folder):
    (folder / "video.mp4").unlink()
    make_video(folder / "video.mp4", ramp(3))


MISTAKES = {
    empty_caption: r"caption.txt has no prompt. Write what happens",
    no_caption: r"Cannot read .*caption.txt: No such file",
    caption_of_other_bytes: r"caption.txt is not UTF-8",
    no_face: r"Subject 1 has no face. Add its image \(in a folder: face_PHRASE.png\)",
    two_faces: r"subjects/1 has 2 faces: face_man.png, face_woman.png",
    nobody: r"subjects/1 has no image",
    empty_picture: r"Cannot read the image .*red cup.png: the file is empty",
    truncated_picture: r"Cannot read the image .*bright kitchen.png",
    no_video: r"There is no video .*video.mp4",
    empty_video: r"video.mp4 is empty \(zero bytes\)",
    truncated_video: r"video.mp4 is truncated or damaged",
    short_video: r"video.mp4 is too short. .* has 3 frames",
}


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.__name__)
def test_what_is_wrong_is_said_with_its_file_and_its_mend(folder, mistake):
    mistake(folder)
    (reason,) = reasons(folder)
    assert re.search(MISTAKES[mistake], reason)


def test_everything_wrong_with_a_sample_is_said_at_once(folder):
    empty_picture(folder)
    short_video(folder)
    assert len(reasons(folder)) == 2


def test_a_subject_without_a_face_is_allowed_when_asked_for(folder):
    no_face(folder)
    sample = read_sample(folder, SampleSettings(ClipSettings((5,)), require_faces=False))
    assert sample.case.scene.subjects[0].face is None


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names themselves")
def test_a_name_that_is_no_text_is_reported_in_text(folder):
    os.rename(os.fsencode(folder / "objects/red cup.png"), os.fsencode(folder / "objects") + b"/caf\xe9.png")
    first = reasons(folder)[0]
    assert r"caf\udce9.png is not UTF-8" in first
    first.encode()


def test_a_bad_sample_travels_between_processes(folder):
    error = BadSample(folder, "One reason.", "Another.")
    same = pickle.loads(pickle.dumps(error))
    assert (same.path, same.reasons, str(same)) == (error.path, error.reasons, f"{folder}: One reason. Another.")


def test_a_missing_package_is_no_fault_of_the_sample(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingPackageError):
        read_sample(folder, SHORT)
