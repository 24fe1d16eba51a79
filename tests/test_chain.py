"""The chain: a step is told the joints before it and nothing else, whichever way it is decoded."""

import numpy as np
import pytest
import torch
from tiny_models import TINY

from posernn import models
from posernn.models.chain import Decoding
from posernn.models.contract import Truth
from posernn.models.parts import search
from posernn.models.parts.decoders import History
from posernn.models.parts.histories import history_of, no_history
from posernn.models.parts.places import NUM_FEATURES, cell_features, gaussians, place_features
from posernn.models.parts.readouts import Distribution
from posernn.pose.skeleton import CHAIN_ORDERS, Joint

SETTINGS = next(settings for arch, settings in TINY if arch == "chain")
KINDS = {
    "transformer": {},
    "transformer with sums": {"feedback": "all_coordinates"},
    "transformer with maps": {"feedback": "map"},
    "lstm": {"decoder": "lstm"},
    "lstm with attention": {"decoder": "lstm", "attention": True},
    "lstm with maps": {"decoder": "lstm", "feedback": "map"},
    "locator": {"decoder": "lstm", "locator": True},
}
PEOPLE = 3
ORDER = torch.tensor(CHAIN_ORDERS["limb_by_limb"]).expand(PEOPLE, 16)


def changed(**changes):
    """Settings of the tiny chain with some changed, checked as those of params.yaml are."""
    return type(SETTINGS).model_validate(SETTINGS.model_dump() | changes)


@pytest.fixture(params=KINDS.values(), ids=KINDS.keys())
def decoder(request):
    torch.manual_seed(0)
    decoder = models.build("chain", changed(**request.param)).decoding.decoder
    for parameter in decoder.parameters():  # fresh weights tell hardly anything
        parameter.data *= 1.3
    return decoder.eval()


def scene_of(decoder, seed=0):
    torch.manual_seed(seed)
    return decoder.scene(torch.randn(PEOPLE, SETTINGS.channels, 8, 8))


def places(seed=0):
    return torch.from_numpy(np.random.default_rng(seed).uniform(0.1, 0.9, (PEOPLE, 16, 2)).astype(np.float32))


def everything(joints):
    return History(joints, torch.ones(PEOPLE, 16, dtype=torch.bool))


def test_a_step_depends_on_all_joints_before_it_and_on_none_after(decoder):
    joints = places().requires_grad_()
    logits, _ = decoder(scene_of(decoder), ORDER, everything(joints))
    for step in range(16):
        (gradient,) = torch.autograd.grad(logits[0, step].square().sum(), joints, retain_graph=True)
        told = gradient[0].abs().sum(dim=1)[ORDER[0]] > 0  # by step
        assert not told[step:].any()
        assert told[:step].all()
        assert not gradient[1:].any()


def test_steps_one_by_one_are_those_of_one_pass(decoder):
    scene, history = scene_of(decoder), everything(places())
    together, _ = decoder(scene, ORDER, history)
    past, alone = None, []
    for step in range(16):
        logits, past = decoder(scene, ORDER, history, slice(step, step + 1), past)
        alone.append(logits)
    torch.testing.assert_close(torch.cat(alone, dim=1), together, atol=1e-4, rtol=1e-4)


