"""Files of torch before 1.6: read where nothing else exists, refused where they are more than plain weights."""

import collections
import pickle

import pytest
import torch

from lumosx_core.errors import LumosXError
from lumosx_core.files.formats.legacy_torch_file import is_legacy_torch, open_legacy_torch

WEIGHTS = {"module.a.weight": torch.arange(1_000_003.0), "module.b": torch.ones(2, 3, dtype=torch.float16)}


def saved(path, content=WEIGHTS):
    torch.save(content, path, _use_new_zipfile_serialization=False)
    return path


@pytest.mark.parametrize("kind", [dict, collections.OrderedDict])
def test_a_state_dict_comes_back(tmp_path, kind):
    path = saved(tmp_path / "network.pth", kind(WEIGHTS))
    assert is_legacy_torch(path)
    tensors = open_legacy_torch(path)
    assert list(tensors) == list(WEIGHTS)
    for name, tensor in WEIGHTS.items():
        assert torch.equal(tensors[name].load(), tensor)
        assert (tensors[name].shape, tensors[name].dtype) == (tensor.shape, tensor.dtype)


def test_other_files_are_not_taken_for_one(tmp_path):
    torch.save(WEIGHTS, tmp_path / "new.pt")
    (tmp_path / "bare.pkl").write_bytes(pickle.dumps({"a": 1}))
    (tmp_path / "empty").touch()
    for name in ("new.pt", "bare.pkl", "empty", "missing", "."):
        assert not is_legacy_torch(tmp_path / name)


class Runs:
    """What plain weights never hold."""

    def __reduce__(self):
        return print, ("this ran",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": Runs()}, "asks for more than plain weights"),
        ({"a": torch.ones(2), "epoch": 3}, "something other than names and tensors"),
        ([torch.ones(2)], "something other than names and tensors"),
        ({"a": torch.ones(1).expand(2000, 2000)}, "a repeated view"),
        ({"a": torch.ones(4, 4).to_sparse()}, "is sparse"),
    ],
)
def test_what_is_not_plain_weights_is_refused_and_does_not_run(tmp_path, capsys, content, message):
    with pytest.raises(LumosXError, match=message) as error:
        open_legacy_torch(saved(tmp_path / "network.pth", content))
    assert "network.pth" in str(error.value)
    assert "this ran" not in capsys.readouterr().out


@pytest.mark.parametrize("left", [100, 300, 5000, 3_900_000])
def test_a_truncated_file_is_refused(tmp_path, left):
    path = saved(tmp_path / "network.pth")
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(LumosXError, match=r"network\.pth is .*damaged"):
        open_legacy_torch(path)


def test_values_that_the_file_is_too_small_for_take_no_memory(tmp_path):
    path = saved(tmp_path / "network.pth")
    number, more = ((count).to_bytes(4, "little") for count in (1_000_003, 2**31 - 1))
    assert number in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(number, more))
    with pytest.raises(LumosXError, match=r"claims 2,147,483,653 values in 4,0\d\d,\d\d\d bytes"):
        open_legacy_torch(path)
