import pytest
import torch

from posernn.models.parts.losses import LOSSES, SMOOTH_L1_KNEE, masked_sum

PRED = torch.tensor([[[0.3, 0.4], [0.52, 0.5]]])  # (1, 2, 2): off by (0.3, 0.4) and by (0.02, 0)
TRUE = torch.tensor([[[0.0, 0.0], [0.50, 0.5]]])


@pytest.mark.parametrize(
    ("name", "by_hand"),
    [
        ("l2", [0.3**2 + 0.4**2, 0.02**2]),
        ("l1", [0.7, 0.02]),
        ("smooth_l1", [0.7 - SMOOTH_L1_KNEE, 0.5 * 0.02**2 / SMOOTH_L1_KNEE]),
    ],
)
def test_losses_agree_with_those_computed_by_hand(name, by_hand):
    torch.testing.assert_close(LOSSES[name](PRED, TRUE), torch.tensor([by_hand]))


@pytest.mark.parametrize(
    ("name", "by_hand"),
    [
        ("l2", [[0.6, 0.8], [0.04, 0.0]]),
        ("l1", [[1.0, 1.0], [1.0, 0.0]]),
        ("smooth_l1", [[1.0, 1.0], [0.02 / SMOOTH_L1_KNEE, 0.0]]),
    ],
)
def test_gradients_agree_with_those_computed_by_hand(name, by_hand):
    pred = PRED.clone().requires_grad_()
    LOSSES[name](pred, TRUE).sum().backward()
    torch.testing.assert_close(pred.grad[0], torch.tensor(by_hand))


def test_the_sum_is_over_annotated_joints_only():
    values = torch.tensor([[1.0, 100.0], [2.0, 6.0]])
    mask = torch.tensor([[True, False], [True, True]])
    assert masked_sum(values, mask) == 9.0


def test_joints_that_are_not_annotated_get_no_gradient():
    pred = PRED.clone().requires_grad_()
    masked_sum(LOSSES["l2"](pred, TRUE), torch.tensor([[True, False]])).backward()
    torch.testing.assert_close(pred.grad, torch.tensor([[[0.6, 0.8], [0.0, 0.0]]]))


def test_a_batch_without_annotated_joints_costs_nothing():
    assert masked_sum(torch.ones(2, 16), torch.zeros(2, 16, dtype=torch.bool)) == 0


def test_what_is_not_annotated_has_no_part_not_even_as_nan():
    values = torch.tensor([[0.25, torch.nan]], requires_grad=True)
    loss = masked_sum(values, torch.tensor([[True, False]]))
    loss.backward()
    assert loss == 0.25
    assert values.grad.tolist() == [[1.0, 0.0]]
