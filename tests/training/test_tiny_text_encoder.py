"""The text encoder of lumosx-tiny: trained narrow, written at the released width."""

import pytest
import torch

pytest.importorskip("transformers")

from lumosx_training.tiny.train_text_encoder import (
    TRAINED_WIDTH,
    WIDTH,
    Tagger,
    labelled,
    widened,
)


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return Tagger().encoder.eval()


def test_the_wide_encoder_gives_the_states_of_the_narrow_one(encoder):
    """At the root mean square of a full width: 4 times as large, as 15 of 16 channels are zero."""
    wide = widened(encoder.state_dict())
    config = type(encoder.config)(**(encoder.config.to_dict() | {"d_model": WIDTH}))
    full = type(encoder)(config).eval()
    full.load_state_dict(wide)
    ids = torch.randint(3, 500, (2, 30), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        narrow_states, states = (model(ids).last_hidden_state for model in (encoder, full))
    assert states.shape == (2, 30, WIDTH) and not states[..., TRAINED_WIDTH:].any()
    scale = (WIDTH / TRAINED_WIDTH) ** 0.5
    assert torch.allclose(states[..., :TRAINED_WIDTH], scale * narrow_states, rtol=1e-3, atol=1e-3)


class Letters:
    """A tokeniser with a token for each letter."""

    def encode(self, text, return_type):
        from types import SimpleNamespace as Record

        assert return_type == "proto"
        return Record(pieces=[Record(id=3 + place, end=place + 1) for place in range(len(text))])


def test_every_token_learns_its_clause_and_where_it_puts_somebody():
    text = "A man in a shirt on the left and on the right a girl. There is a tree."
    ids, where, clause = labelled(text, Letters())
    assert len(ids) == len(where) == len(clause) == len(text) + 1  # and the end
    man, girl, tree = (text.index(word) for word in ("man", "girl", "tree"))
    assert [where[place] for place in (man, girl, tree)] == [1, 3, 0]
    assert [clause[place] for place in (man, girl, tree)] == [0, 1, 5]
