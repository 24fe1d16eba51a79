"""Recurrent against all-at-once human pose estimation on MPII.

>>> import posernn
>>> model = posernn.load("runs/model")                       # a trained run, or the name of a model in the package
>>> poses = model.predict("photo.jpg", boxes=[40, 10, 260, 480])
>>> poses.joints_image.shape                                 # (people, joints, xy), px of the photo
(1, 16, 2)
>>> scores = posernn.score("results/model/predictions.parquet", "data/people.parquet")
>>> sorted(scores)[:3]
['auc_total', 'num_people', 'num_people_not_scored']
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from posernn.inference.estimator import load
    from posernn.submissions.scoring import score

__all__ = ["load", "score"]

_HOMES = {"load": "posernn.inference.estimator", "score": "posernn.submissions.scoring"}


def __getattr__(name: str) -> Any:
    """Import a public function when it is first used: PyTorch takes seconds."""
    if name not in _HOMES:
        raise AttributeError(f"module 'posernn' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
