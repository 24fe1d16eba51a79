"""Decoders: a feature map -> one distribution for each joint, given the joints before it.

A decoder takes steps in any order of the joints. What it knows of the joints before is a `History`: the truth (teacher
forcing: all steps in one pass), its own predictions (step by step) or nothing, which makes the joints independent given
the picture. Step t sees the joints of the steps before t, whatever else the history holds.

Axis letters: B batch, J joints, T steps, C channels, H W map, M places of the memory, P cells and outside, K of a key,
D width of a step.
"""

from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from posernn.models.parts.heads import separable
from posernn.models.parts.places import NUM_FEATURES, cell_features, gaussians, place_features
from posernn.pose.skeleton import NUM_JOINTS

Feedback = Literal["none", "coordinates", "all_coordinates", "map"]

FEEDBACK_SIGMA = 1.0
"""Width of the Gaussians of `feedback: map`, places of the memory."""

FEEDBACK_CHANNELS = 32


class History(NamedTuple):
    """What a decoder is told of the joints, in skeleton order.

    Attributes:
        joints_unit: (B, J, 2) xy; anything where not known.
        known: (B, J).
    """

    joints_unit: Float[Tensor, "B 16 2"]
    known: Bool[Tensor, "B 16"]


class Scene(NamedTuple):
    """A feature map as the steps read it.

    There may be K hypotheses about each person: B * K rows of steps, those of a person together, over B rows here.

    Attributes:
        features: (B, C, H, W), for the map of a step.
        memory: (B, M, C): the same at half the resolution, with the places encoded, for attention.
        attended: keys and values of the memory, (B, heads, M, D / heads) each, two for each block of a transformer.
    """

    features: Float[Tensor, "B C H W"]
    memory: Float[Tensor, "B M C"]
    attended: tuple[Tensor, ...] = ()

    @property
    def half(self) -> int:
        """Places along a side of the memory."""
        return int(self.features.shape[-1]) // 2

    def by_person(self, steps: Float[Tensor, "BK T D"]) -> Float[Tensor, "B KT D"]:
        """Put the steps of all hypotheses about a person side by side, so that they read its features at once."""
        return steps.reshape(self.features.shape[0], -1, steps.shape[2])

    def for_rows(self, values: Float[Tensor, "B *D"], steps: Float[Tensor, "BK T D2"]) -> Float[Tensor, "BK *D"]:
        """Repeat what belongs to a person for each of its rows of `steps`."""
        return values.repeat_interleave(steps.shape[0] // values.shape[0], dim=0)


class Told(NamedTuple):
    """What some steps are told.

    Attributes:
        inputs: (B, T, D): name of the joint, and what `feedback` tells as coordinates.
        joints: (B, T): joint of each step.
        changes: (B, T, C, M) of the memory; None: there are none.
    """

    inputs: Float[Tensor, "B T D"]
    joints: Int[Tensor, "B T"]
    changes: Float[Tensor, "B T C M"] | None

    def one(self, step: int) -> "Told":
        """Return a single step."""
        only = slice(step, step + 1)
        return Told(*(None if part is None else part[:, only] for part in self))  # type: ignore[arg-type]


class Decoder(nn.Module):
    """What all decoders share: how steps are told what came before, and how a step becomes a map.

    The logit of a cell is the product of the step's query with the cell's key: its features and its encoded place. The
    queries of each joint have weights of their own, as the maps of each joint have in a heat map model.

    Args:
        channels: C.
        width: D.
        side: of the crop, px.
        feedback: none; coordinates: a step is told the place of the joint before it; all_coordinates: the sum of the
            places of all joints before it, each through weights of its own; map: the step's query reads the memory as
            well, changed by the Gaussians of all joints before it. Source of map: Gkioxari et al. 2016.
    """

    def __init__(self, channels: int, width: int, side: int, feedback: Feedback) -> None:
        super().__init__()
        self.side, self.feedback = side, feedback
        self.mix = separable(channels, 5)
        self.place = nn.Conv2d(NUM_FEATURES, channels, kernel_size=1, bias=False)
        self.joint = nn.Embedding(NUM_JOINTS, width)
        if feedback == "coordinates":
            self.before = nn.Embedding(NUM_JOINTS + 1, width)  # the last: there is none
            self.place_before = nn.Linear(NUM_FEATURES, width, bias=False)
            self.hidden = nn.Parameter(torch.zeros(width))
        if feedback == "all_coordinates":
            self.told = nn.Embedding(NUM_JOINTS, width)
            self.place_told = nn.Parameter(torch.randn(NUM_JOINTS, NUM_FEATURES, width) * NUM_FEATURES**-0.5)
        if feedback == "map":
            self.draw = nn.Sequential(
                nn.Conv2d(NUM_JOINTS, FEEDBACK_CHANNELS, kernel_size=5, padding=2),
                nn.ReLU(inplace=True),
                nn.Conv2d(FEEDBACK_CHANNELS, channels, kernel_size=3, padding=1),
            )
        self.channels = channels
        self.query = nn.Linear(width, NUM_JOINTS * (channels + NUM_FEATURES))
        self.outside = nn.Linear(width, 1)

    @property
    def sees_history(self) -> bool:
        """Return whether a step depends on the joints before it."""
        return self.feedback != "none"

    def scene(self, features: Float[Tensor, "B C H W"]) -> Scene:
        """Prepare features for any number of steps."""
        features = self.mix(features)
        half = functional.avg_pool2d(features, 2)
        half = half + self.place(cell_features(int(half.shape[-1]), self.side, half)[None])
        return Scene(features, half.flatten(2).transpose(1, 2))

    def forward(
        self,
        scene: Scene,
        order: Int[Tensor, "B 16"],
        history: History,
        steps: slice = slice(0, NUM_JOINTS),
        past: Any = None,
    ) -> tuple[Float[Tensor, "B T P"], Any]:
        """Compute the logits of some steps.

        Args:
            scene: of `scene`.
            order: joint of each step.
            history: of all joints before the last of these steps.
            steps: from where to where; the steps before were given to an earlier call, which returned `past`.
            past: what an earlier call returned; None: there was none.

        Returns:
            (B, T, P) in decode order: the cells row by row, and outside; and the new `past`.
        """
        told = Told(self._inputs(order, history, steps), order[:, steps], self._changes(scene, order, history, steps))
        return self.advance(told, scene, past)

    def advance(self, told: Told, scene: Scene, past: Any) -> tuple[Float[Tensor, "B T P"], Any]:
        """Compute the logits of steps from what they are told; see `forward`."""
        raise NotImplementedError

    def logits(self, outputs: Float[Tensor, "B T D"], told: Told, scene: Scene) -> Float[Tensor, "B T P"]:
        """Turn the outputs of steps into the logits of cells and of outside."""
        size = self.channels + NUM_FEATURES
        of_joints = self.query(outputs).unflatten(2, (NUM_JOINTS, size))  # (B, T, J, K)
        mine = told.joints[..., None, None].expand(-1, -1, 1, size)
        query = of_joints.gather(2, mine)[:, :, 0] * size**-0.5
        of_features, of_place = query.split([self.channels, NUM_FEATURES], dim=2)
        cells = torch.einsum("bqc,bcp->bqp", scene.by_person(of_features), scene.features.flatten(2))
        cells = cells.reshape(*outputs.shape[:2], -1)  # (B, T, HW)
        if told.changes is not None:
            memory = scene.for_rows(scene.memory.transpose(1, 2), outputs)  # (B, C, M)
            changed = torch.relu(memory[:, None] + told.changes)
            coarse = torch.einsum("btc,btcm->btm", of_features, changed)
            coarse = coarse.unflatten(2, (scene.half, scene.half))
            size_of_map = [int(side) for side in scene.features.shape[2:]]
            cells = cells + functional.interpolate(coarse, size_of_map, mode="bilinear").flatten(2)
        places = cell_features(int(scene.features.shape[-1]), self.side, scene.features)
        cells = cells + torch.einsum("btf,fp->btp", of_place, places.flatten(1))
        return torch.cat([cells, self.outside(outputs)], dim=2)

    def _inputs(self, order: Int[Tensor, "B 16"], history: History, steps: slice) -> Float[Tensor, "B T D"]:
        inputs = self.joint(order[:, steps])
        if self.feedback == "coordinates":
            return inputs + self._last(order, history, steps)
        if self.feedback == "all_coordinates":
            return inputs + self._sum(order, history, steps)
        return inputs

    def _last(self, order: Int[Tensor, "B 16"], history: History, steps: slice) -> Float[Tensor, "B T D"]:
        none = torch.full_like(order[:, :1], NUM_JOINTS)
        before = torch.cat([none, order[:, :-1]], dim=1)[:, steps]  # (B, T)
        joint = before.clamp(max=NUM_JOINTS - 1)
        places = history.joints_unit.gather(1, joint[..., None].expand(-1, -1, 2))  # (B, T, 2)
        known = history.known.gather(1, joint) & (before < NUM_JOINTS)
        told = torch.where(known[..., None], self.place_before(place_features(places)), self.hidden)
        return self.before(before) + told

    def _sum(self, order: Int[Tensor, "B 16"], history: History, steps: slice) -> Float[Tensor, "B T D"]:
        places = torch.einsum("bjf,jfd->bjd", place_features(history.joints_unit), self.place_told)
        told = (places + self.told.weight) * history.known[..., None]
        by_step = told.gather(1, order[..., None].expand_as(told))
        return functional.pad(by_step.cumsum(dim=1)[:, :-1], (0, 0, 1, 0))[:, steps]

    def _changes(
        self, scene: Scene, order: Int[Tensor, "B 16"], history: History, steps: slice
    ) -> Float[Tensor, "B T C M"] | None:
        if self.feedback != "map":
            return None
        drawn = gaussians(history.joints_unit, scene.half, self.side, FEEDBACK_SIGMA)  # (B, J, H / 2, W / 2)
        step_of = order.argsort(dim=1)  # (B, J)
        numbers = torch.arange(NUM_JOINTS, device=order.device)[steps]
        seen = (step_of[:, None] < numbers[:, None]) & history.known[:, None]  # (B, T, J)
        maps = drawn[:, None] * seen[..., None, None]
        return self.draw(maps.flatten(0, 1)).unflatten(0, maps.shape[:2]).flatten(3)
