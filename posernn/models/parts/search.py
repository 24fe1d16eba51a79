"""Decodes joints from a decoder, step by step: greedy, beam, samples, and with joints that are given.

Axis letters: B batch, J joints, P cells and outside, K hypotheses of a person.
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from posernn.models.parts.decoders import Decoder, History, Scene
from posernn.models.parts.places import cell_centers
from posernn.models.parts.readouts import WINDOW, Decode, Distribution, num_cells
from posernn.pose.skeleton import NUM_JOINTS


class Decoded(NamedTuple):
    """A pose for each person.

    Attributes:
        joints_unit: (B, J, 2) xy; of given joints what was given.
        logits: (B, J, P): of each joint, given those before it.
    """

    joints_unit: Float[Tensor, "B 16 2"]
    logits: Float[Tensor, "B 16 P"]


def in_skeleton_order(by_step: Float[Tensor, "B 16 *P"], order: Int[Tensor, "B 16"]) -> Float[Tensor, "B 16 *P"]:
    """Reorder steps to joints."""
    index = order.argsort(dim=1)
    return by_step.gather(1, index.reshape(*index.shape, *[1] * (by_step.ndim - 2)).expand_as(by_step))


def teacher_forced(
    decoder: Decoder, scene: Scene, order: Int[Tensor, "B 16"], history: History
) -> Float[Tensor, "B 16 P"]:
    """Compute the logits of all joints in one pass, in skeleton order, each given the history before its step."""
    logits, _ = decoder(scene, order, history)
    return in_skeleton_order(logits, order)


def greedy(
    decoder: Decoder,
    scene: Scene,
    order: Int[Tensor, "B 16"],
    *,
    given: History | None = None,
    how: Decode = "local",
) -> Decoded:
    """Take the most probable place of each joint and tell it to the steps that follow.

    Args:
        decoder: in eval mode.
        scene: of the decoder.
        order: joint of each step.
        given: joints that are known; only those before a step have an effect on it: see `given_first`.
        how: decoding of a map to a place.
    """
    joints, known = _start(scene, given)
    if not decoder.sees_history:
        logits = teacher_forced(decoder, scene, order, History(joints, torch.zeros_like(known)))
        found = Distribution.of(logits, decoder.side).decode(how)[0]
        return Decoded(torch.where(known[..., None], joints, found), logits)
    past: Any = None
    by_step = []
    for step in range(NUM_JOINTS):
        told = History(joints, torch.ones_like(known))
        logits, past = decoder(scene, order, told, slice(step, step + 1), past)
        by_step.append(logits)
        found = Distribution.of(logits, decoder.side).decode(how)[0]  # (B, 1, 2)
        joints = _placed(joints, known, order[:, step], found[:, 0])
    return Decoded(joints, in_skeleton_order(torch.cat(by_step, dim=1), order))


def sample(
    decoder: Decoder, scene: Scene, order: Int[Tensor, "B 16"], num: int, *, given: History | None = None
) -> tuple[Float[Tensor, "B K 16 2"], Float[Tensor, "B 16 P"]]:
    """Draw poses, and average the conditional distributions of each joint over them.

    Args:
        decoder, scene, order, given: as in `greedy`.
        num: K.

    Returns:
        The poses; and log p(y_j | x) up to sampling: the mean over the poses of p(y_j | the joints before it, x), which
        is what a score of single joints wants.
    """
    order, joints, known = _repeated(num, order, *_start(scene, given))
    past: Any = None
    by_step = []
    for step in range(NUM_JOINTS):
        told = History(joints, torch.ones_like(known))
        logits, past = decoder(scene, order, told, slice(step, step + 1), past)
        log_p = logits[:, 0].float().log_softmax(dim=1)  # (B * K, P)
        by_step.append(log_p)
        drawn = torch.multinomial(log_p[:, :-1].softmax(dim=1), 1)[:, 0]
        joints = _placed(joints, known, order[:, step], _centers(drawn, num_cells(logits), decoder.side))
    of_joint = in_skeleton_order(torch.stack(by_step, dim=1), order).unflatten(0, (-1, num))  # (B, K, J, P)
    mean = of_joint.logsumexp(dim=1) - torch.log(torch.tensor(float(num)))
    return joints.unflatten(0, (-1, num)), mean


def beam(
    decoder: Decoder,
    scene: Scene,
    order: Int[Tensor, "B 16"],
    width: int,
    *,
    given: History | None = None,
    how: Decode = "local",
) -> Decoded:
    """Keep the `width` poses of the largest probability; the candidates of a step are the peaks of its map.

    The probability of a peak is that of the cells around it: neighbouring cells are not different hypotheses.
    """
    joints, known = _start(scene, given)
    people = len(joints)
    order, joints, known = _repeated(width, order, joints, known)
    scores = torch.full((people, width), -torch.inf, device=joints.device)
    scores[:, 0] = 0  # all hypotheses are the same at the start
    past: Any = None
    by_step: list[tuple[Tensor, Tensor]] = []  # logits of all hypotheses, and which each of the next ones continues
    for step in range(NUM_JOINTS):
        told = History(joints, torch.ones_like(known))
        logits, past = decoder(scene, order, told, slice(step, step + 1), past)
        log_mass, places = _peaks(Distribution.of(logits, decoder.side), width, how)  # (B * K, width), (.., width, 2)
        is_known = known.gather(1, order[:, step : step + 1])
        only = torch.arange(width, device=joints.device) == 0
        log_mass = torch.where(is_known, torch.where(only, 0.0, -torch.inf), log_mass)
        total = (scores.flatten()[:, None] + log_mass).unflatten(0, (people, width)).flatten(1)  # (B, K * width)
        scores, chosen = total.topk(width, dim=1)
        parent = (chosen // width + width * torch.arange(people, device=joints.device)[:, None]).flatten()
        joints = _placed(joints[parent], known, order[:, step], places[parent, (chosen % width).flatten()])
        by_step.append((logits, parent))
        past = _picked(past, parent)
    best = width * torch.arange(people, device=joints.device)  # topk sorts: the first is the best
    row, of_best = best, []
    for logits, parent in reversed(by_step):
        row = parent[row]
        of_best.append(logits[row])
    return Decoded(joints[best], in_skeleton_order(torch.cat(of_best[::-1], dim=1), order[best]))


def given_first(order: Int[Tensor, "B 16"], given: History) -> Int[Tensor, "B 16"]:
    """Move the given joints of each person to the front of the order, so that all other steps see them."""
    late = ~given.known.gather(1, order)
    return order.gather(1, late.to(torch.int8).argsort(dim=1, stable=True))


def _start(scene: Scene, given: History | None) -> tuple[Tensor, Tensor]:
    if given is not None:
        return given.joints_unit, given.known
    people = scene.features.shape[0]
    joints = torch.zeros((people, NUM_JOINTS, 2), device=scene.features.device)
    return joints, torch.zeros_like(joints[..., 0], dtype=torch.bool)


def _repeated(num: int, *values: Tensor) -> list[Tensor]:
    """Repeat each person `num` times, for as many hypotheses."""
    return [value.repeat_interleave(num, dim=0) for value in values]


def _placed(joints: Tensor, known: Tensor, joint: Int[Tensor, "B"], found: Float[Tensor, "B 2"]) -> Tensor:
    """Set one joint of each person, unless it was given."""
    index = joint[:, None, None].expand(-1, 1, 2)
    kept = known.gather(1, joint[:, None])[..., None]
    return joints.scatter(1, index, torch.where(kept, joints.gather(1, index), found[:, None]))


def _centers(cell: Int[Tensor, "B"], size: int, side: int) -> Float[Tensor, "B 2"]:
    """Compute the centres of cells, unit."""
    xy = torch.stack([cell % size, torch.div(cell, size, rounding_mode="floor")], dim=1)
    return cell_centers(size, side, cell.device)[xy]


def _peaks(found: Distribution, num: int, how: Decode) -> tuple[Float[Tensor, "B K"], Float[Tensor, "B K 2"]]:
    """Find the largest peaks of one map for each person: the logarithm of the mass around each, and its place."""
    cells = found.cells[:, 0]  # (B, H, W)
    as_channels = cells[None].contiguous(memory_format=torch.channels_last)  # pooled together: a fifth of the time
    around = functional.max_pool2d(as_channels, 2 * WINDOW + 1, stride=1, padding=WINDOW)[0]
    peaks = torch.where(cells == around, cells, -torch.inf).flatten(1)
    log_p, cell = peaks.topk(num, dim=1)  # (B, K)
    size = cells.shape[-1]
    numbers = torch.arange(size, device=cells.device)
    row, column = torch.div(cell, size, rounding_mode="floor"), cell % size
    near_row, near_column = (
        ((numbers - place[..., None]).abs() <= WINDOW).to(cells) for place in (row, column)
    )  # (B, K, H), (B, K, W)
    mass = ((near_row @ cells.exp()) * near_column).sum(dim=2)  # (B, K)
    log_mass = torch.where(torch.isfinite(log_p), mass.clamp(min=1e-30).log(), -torch.inf)
    places = _centers(cell.flatten(), size, found.side).unflatten(0, cell.shape)
    if how != "mode":  # the best peak as `decode` places it; of the others the cell is enough
        places = torch.cat([found.decode(how)[0], places[:, 1:]], dim=1)
    return log_mass, places


def _picked(past: Any, index: Int[Tensor, "B"]) -> Any:
    """Take rows of all tensors of a past."""
    if isinstance(past, Tensor):
        return past[index]
    return type(past)(_picked(part, index) for part in past)
