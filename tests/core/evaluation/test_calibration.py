import random

import pytest

from lumosx_core.errors import LumosXError
from lumosx_core.evaluation.misbinding.calibration import Calibration, calibrate


def test_t_is_the_95th_percentile_of_what_frames_of_a_video_differ_by():
    chance = random.Random(0)
    videos = [
        [tuple(tuple(chance.uniform(-1, 1) for _ in range(3)) for _ in range(3)) for _ in range(4)] for _ in range(6)
    ]
    changes, own = [], []
    for frames in videos:
        for f, g in ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)):
            for i in range(3):
                for j in range(3):
                    changes.append(abs(frames[f][i][j] - frames[g][i][j]))
        own += [frame[i][i] for frame in frames for i in range(3)]
    changes.sort()
    at = 0.95 * (len(changes) - 1)  # linear interpolation between order statistics
    expected = changes[int(at)] + (at - int(at)) * (changes[int(at) + 1] - changes[int(at)])
    own.sort()
    result = calibrate(videos)
    assert result.threshold == pytest.approx(expected)
    assert result.matched == pytest.approx((own[len(own) // 2 - 1] + own[len(own) // 2]) / 2)
    assert result.videos == 6


def test_missing_rows_do_not_count():
    seen, lost = ((0.5, 0.1), (0.2, 0.6)), ((None, None), (0.3, 0.6))
    assert calibrate([[seen, lost]]).threshold == pytest.approx(0.095)  # of 0.1 and 0.0
    with pytest.raises(LumosXError, match="two frames"):
        calibrate([[seen], [((None, None), (None, None)), seen]])


@pytest.mark.parametrize("values", [{"threshold": 0}, {"threshold": float("nan")}, {"matched": 1.5}])
def test_impossible_values_are_refused(values):
    with pytest.raises(LumosXError, match="Calibrate again"):
        Calibration(**values)
