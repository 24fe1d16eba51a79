"""Decoders: a feature map -> one distribution for each joint, given the joints before it.

A decoder takes steps in any order of the joints. What it knows of the joints before is a `History`: the truth (teacher
forcing: all steps in one pass), its own predictions (step by step) or nothing, which makes the joints independent given
the picture. Step t sees the joints of the steps before t, whatever else the history holds.

Axis letters: B batch, J joints, T steps, C channels, H W map, M places of the memory, P cells and outside, K of a key,
D width of a step.
"""

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from posernn.models.parts.heads import separable
from posernn.models.parts.places import NUM_FEATURES, cell_features, gaussians, place_features
from posernn.models.parts.recurrent import initialize
from posernn.pose.skeleton import NUM_JOINTS

Feedback = Literal["none", "coordinates", "map"]

FEEDBACK_SIGMA = 1.0
"""Width of the Gaussians of `feedback: map`, cells."""

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

    Attributes:
        features: (B, C, H, W), for the map of a step.
        memory: (B, M, C): the same at half the resolution, with the places encoded, for attention.
        attended: keys and values of the memory, (B, heads, M, D / heads) each, two for each block of a transformer.
    """

    features: Float[Tensor, "B C H W"]
    memory: Float[Tensor, "B M C"]
    attended: tuple[Tensor, ...] = ()

    def repeat(self, times: int) -> "Scene":
        """Repeat each person, for several hypotheses about each."""
        features, memory, *attended = (
            values.repeat_interleave(times, dim=0) for values in (self.features, self.memory, *self.attended)
        )
        return Scene(features, memory, tuple(attended))


class Decoder(nn.Module):
    """What all decoders share: how steps are told what came before, and how a step becomes a map.

    The logit of a cell is the product of the step's query with the cell's key: its features and its encoded place.

    Args:
        channels: C.
        width: D.
        side: of the crop, px.
        feedback: none; coordinates: a step is told the place of the joint before it; map: the features of a step are
            changed by the Gaussians of all joints before it. Source of map: Gkioxari et al. 2016.
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
        if feedback == "map":
            self.draw = nn.Sequential(
                nn.Conv2d(NUM_JOINTS, FEEDBACK_CHANNELS, kernel_size=5, padding=2),
                nn.ReLU(inplace=True),
                nn.Conv2d(FEEDBACK_CHANNELS, channels, kernel_size=3, padding=1),
            )
        self.query = nn.Linear(width, channels + NUM_FEATURES)
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
        return self.advance(
            self._inputs(order, history, steps), scene, self._changes(scene, order, history, steps), past
        )

    def advance(
        self, inputs: Float[Tensor, "B T D"], scene: Scene, changes: Tensor | None, past: Any
    ) -> tuple[Float[Tensor, "B T P"], Any]:
        """Compute the logits of steps from what they are told; see `forward`."""
        raise NotImplementedError

    def logits(self, outputs: Float[Tensor, "B T D"], scene: Scene, changes: Tensor | None) -> Float[Tensor, "B T P"]:
        """Turn the outputs of steps into the logits of cells and of outside."""
        query = self.query(outputs) * (self.query.out_features**-0.5)
        of_features, of_place = query.split([self.query.out_features - NUM_FEATURES, NUM_FEATURES], dim=2)
        if changes is None:
            cells = torch.einsum("btc,bchw->bthw", of_features, scene.features)
        else:
            cells = torch.einsum("btc,btchw->bthw", of_features, torch.relu(scene.features[:, None] + changes))
        places = cell_features(int(scene.features.shape[-1]), self.side, scene.features)
        cells = cells + torch.einsum("btf,fhw->bthw", of_place, places)
        return torch.cat([cells.flatten(2), self.outside(outputs)], dim=2)

    def _inputs(self, order: Int[Tensor, "B 16"], history: History, steps: slice) -> Float[Tensor, "B T D"]:
        inputs = self.joint(order[:, steps])
        if self.feedback != "coordinates":
            return inputs
        none = torch.full_like(order[:, :1], NUM_JOINTS)
        before = torch.cat([none, order[:, :-1]], dim=1)[:, steps]  # (B, T)
        joint = before.clamp(max=NUM_JOINTS - 1)
        places = history.joints_unit.gather(1, joint[..., None].expand(-1, -1, 2))  # (B, T, 2)
        known = history.known.gather(1, joint) & (before < NUM_JOINTS)
        told = torch.where(known[..., None], self.place_before(place_features(places)), self.hidden)
        return inputs + self.before(before) + told

    def _changes(
        self, scene: Scene, order: Int[Tensor, "B 16"], history: History, steps: slice
    ) -> Float[Tensor, "B T C H W"] | None:
        if self.feedback != "map":
            return None
        drawn = gaussians(history.joints_unit, int(scene.features.shape[-1]), self.side, FEEDBACK_SIGMA)  # (B, J, H, W)
        step_of = order.argsort(dim=1)  # (B, J)
        numbers = torch.arange(NUM_JOINTS, device=order.device)[steps]
        seen = (step_of[:, None] < numbers[:, None]) & history.known[:, None]  # (B, T, J)
        maps = drawn[:, None] * seen[..., None, None]
        return self.draw(maps.flatten(0, 1)).unflatten(0, maps.shape[:2])


