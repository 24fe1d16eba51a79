"""Exports a trained model to ONNX."""

import warnings
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from posernn.inference.estimator import Estimator
from posernn.runtime.files import replacing


class _Outputs(nn.Module):
    """Returns the outputs of the exported model: joints, and the confidence where the model gives one."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, images: UInt8[Tensor, "B 3 S S"]) -> tuple[Float[Tensor, "B 16 *xy"], ...]:
        found = self.module(images)
        return (found.joints_unit,) if found.confidence is None else (found.joints_unit, found.confidence)


def export(estimator: Estimator, path: Path) -> list[str]:
    """Write a model as ONNX: `images` (B, 3, S, S) of uint8, RGB -> `joints_unit` (B, 16, 2) and perhaps `confidence`.

    The normalisation of pixels is part of the model. The batch may have any size. `confidence` is (B, 16) in [0, 1].

    Args:
        estimator: the trained model.
        path: .onnx file.
    Returns:
        the names of the outputs.
    Raises:
        InputError: the file cannot be written.
    """
    model = _Outputs(estimator.module.cpu()).eval()
    images = torch.zeros((2, 3, estimator.side, estimator.side), dtype=torch.uint8)
    with torch.inference_mode():
        names = ["joints_unit", "confidence"][: len(model(images))]
    with replacing(path) as partial, warnings.catch_warnings():
        # PyTorch's newer exporter takes ten times as long and needs two more packages.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            (images,),
            partial,
            input_names=["images"],
            output_names=names,
            dynamic_axes={name: {0: "people"} for name in ("images", *names)},
            dynamo=False,
        )
    return names