def test_greedy_maps_are_those_of_its_own_history(decoder):
    scene = scene_of(decoder)
    found = search.greedy(decoder, scene, ORDER)
    again = search.teacher_forced(decoder, scene, ORDER, everything(found.joints_unit))
    torch.testing.assert_close(found.logits, again, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(Distribution.of(again, 32).decode("local")[0], found.joints_unit, atol=1e-3, rtol=0)


def test_hidden_joints_tell_nothing(decoder):
    scene = scene_of(decoder)
    one, other = (search.teacher_forced(decoder, scene, ORDER, no_history(places(seed))) for seed in (0, 1))
    assert torch.equal(one, other)
    with_history = search.teacher_forced(decoder, scene, ORDER, everything(places()))
    assert not torch.allclose(one, with_history)


def test_given_joints_stay_and_change_all_others(decoder):
    scene, joints = scene_of(decoder), places()
    known = torch.zeros(PEOPLE, 16, dtype=torch.bool)
    known[:, [Joint.LEFT_WRIST, Joint.RIGHT_ANKLE]] = True
    known[1] = False
    given = History(joints, known)
    order = search.given_first(ORDER, given)
    assert set(order[0, :2].tolist()) == {Joint.LEFT_WRIST, Joint.RIGHT_ANKLE}
    assert torch.equal(order[1], ORDER[1])
    found, free = search.greedy(decoder, scene, order, given=given), search.greedy(decoder, scene, order)
    assert torch.equal(found.joints_unit[known], joints[known])
    changed = (found.logits - free.logits).abs().amax(dim=2) > 0  # (B, J)
    assert changed[0, [joint for joint in Joint if not known[0, joint]]].all()
    torch.testing.assert_close(found.logits[1], free.logits[1])


def test_a_beam_of_one_is_greedy_and_the_maps_of_a_wider_one_are_of_its_own_history(decoder):
    scene = scene_of(decoder)
    greedy = search.greedy(decoder, scene, ORDER)
    torch.testing.assert_close(search.beam(decoder, scene, ORDER, 1).joints_unit, greedy.joints_unit, atol=1e-4, rtol=0)
    wide = search.beam(decoder, scene, ORDER, 4)
    again = search.teacher_forced(decoder, scene, ORDER, everything(wide.joints_unit))
    torch.testing.assert_close(wide.logits, again, atol=1e-4, rtol=1e-4)


def test_the_mean_of_samples_is_a_distribution(decoder):
    torch.manual_seed(0)
    drawn, log_p = search.sample(decoder, scene_of(decoder), ORDER, 5)
    assert drawn.shape == (PEOPLE, 5, 16, 2)
    torch.testing.assert_close(log_p.exp().sum(dim=2), torch.ones(PEOPLE, 16))
    first = ORDER[0, 0]
    logits, _ = decoder(scene_of(decoder), ORDER, no_history(places()), slice(0, 1))
    torch.testing.assert_close(log_p[:, first], logits[:, 0].log_softmax(dim=1), atol=1e-4, rtol=1e-4)
    assert (drawn[:, :, first].std(dim=1) > 0).any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"decoder": "parallel"}, "parallel has no feedback"),
        ({"attention": True}, "belong to decoder: lstm, got decoder: transformer"),
        ({"locator": True}, "belong to decoder: lstm, got decoder: transformer"),
        ({"decoder": "lstm", "locator": True, "attention": True}, "expected attention or locator, got both"),
        (
            {"decoder": "lstm", "feedback": "none", "history": "own"},
            "expected coordinates, all_coordinates or map, got none",
        ),
    ],
    ids=str,
)
def test_what_does_not_go_together_is_one_line(change, message):
    with pytest.raises(ValueError, match=message):
        changed(**change)


@pytest.mark.parametrize("regime", ["truth", "masked", "scheduled", "own"])
def test_what_is_told_in_training(regime):
    decoder = models.build("chain", SETTINGS).decoding.decoder
    scene, joints = scene_of(decoder), places()
    annotated = torch.ones(PEOPLE, 16, dtype=torch.bool)
    annotated[:, Joint.LEFT_KNEE] = False
    torch.manual_seed(1)
    told = history_of(regime, Truth(joints, annotated), decoder, scene, ORDER, jitter=0.0)
    true = (told.joints_unit == joints).all(dim=2) & told.known
    shares = true[annotated].float().mean()
    if regime == "truth":
        assert torch.equal(told.known, annotated)
        assert shares == 1
    elif regime == "masked":
        assert not told.known[~annotated].any()
        assert 0.2 < shares < 0.8
    else:
        own = search.greedy(decoder, scene, ORDER).joints_unit
        assert torch.equal(told.joints_unit[~true], own[~true])
        assert told.known.all()
        assert not true[~annotated].any()
        assert shares == 0 if regime == "own" else 0.3 < shares < 0.7


