import pytest

from lumosx_core import LumosXError
from lumosx_core.attention_map.number_choice import NumberChoice


def test_numbers_and_ranges_are_read():
    choice = NumberChoice.read(" 1-4, 8 ,10 - 11", "steps", 1)
    assert [number for number in range(20) if number in choice] == [1, 2, 3, 4, 8, 10, 11]
    assert choice.largest == 11


@pytest.mark.parametrize("text", ["", "  ", ","])
def test_an_empty_text_chooses_all(text):
    choice = NumberChoice.read(text, "steps", 1)
    assert 0 in choice and 12345 in choice and choice.largest is None


@pytest.mark.parametrize("text", ["4-1", "a", "1-", "-3", "1..3", "1 2", "0", "1, 0-3", "9999999", "٣-x"])
def test_what_is_no_choice_of_steps_is_an_error(text):
    with pytest.raises(LumosXError, match=r'^steps has .*, expected numbers from 1 on .* "1-4, 8"'):
        NumberChoice.read(text, "steps", 1)


def test_layers_count_from_0():
    assert 0 in NumberChoice.read("0-2", "layers", 0)
