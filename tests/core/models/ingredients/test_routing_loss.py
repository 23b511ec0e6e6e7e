"""The routing loss: cross entropy of the router's logits, over the tokens that show a face."""

from __future__ import annotations

import math

import pytest
import torch

from lumosx_core import LumosXError
from lumosx_core.models.ingredients.routing_loss import routing_loss, routing_losses


def test_it_is_the_mean_over_layers_of_the_mean_over_labelled_tokens():
    logits = torch.tensor([[[2.0, 0.0], [0.0, 1.0], [5.0, -5.0]], [[0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]])
    labels = torch.tensor([0, 0, -1])
    first = (math.log(1 + math.exp(-2)) + math.log(1 + math.exp(1))) / 2
    assert routing_losses(logits, labels).tolist() == pytest.approx([first, math.log(2)])
    assert routing_loss(logits, labels).item() == pytest.approx((first + math.log(2)) / 2)


def test_rows_of_a_batch_are_counted_by_their_labelled_tokens():
    logits, labels = torch.randn(3, 2, 7, 4), torch.randint(-1, 4, (2, 7))
    assert routing_loss(logits, labels).item() == pytest.approx(
        routing_loss(logits.flatten(1, 2), labels.flatten()).item()
    )


def test_labels_of_a_batch_of_one_fit_its_logits_which_have_no_axis_of_rows():
    logits, labels = torch.randn(3, 7, 4), torch.randint(-1, 4, (7,))
    assert torch.equal(routing_loss(logits, labels[None]), routing_loss(logits, labels))


def test_without_a_labelled_token_loss_and_gradients_are_zero():
    logits = torch.randn(2, 5, 3, requires_grad=True)
    loss = routing_loss(logits, torch.full((5,), -1))
    assert loss.item() == 0
    loss.backward()
    assert not logits.grad.any()


def test_logits_in_half_precision_are_compared_in_float32():
    logits, labels = torch.randn(2, 50, 3), torch.randint(-1, 3, (50,))
    assert routing_loss(logits.bfloat16(), labels).dtype == torch.float32
    assert torch.equal(routing_loss(logits.bfloat16(), labels), routing_loss(logits.bfloat16().float(), labels))


def test_a_step_down_the_gradient_routes_better():
    logits, labels = torch.randn(2, 50, 3, requires_grad=True), torch.randint(-1, 3, (50,))
    loss = routing_loss(logits, labels)
    loss.backward()
    assert routing_loss(logits - 5 * logits.grad, labels) < loss
    assert not logits.grad[:, labels == -1].any()


@pytest.mark.parametrize(
    ("shape", "labels", "message"),
    [
        ((2, 5, 3), torch.zeros(4, dtype=torch.long), r"logits have shape \(2, 5, 3\) and labels \(4,\)"),
        ((2, 2, 5, 3), torch.zeros(5, dtype=torch.long), r"integers \(\[batch,\] tokens\)"),
        ((5, 3), torch.zeros(5, dtype=torch.long), "expected"),
        ((2, 5, 3), torch.zeros(5), "float32"),
        ((2, 5, 3), torch.tensor([0, 1, 2, 3, 0]), "A label is 3, expected 0 to 2, one for each of the 3 faces"),
        ((2, 5, 3), torch.tensor([0, 1, 2, -100, 0]), "A label is -100"),
    ],
)
def test_labels_that_do_not_fit_are_refused(shape, labels, message):
    with pytest.raises(LumosXError, match=message):
        routing_loss(torch.zeros(shape), labels)