class TransformerDecoder(Decoder):
    """Causal self-attention over the steps and cross-attention into the memory. Source: Vaswani et al. 2017.

    Without feedback the steps know nothing of each other: the joints are predicted in parallel, by a model of the same
    size.
    """

    def __init__(self, channels: int, width: int, side: int, feedback: Feedback, layers: int, heads: int) -> None:
        super().__init__(channels, width, side, feedback)
        self.blocks = nn.ModuleList(_Block(channels, width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def scene(self, features: Float[Tensor, "B C H W"]) -> Scene:
        """Prepare features for any number of steps; see `Decoder.scene`."""
        scene = super().scene(features)
        blocks = cast(Iterable[_Block], self.blocks)
        return scene._replace(attended=tuple(part for block in blocks for part in block.attended(scene.memory)))

    def advance(
        self, inputs: Float[Tensor, "B T D"], scene: Scene, changes: Tensor | None, past: Any
    ) -> tuple[Float[Tensor, "B T P"], Any]:
        """Compute the logits of steps; `past` holds keys and values of the steps before, by block."""
        outputs, now = inputs, []
        for number, block in enumerate(self.blocks):
            attended = scene.attended[2 * number : 2 * number + 2]
            outputs, kept = block(outputs, attended, past[number] if past else None)
            now.append(kept)
        return self.logits(self.norm(outputs), scene, changes), now


class _Block(nn.Module):
    """A block of a transformer decoder, normalised before each part (Xiong et al. 2020)."""

    def __init__(self, channels: int, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.steps = nn.Linear(width, 3 * width)
        self.steps_out = nn.Linear(width, width)
        self.ask = nn.Linear(width, width)
        self.memory = nn.Linear(channels, 2 * width)
        self.memory_out = nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def attended(self, memory: Float[Tensor, "B M C"]) -> list[Tensor]:
        """Compute the keys and the values of the memory."""
        return self._heads(self.memory(memory), 2)

    def forward(
        self, steps: Float[Tensor, "B T D"], attended: tuple[Tensor, ...], past: tuple[Tensor, ...] | None
    ) -> tuple[Float[Tensor, "B T D"], tuple[Tensor, ...]]:
        query, key, value = self._heads(self.steps(self.norms[0](steps)), 3)
        if past:
            key, value = (torch.cat(both, dim=2) for both in zip(past, (key, value), strict=True))
        found = functional.scaled_dot_product_attention(
            query, key, value, is_causal=not past and int(steps.shape[1]) > 1
        )
        steps = steps + self.steps_out(_joined(found))
        (query,) = self._heads(self.ask(self.norms[1](steps)), 1)
        found = functional.scaled_dot_product_attention(query, attended[0], attended[1])
        steps = steps + self.memory_out(_joined(found))
        return steps + self.mlp(self.norms[2](steps)), (key, value)

    def _heads(self, values: Float[Tensor, "B T _"], parts: int) -> list[Float[Tensor, "B H T _"]]:
        return [part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in values.chunk(parts, dim=2)]


def _joined(values: Float[Tensor, "B H T _"]) -> Float[Tensor, "B T D"]:
    return values.transpose(1, 2).flatten(2)


class LstmDecoder(Decoder):
    """The paper's recurrence: stacked LSTMs that start from the mean of the features and are told each joint's name.

    Args:
        attention: each step looks at the memory through soft attention, as the paper's second model does. False: each
            step gets the mean of the memory.
    """

    def __init__(self, channels: int, width: int, side: int, feedback: Feedback, layers: int, attention: bool) -> None:
        super().__init__(channels, width, side, feedback)
        self.attention = attention
        self.start = nn.Linear(channels, 2 * layers * width)
        self.seen = nn.Linear(channels, width)
        self.lstm = nn.LSTM(width, width, num_layers=layers, batch_first=True)
        initialize(self.lstm)
        if attention:
            self.ask = nn.Linear(width, channels)
        self.norm = nn.LayerNorm(width)

    def advance(
        self, inputs: Float[Tensor, "B T D"], scene: Scene, changes: Tensor | None, past: Any
    ) -> tuple[Float[Tensor, "B T P"], Any]:
        """Compute the logits of steps; `past` holds the hidden and the cell state, each (B, L, D)."""
        state = past or self._start(scene)
        if not self.attention:
            outputs, state = self._run(inputs + self.seen(scene.memory.mean(dim=1))[:, None], state)
            return self.logits(self.norm(outputs), scene, changes), state
        steps = []
        for told in inputs.split(1, dim=1):
            look = self.ask(state[0][:, -1:] + told)  # (B, 1, C)
            seen = functional.scaled_dot_product_attention(look, scene.memory, scene.memory)
            output, state = self._run(told + self.seen(seen), state)
            steps.append(output)
        return self.logits(self.norm(torch.cat(steps, dim=1)), scene, changes), state

    def _start(self, scene: Scene) -> tuple[Tensor, Tensor]:
        values = self.start(scene.memory.mean(dim=1)).unflatten(1, (2, self.lstm.num_layers, -1))
        return torch.tanh(values[:, 0]), values[:, 1]

    def _run(
        self, inputs: Float[Tensor, "B T D"], state: tuple[Tensor, Tensor]
    ) -> tuple[Float[Tensor, "B T D"], tuple[Tensor, Tensor]]:
        outputs, (hidden, cell) = self.lstm(inputs, tuple(part.transpose(0, 1).contiguous() for part in state))
        return outputs, (hidden.transpose(0, 1), cell.transpose(0, 1))


class LocatorDecoder(LstmDecoder):
    """LSTMs whose attention is the prediction: a joint's map says where the features are read for the next step."""

    def __init__(self, channels: int, width: int, side: int, feedback: Feedback, layers: int) -> None:
        super().__init__(channels, width, side, feedback, layers, attention=False)
        self.place_seen = nn.Linear(NUM_FEATURES, width, bias=False)

    def advance(
        self, inputs: Float[Tensor, "B T D"], scene: Scene, changes: Tensor | None, past: Any
    ) -> tuple[Float[Tensor, "B T P"], Any]:
        """Compute the logits of steps, each from the state before it; see `LstmDecoder`."""
        state, steps = past or self._start(scene), []
        places = cell_features(int(scene.features.shape[-1]), self.side, scene.features).flatten(1)  # (F, HW)
        for number, told in enumerate(inputs.split(1, dim=1)):
            change = None if changes is None else changes[:, number : number + 1]
            logits = self.logits(self.norm(state[0][:, -1:] + told), scene, change)  # (B, 1, P)
            weights = logits[..., :-1].float().softmax(dim=2).to(logits)[:, 0]  # (B, HW)
            seen = torch.einsum("bp,bcp->bc", weights, scene.features.flatten(2))
            where = torch.einsum("bp,fp->bf", weights, places)
            _, state = self._run(told + (self.seen(seen) + self.place_seen(where))[:, None], state)
            steps.append(logits)
        return torch.cat(steps, dim=1), state
