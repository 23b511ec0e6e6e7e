"""The settings of data preparation: the paper's values, and what is refused."""

from __future__ import annotations

import pickle

import pytest

from lumosx_core.errors import LumosXError
from lumosx_training.prepare.settings import CutSettings, PrepareSettings, read_settings, settings_hash


def written(tmp_path, text):
    path = tmp_path / "prepare.toml"
    path.write_text(text)
    return path


def test_the_defaults_are_the_papers():
    settings = read_settings(None)
    assert settings == PrepareSettings()
    quality, motion = settings.filter.quality, settings.filter.motion
    assert (quality.min_quality, quality.min_aesthetic) == (3.5, 2.0)
    assert (motion.min_flow, motion.max_flow) == (0.05, 2.0)
    assert settings.filter.people.most == 3
    assert settings.probe.min_short_side == 480
    assert (settings.cut.min_seconds, settings.cut.max_seconds, settings.cut.margin_seconds) == (2, 60, 0.5)
    assert settings.duplicates.distance == 6


def test_a_file_changes_what_it_names_and_an_option_changes_the_file(tmp_path):
    path = written(tmp_path, "[cut]\ndetector = 'content'\n[filter.motion]\nmax_flow = 3\n")
    settings = read_settings(path, ["filter.motion.min_flow=0.5", "duplicates.distance=4"])
    assert settings.cut.detector == "content" and settings.cut.max_seconds == 60
    assert (settings.filter.motion.min_flow, settings.filter.motion.max_flow) == (0.5, 3.0)
    assert settings.duplicates.distance == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[cutt]\n", "Did you mean cut"),
        ("[filter.motion]\nmaxflow = 3\n", "Did you mean filter.motion.max_flow"),
        ("[filter]\nmotion = 3\n", "expected a table"),
        ("[cut]\ndetector = 'magic'\n", "'transnetv2'"),
        ("[cut]\nmax_seconds = 3.0\n", "at least twice cut.min_seconds"),
        ("[filter.motion]\nmin_flow = 3.0\n", "filter.motion.max_flow"),
        ("[filter.motion]\nmethod = 'raft'\n", "filter.motion.weights"),
        ("[filter.subtitles]\nevery = 0\n", "1 or more"),
        ("[duplicates]\ndistance = 40\n", "-1 to 10"),
        ("[probe]\nmin_seconds = nan\n", "finite"),
    ],
)
def test_what_is_not_possible_is_refused_by_name(tmp_path, text, message):
    path = written(tmp_path, text)
    with pytest.raises(LumosXError, match=message) as caught:
        read_settings(path)
    assert str(path) in str(caught.value)


def test_settings_travel_between_processes_and_their_hash_changes_with_every_value():
    settings = PrepareSettings()
    assert pickle.loads(pickle.dumps(settings)) == settings
    hashes = {settings_hash(CutSettings()), settings_hash(CutSettings(min_seconds=3)), settings_hash(CutSettings(), 1)}
    assert len(hashes) == 3
    assert settings_hash(CutSettings()) == settings_hash(CutSettings())


@pytest.mark.parametrize("value", ["0x" + "f" * 5000, "[0x" + "f" * 5000 + "]"])
def test_a_number_that_python_cannot_write_is_refused_like_others(value):
    with pytest.raises(LumosXError, match="min_seconds is a number of thousands of digits, expected"):
        read_settings(None, [f"cut.min_seconds={value}"])
