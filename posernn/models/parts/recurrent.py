"""Parts of recurrent decoders: initial weights and the order of the joints."""

from torch import nn

from posernn.pose.skeleton import DECODE_ORDERS


def inverse_order(joint_order: str) -> list[int]:
    """Give the decode step of each joint: `steps[:, inverse_order(name)]` is in skeleton order."""
    order = DECODE_ORDERS[joint_order]
    return [order.index(joint) for joint in sorted(order)]


def initialize(recurrent: nn.Module) -> None:
    """Start an LSTM (or LSTMCell) with gates that are neither open nor shut.

    PyTorch draws all weights by the hidden size alone; 4,096 inputs would then saturate the gates of 128 units, and a
    saturated LSTM decodes a constant pose.

    Source: Glorot & Bengio 2010 (inputs); Saxe et al. 2014 (orthogonal); Jozefowicz et al. 2015 (forget bias of 1).
    """
    if next(recurrent.parameters()).is_meta:  # as in `start_at_center`
        return
    for name, parameter in recurrent.named_parameters():
        if name.startswith("weight_ih"):
            for gate in parameter.chunk(4):
                nn.init.xavier_uniform_(gate)
        elif name.startswith("weight_hh"):
            for gate in parameter.chunk(4):
                nn.init.orthogonal_(gate)
        else:
            nn.init.zeros_(parameter)
            if name.startswith("bias_ih"):
                nn.init.ones_(parameter.chunk(4)[1])  # gates are in the order input, forget, cell, output