def test_jitter_moves_what_is_told():
    decoder = models.build("chain", SETTINGS).decoding.decoder
    truth = Truth(places(), torch.ones(PEOPLE, 16, dtype=torch.bool))
    told = history_of("truth", truth, decoder, scene_of(decoder), ORDER, jitter=0.05)
    assert 0.03 < (told.joints_unit - truth.joints_unit).std() < 0.07


def test_thorax_and_pelvis_come_last_in_every_order():
    for order in CHAIN_ORDERS.values():
        assert sorted(order) == list(Joint)
        assert set(order[-2:]) == {Joint.THORAX, Joint.PELVIS}


def test_a_random_order_is_drawn_for_each_batch_of_a_training_and_keeps_midpoints_last():
    decoding = models.build("chain", changed(random_order=True)).decoding
    features = torch.zeros(2, SETTINGS.channels, 8, 8)
    orders = [decoding.train().order(features)[0].tolist() for _ in range(4)]
    assert len({tuple(order) for order in orders}) > 1
    assert all(set(order[-2:]) == {Joint.THORAX, Joint.PELVIS} for order in orders)
    assert decoding.eval().order(features)[0].tolist() == list(CHAIN_ORDERS["torso_first"])


def test_cells_and_joints_have_the_same_code():
    cells = cell_features(8, 32, torch.zeros(1))
    center = torch.tensor([(5 + 0.5) / 8 - 0.5 / 32, (2 + 0.5) / 8 - 0.5 / 32])  # x of column 5, y of row 2
    assert cells.shape == (NUM_FEATURES, 8, 8)
    torch.testing.assert_close(cells[:, 2, 5], place_features(center))
    drawn = gaussians(center[None], 8, 32, 1.0)[0]
    assert divmod(int(drawn.argmax()), 8) == (2, 5)
    torch.testing.assert_close(drawn[2, 5], torch.tensor(1.0))
    torch.testing.assert_close(drawn[2, 6], torch.tensor(-0.5).exp())


def test_given_joints_come_first_in_a_chain_that_was_trained_in_any_order():
    known = torch.zeros(2, 16, dtype=torch.bool)
    known[0, Joint.LEFT_WRIST] = True
    given = History(torch.full((2, 16, 2), 0.5), known)
    features = torch.zeros(2, 16, 8, 8)
    fixed, any_order = (Decoding(SETTINGS.model_copy(update={"random_order": on})).eval() for on in (False, True))
    usual = fixed.order(features)
    assert torch.equal(fixed.order_of(given, features), usual)
    first = any_order.order_of(given, features)
    assert first[0, 0] == Joint.LEFT_WRIST
    assert torch.equal(first[1], usual[1])


def test_the_likelihood_is_given_the_true_joints_and_the_pose_is_not():
    torch.manual_seed(0)
    model = models.build("chain", SETTINGS).eval()
    images = torch.randint(0, 256, (PEOPLE, 3, 32, 32), dtype=torch.uint8)
    truth, other = (Truth(places(seed), torch.ones(PEOPLE, 16, dtype=torch.bool)) for seed in (0, 1))
    found, again = model(images, truth), model(images, other)
    torch.testing.assert_close(found.joints_unit, again.joints_unit)
    torch.testing.assert_close(model(images).joints_unit, found.joints_unit)
    scene = model.decoding.decoder.scene(model.features(images))
    forced = search.teacher_forced(
        model.decoding.decoder,
        scene,
        torch.tensor(CHAIN_ORDERS["torso_first"]).expand(PEOPLE, 16),
        everything(places()),
    )
    torch.testing.assert_close(found.log_prob, Distribution.of(forced, 32).log_prob(places()))
