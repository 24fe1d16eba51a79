"""A transformer that predicts the joints step by step, or in parallel.

Axis letters: B batch, T steps, C channels, H W map, M places of the memory, P cells and outside, F features of a place,
D width of a step.
"""

from collections.abc import Iterable
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from posernn.models.parts.decoders import Decoder, Feedback, Scene, Told


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

    def advance(self, told: Told, scene: Scene, past: Any) -> tuple[Float[Tensor, "B T P"], Any]:
        """Compute the logits of steps; `past` holds keys and values of the steps before, by block."""
        outputs, now = told.inputs, []
        for number, block in enumerate(self.blocks):
            attended = scene.attended[2 * number : 2 * number + 2]
            outputs, kept = block(outputs, scene, attended, past[number] if past else None)
            now.append(kept)
        return self.logits(self.norm(outputs), told, scene), now


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
        return [part.contiguous() for part in self._heads(self.memory(memory), 2)]  # each step reads them again

    def forward(
        self,
        steps: Float[Tensor, "B T D"],
        scene: Scene,
        attended: tuple[Tensor, ...],
        past: tuple[Tensor, ...] | None,
    ) -> tuple[Float[Tensor, "B T D"], tuple[Tensor, ...]]:
        query, key, value = self._heads(self.steps(self.norms[0](steps)), 3)
        if past:
            key, value = (torch.cat(both, dim=2) for both in zip(past, (key, value), strict=True))
        found = functional.scaled_dot_product_attention(
            query, key, value, is_causal=not past and int(steps.shape[1]) > 1
        )
        steps = steps + self.steps_out(_joined(found))
        (query,) = self._heads(scene.by_person(self.ask(self.norms[1](steps))), 1)
        found = functional.scaled_dot_product_attention(query, attended[0], attended[1])
        steps = steps + self.memory_out(_joined(found).reshape(steps.shape))
        return steps + self.mlp(self.norms[2](steps)), (key, value)

    def _heads(self, values: Float[Tensor, "B T _"], parts: int) -> list[Float[Tensor, "B H T _"]]:
        return [part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in values.chunk(parts, dim=2)]


def _joined(values: Float[Tensor, "B H T _"]) -> Float[Tensor, "B T D"]:
    return values.transpose(1, 2).flatten(2)
