"""Damages an annotation file again and again and parses it: used by test_damaged_annotations.py.

    python tests/damage_annotations.py FOLDER FIRST_SEED COUNT

Prints as JSON in its last line how the files ended, and what ought not to have happened, with the seed.
"""

import json
import resource
import sys
from collections import Counter
from pathlib import Path

import mat_files
import numpy as np

from posernn.data import annotations, schemas, splits
from posernn.runtime import files
from posernn.runtime.confined import read_confined
from posernn.runtime.errors import InputError


def complaints(people, rejected, expected, undamaged):
    """What is wrong with the tables.

    Args:
        people, rejected: tables of a damaged file.
        expected: `mat_files.people_of` of it; whatever that could not read may only be as it was before.
        undamaged: of the file before it was damaged.
    """
    joints = schemas.to_numpy(people, "joints_image").astype(float)
    annotated = schemas.to_numpy(people, "annotated")
    if (np.isfinite(joints).all(axis=-1) != annotated).any() or (np.abs(joints[annotated]) > 65535).any():
        yield "joints that are annotated are numbers inside of a picture, others are not"
    keys = list(zip(people["image_index"].to_pylist(), people["person_index"].to_pylist(), strict=True))
    if len(set(keys)) != len(keys):
        yield "somebody is there twice"
    for row, key in enumerate(keys):
        if key not in expected and key not in undamaged:
            yield f"{key} is nobody"
            continue
        said, before = expected.get(key, mat_files.NOBODY), undamaged.get(key, mat_files.NOBODY)
        found = {
            "name": people["image"][row].as_py(),
            "from train": people["split"][row].as_py() == "train",
            "scale": people["scale"][row].as_py(),
        }
        allowed = {
            "name": (said.image, found["name"]),  # which file it is shows when there is no such file
            "from train": (said.from_train, before.from_train),
            "scale": (said.scale, before.scale),
        }
        for joint in range(16):
            found[joint] = tuple(joints[row, joint].tolist()) if annotated[row, joint] else None
            allowed[joint] = said.joints.get(joint), before.joints.get(joint)
        for what, value in found.items():
            truth = allowed[what][0] if allowed[what][0] is not None else allowed[what][1]
            if value is None and allowed[what][0] is None:
                continue
            same = value == truth if isinstance(value, str | None) else truth is not None and np.allclose(value, truth)
            if not same:
                yield f"{key} has {what} {value}, expected {truth}"
    known = set(keys) | set(zip(rejected["image_index"].to_pylist(), rejected["person_index"].to_pylist(), strict=True))
    lost = [key for key in expected if key not in known and (key[0], None) not in known]
    if lost:
        yield f"{lost} are neither people nor rejected"


def read_slowly(file):
    """`mat_files.people_of` a file's bytes, as far as it can be read."""
    try:
        return mat_files.people_of(mat_files.value_of(mat_files.unpack(mat_files.variable_of(file))[0]))
    except Exception:  # whatever a damaged file brings about in a reader that trusts it
        return {}


def processor_time():
    """Return the seconds of processor time of all readers that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def outcome(path, undamaged):
    """How parsing a damaged file ends, in a word, and what is wrong with that."""
    start = processor_time()
    try:
        _, people, rejected, _ = read_confined(annotations.read_here, path, start="fork")
        word = "table with rejects" if rejected.num_rows > 2 else "table"
        wrong = list(complaints(people, rejected, read_slowly(path.read_bytes()), undamaged))
        splits.hold_out_share(people, 0.5, seed=0)
        files.write_table(path.with_suffix(".parquet"), people)
        files.write_table(path.with_suffix(".parquet"), rejected)
    except InputError as error:
        word, wrong = "error", []
        if not str(error).startswith((str(path), "params.yaml")) or "\n" in str(error):
            wrong = [f"not one line about the file: {error}"]
        if "ends the reader" in str(error):
            word = "reader crashed"
        if "got more" in str(error):
            word = "beyond the limits"
    except BaseException as error:
        word, wrong = "traceback", [repr(error)]
    seconds = processor_time() - start
    return word, wrong + ([f"took {seconds:.0f} s"] if seconds > 10 else [])


def main():
    """See above."""
    folder, first, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    file = (folder / "release.mat").read_bytes()
    undamaged = read_slowly(file)
    ended, ways, wrong = Counter(), Counter(), []
    for seed in range(first, first + count):
        way, damaged = mat_files.damage(np.random.default_rng(seed), file)
        path = folder / f"damaged-{first}.mat"
        path.write_bytes(damaged)
        word, complaints_now = outcome(path, undamaged)
        ended[word] += 1
        ways[way.split("+")[0]] += 1
        wrong += [f"seed {seed} ({way}): {complaint}" for complaint in complaints_now]
    most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024  # Linux counts in KiB
    print(json.dumps({"ended": ended, "ways": ways, "wrong": wrong, "most_bytes": most}))


if __name__ == "__main__":
    main()
