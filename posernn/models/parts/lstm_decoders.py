"""The paper's recurrence over maps: LSTMs with and without attention, and with attention that is the map.

Axis letters: B batch, T steps, C channels, H W map, M places of the memory, P cells and outside, F features of a place,
D width of a step.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from posernn.models.parts.decoders import Decoder, Feedback, Scene, Told
from posernn.models.parts.places import NUM_FEATURES, cell_features
from posernn.models.parts.recurrent import initialize


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

    def advance(self, told: Told, scene: Scene, past: Any) -> tuple[Float[Tensor, "B T P"], Any]:
        """Compute the logits of steps; `past` holds the hidden and the cell state, each (B, L, D)."""
        state = past or self._start(scene, told)
        if not self.attention:
            seen = scene.for_rows(self.seen(scene.memory.mean(dim=1)), told.inputs)
            outputs, state = self._run(told.inputs + seen[:, None], state)
            return self.logits(self.norm(outputs), told, scene), state
        steps = []
        for inputs in told.inputs.split(1, dim=1):
            look = scene.by_person(self.ask(state[0][:, -1:] + inputs))  # (B, K, C)
            seen = functional.scaled_dot_product_attention(look, scene.memory, scene.memory).reshape(
                inputs.shape[0], 1, -1
            )
            output, state = self._run(inputs + self.seen(seen), state)
            steps.append(output)
        return self.logits(self.norm(torch.cat(steps, dim=1)), told, scene), state

    def _start(self, scene: Scene, told: Told) -> tuple[Tensor, Tensor]:
        values = scene.for_rows(self.start(scene.memory.mean(dim=1)), told.inputs)
        values = values.unflatten(1, (2, self.lstm.num_layers, -1))
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

    def advance(self, told: Told, scene: Scene, past: Any) -> tuple[Float[Tensor, "B T P"], Any]:
        """Compute the logits of steps, each from the state before it; see `LstmDecoder`."""
        state, steps = past or self._start(scene, told), []
        places = cell_features(int(scene.features.shape[-1]), self.side, scene.features).flatten(1)  # (F, HW)
        for number in range(told.inputs.shape[1]):
            one = told.one(number)
            logits = self.logits(self.norm(state[0][:, -1:] + one.inputs), one, scene)  # (B, 1, P)
            weights = logits[..., :-1].float().softmax(dim=2).to(logits)  # (B, 1, HW)
            seen = torch.einsum("bqp,bcp->bqc", scene.by_person(weights), scene.features.flatten(2))
            where = torch.einsum("btp,fp->btf", weights, places)
            seen = seen.reshape(weights.shape[0], 1, -1)
            _, state = self._run(one.inputs + self.seen(seen) + self.place_seen(where), state)
            steps.append(logits)
        return torch.cat(steps, dim=1), state
