"""Parsing an annotation file, over reading it with scipy alone."""

import resource

from scipy.io import loadmat
from timing import in_turns, release, report

from posernn.data import mpii

path = release() / "mpii_human_pose_v1_u12_1.mat"
times = in_turns(lambda: loadmat(path), lambda: mpii.parse_release(mpii.read_release(path)), rounds=5)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
report("parse / scipy.io.loadmat", [ours / floor for floor, ours in times], "<= 1.2", note=f"peak {peak:.2f} GB")
