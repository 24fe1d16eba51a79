"""Parses Matlab 5 files to trees, damages them and writes them again, for test_damaged_annotations.py.

A file is a header of 128 bytes and elements. An element is a tag (type, number of bytes) and data, padded to 8
bytes. The data of a matrix are elements: flags, dimensions, name, then numbers, characters, cells or fields.
Source: MathWorks, "MAT-File Format", version 5.
"""

import math
import struct
import zlib
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

HEADER = b"MATLAB 5.0 MAT-file, damaged".ljust(124) + b"\x00\x01IM"
MATRIX, COMPRESSED = 14, 15
CELL, STRUCT, OBJECT, CHAR = 1, 2, 3, 4
CODECS = {1: "latin1", 2: "latin1", 4: "utf-16-le", 16: "utf-8", 17: "utf-16-le"}
NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}


@dataclass
class Element:
    """One element: bytes, or a matrix of elements."""

    kind: int
    data: bytes = b""
    parts: list["Element"] = field(default_factory=list)
    short: bool = False  # up to four bytes, stored in the tag

    @property
    def is_matrix(self):
        return self.kind == MATRIX and bool(self.parts)

    @property
    def matrix_class(self):
        return self.parts[0].data[0] if self.parts and self.parts[0].data else None

    @property
    def children(self):
        """Return the matrices in this one: cells, or the fields of each entry."""
        return [part for part in self.parts[3:] if part.kind == MATRIX]


def unpack(data):
    """Parse bytes to elements."""
    elements, place = [], 0
    while place < len(data):
        kind, size = struct.unpack_from("<HH", data, place)
        if size:
            elements.append(Element(kind, data[place + 4 : place + 4 + size], short=True))
            place += 8
            continue
        kind, size = struct.unpack_from("<II", data, place)
        inside = data[place + 8 : place + 8 + size]
        element = Element(kind, inside)
        if kind == MATRIX and inside:
            element = Element(kind, parts=unpack(inside))
        elements.append(element)
        place += 8 + size + (-size % 8)
    return elements


def pack(element):
    """Return the bytes of an element."""
    pieces = []
    _pack_into(pieces, element)
    return b"".join(pieces)


def _pack_into(pieces, element):
    """Append an element's bytes to `pieces`; return their length. Chains of single cells are not recursed into."""
    wrappers = []
    while element.is_matrix and len(element.parts) == 4 and element.parts[3].is_matrix:
        wrappers.append(element)
        element = element.parts[3]
    inner = []
    if element.is_matrix:
        size = sum(_pack_into(inner, part) for part in element.parts)
        inner.insert(0, struct.pack("<II", MATRIX, size))
        size += 8
    elif element.short:
        inner.append(struct.pack("<HH", element.kind, len(element.data)) + element.data.ljust(4, b"\0"))
        size = 8
    else:
        filled = element.data + bytes(-len(element.data) % 8)
        inner.append(struct.pack("<II", element.kind, len(element.data)) + filled)
        size = 8 + len(filled)
    fronts = []
    for wrapper in wrappers[::-1]:
        front = b"".join(pack(part) for part in wrapper.parts[:3])
        fronts.append(struct.pack("<II", MATRIX, size + len(front)) + front)
        size += 8 + len(front)
    pieces += fronts[::-1] + inner
    return size


def write(variable, *, compressed=True):
    """Return the bytes of a file with one variable, which is given as the bytes of an element."""
    if compressed:
        squeezed = zlib.compress(variable, 1)
        variable = struct.pack("<II", COMPRESSED, len(squeezed)) + squeezed
    return HEADER + variable


def variable_of(file):
    """Return the bytes of a file's only variable."""
    kind, size = struct.unpack_from("<II", file, 128)
    inside = file[136 : 136 + size]
    return zlib.decompress(inside) if kind == COMPRESSED else file[128:]


def matrices(element):
    """Return all matrices of a tree, the outer ones first."""
    found, waiting = [], [element]
    while waiting:
        element = waiting.pop()
        found.append(element)
        waiting += element.children
    return found


# --- damage -----------------------------------------------------------------------------------------------------------


def flip(rng, data):
    """Change one to eight bytes."""
    damaged = bytearray(data)
    for _ in range(rng.integers(1, 9)):
        damaged[rng.integers(len(damaged))] ^= int(rng.integers(1, 256))
    return bytes(damaged)


def truncate(rng, data):
    """Truncate the data."""
    return data[: rng.integers(len(data))]


def move(rng, data):
    """Delete a piece, overwrite it with zeros or random bytes, or repeat it."""
    first, last = sorted(rng.integers(0, len(data), 2).tolist())
    last = min(last, first + int(2 ** rng.integers(0, 10)))
    piece = [b"", bytes(last - first), rng.bytes(last - first), data[first:last] * 2][rng.integers(4)]
    return data[:first] + piece + data[last:]


def lie(rng, data):
    """Change the size or the type in a random tag."""
    places = [place for place in range(0, len(data) - 8, 8) if data[place + 1 : place + 4] == b"\0\0\0"]
    place = int(rng.choice(places))
    kind, size = struct.unpack_from("<II", data, place)
    if rng.random() < 0.5:
        size = int(rng.choice([0, 1, 7, 8, size + 8, max(size - 8, 0), size * 2, 2**31 - 1, 2**31, 2**32 - 1]))
    else:
        kind = int(rng.choice([0, *range(1, 20), 255, 2**31]))
    return data[:place] + struct.pack("<II", kind, size) + data[place + 8 :]


def _dimensions(rng, shape):
    """Return wrong dimensions for a matrix of this shape."""
    most = 2**31 - 1
    others = [
        shape[::-1],
        [shape[0], shape[-1] + 1],
        [shape[0], max(shape[-1] - 1, 0)],
        [shape[0], shape[-1] * 2],
        [0, 0],
        [0, 3],
        [3, 0],
        [-1, shape[-1]],
        [-1, -1],
        [most, most],
        [65536, 65536],
        [1, most],
        [1, 10**8],
        [50_000, 2_000],
        [1] * 40,
        [1] * 100,
        [2] * 20,
        [],
        [1],
        [*shape, 0],
        [*shape, 1],
    ]
    return others[rng.integers(len(others))]


def change_tree(rng, root):
    """Damage one matrix of the tree in place; return the kind of damage."""
    everything = matrices(root)
    # choose the few outer matrices as often as the many numbers
    outer = [one for one in everything if one.is_matrix and one.matrix_class in (CELL, STRUCT)]
    chosen = outer if outer and rng.random() < 0.6 else [one for one in everything if len(one.parts) > 3]
    matrix = chosen[int(rng.integers(len(chosen)))]
    parent = next((one for one in everything if any(part is matrix for part in one.parts)), None)
    flags, shape, name = matrix.parts[:3]
    what = str(
        rng.choice(
            ["class", "flags", "shape", "name", "field", "type", "numbers", "nest", "drop", "repeat", "swap", "graft"]
        )
    )
    if what == "class":
        flags.data = bytes([int(rng.integers(0, 20))]) + flags.data[1:]
    elif what == "flags":
        flags.data = flags.data[:1] + rng.bytes(7)
    elif what == "shape":
        sizes = _dimensions(rng, list(struct.unpack(f"<{len(shape.data) // 4}i", shape.data)))
        shape.data = struct.pack(f"<{len(sizes)}i", *sizes)
        shape.short = False
    elif what == "name":
        name.data, name.short = rng.bytes(int(rng.integers(0, 80))), False
    elif what == "field" and matrix.matrix_class == STRUCT:
        width = struct.unpack("<i", matrix.parts[3].data)[0]
        names = [matrix.parts[4].data[at : at + width] for at in range(0, len(matrix.parts[4].data), width)]
        if names:
            new = [
                b"",
                b"x",
                b"id",
                b"point",
                b"annorect",
                b"\xff\xfe",
                b"a b",
                b"f" * width,
                rng.bytes(width),
                names[0],
            ]
            names[int(rng.integers(len(names)))] = new[rng.integers(len(new))][:width].ljust(width, b"\0")
            matrix.parts[4].data = b"".join(names)
        if rng.random() < 0.2:
            matrix.parts[3].data = struct.pack("<i", int(rng.choice([0, 1, -1, width * 2, 2**31 - 1])))
    elif what == "type":
        part = matrix.parts[int(rng.integers(len(matrix.parts)))]
        part.kind = int(rng.integers(0, 20))
    elif what == "numbers" and not matrix.children and len(matrix.parts) > 3:
        part = matrix.parts[-1]
        part.data, part.short = rng.bytes(int(rng.choice([0, 1, len(part.data), 8, 1000]))), False
    elif what == "nest" and parent is not None:
        wrapped = matrix
        for _ in range(int(rng.choice([1, 2, 30, 1000, 30_000, 200_000]))):
            wrapped = Element(MATRIX, parts=[*_front(CELL, [1, 1]), wrapped])
        parent.parts = [wrapped if part is matrix else part for part in parent.parts]
    elif what == "drop" and len(matrix.parts) > 1:
        del matrix.parts[int(rng.integers(1, len(matrix.parts)))]
    elif what == "repeat":
        place = int(rng.integers(len(matrix.parts)))
        matrix.parts.insert(place, matrix.parts[place])
    elif what == "swap":
        first, second = rng.integers(len(matrix.parts), size=2).tolist()
        matrix.parts[first], matrix.parts[second] = matrix.parts[second], matrix.parts[first]
    elif what == "graft" and parent is not None:
        other = everything[int(rng.integers(len(everything)))]
        inside = matrices(matrix)
        if not any(one is other for one in inside) and not any(one is matrix for one in matrices(other)):
            parent.parts = [other if part is matrix else part for part in parent.parts]
    return what


def _front(matrix_class, shape):
    """Return flags, dimensions and empty name of a matrix."""
    return [
        Element(6, struct.pack("<II", matrix_class, 0)),
        Element(5, struct.pack(f"<{len(shape)}i", *shape)),
        Element(1, b""),
    ]


def damage(rng, file):
    """Damage a file's bytes; return the kind of damage and the bytes."""
    variable = variable_of(file)
    compressed = bool(rng.random() < 0.5)
    way = str(rng.choice(["flip", "truncate", "move", "lie", "tree", "tree", "tree", "tree", "outside", "header"]))
    if way == "tree":
        (root,) = unpack(variable)
        ways = [change_tree(rng, root)]
        for _ in range(int(rng.choice([0, 0, 0, 1, 2]))):
            with suppress(IndexError, ValueError, struct.error):  # an earlier damage removed the part
                ways.append(change_tree(rng, root))
        return "+".join(ways), write(pack(root), compressed=compressed)
    if way == "outside":  # of the variable: the compressed stream, its tag, what follows it
        where = [flip, truncate, move][rng.integers(3)]
        return f"outside {where.__name__}", where(rng, write(variable))
    if way == "header":
        return way, flip(rng, HEADER) + write(variable, compressed=compressed)[len(HEADER) :]
    change = {"flip": flip, "truncate": truncate, "move": move, "lie": lie}[way]
    return way, write(change(rng, variable), compressed=compressed)


# --- a slow reference reader ------------------------------------------------------------------------------------------


class InconsistentError(Exception):
    """Raised for a tree that is inconsistent or of an unknown kind."""


def value_of(matrix):
    """Convert a matrix to a list of dicts (structure), a list (cells), an array of numbers, or text.

    Returns:
        the value; None if the matrix is inconsistent or of an unknown kind.
    """
    try:
        return _value_of(matrix)
    except (InconsistentError, struct.error, LookupError, ValueError, RecursionError):
        return None


def _value_of(matrix):
    if matrix.kind != MATRIX:
        raise InconsistentError("not a matrix")
    if not matrix.parts:
        return np.empty((0, 0))
    flags, shape, _, *data = matrix.parts
    sizes = struct.unpack(f"<{len(shape.data) // 4}i", shape.data)
    count = math.prod(sizes)
    if matrix.matrix_class == STRUCT:
        width = struct.unpack("<i", data[0].data)[0]
        starts = range(0, len(data[1].data), width)
        names = [data[1].data[at : at + width].split(b"\0")[0].decode("latin1") for at in starts]
        values = [value_of(one) for one in data[2:]]
        if min(sizes) < 0 or len(values) != count * len(names):
            raise InconsistentError("fields")
        entries = [values[at * len(names) :][: len(names)] for at in range(count)]
        return [dict(zip(names[::-1], entry[::-1], strict=True)) for entry in entries]  # of two with a name the first
    if matrix.matrix_class == CELL:
        if min(sizes) < 0 or len(data) != count:
            raise InconsistentError("cells")
        return [value_of(one) for one in data]
    if len(data) == 2 and flags.data[1] & 8:
        return None  # complex numbers
    if len(data) != 1:
        raise InconsistentError("data")
    if matrix.matrix_class == CHAR:
        if data[0].kind not in CODECS:
            raise InconsistentError("characters")
        text = data[0].data.decode(CODECS[data[0].kind])
        if len(text) != count:
            raise InconsistentError("text")
        return text if sizes[0] == 1 else list(text)
    if matrix.matrix_class not in range(6, 16) or data[0].kind not in NUMBERS:
        raise InconsistentError("class")
    numbers = np.frombuffer(data[0].data, "<" + NUMBERS[data[0].kind])
    if numbers.size != count:
        raise InconsistentError("numbers")
    return numbers


class Person(NamedTuple):
    """Annotation of one rectangle."""

    image: str | None
    from_train: bool | None
    scale: float | None
    joints: dict[int, tuple[float, float]]  # counted from 0


NOBODY = Person(None, None, None, {})


def people_of(release):
    """Return all rectangles of the RELEASE by (image index, rectangle index).

    Args:
        release: as `value_of` returns it.
    """
    train = np.ravel(_field(release, "img_train"))
    found = {}
    for index, image in enumerate(_entries(_field(release, "annolist"))):
        name = _field(image.get("image"), "name")
        for place, rectangle in enumerate(_entries(image.get("annorect"))):
            joints = {}
            for point in _entries(_field(_field(rectangle, "annopoints"), "point")):
                x, y, joint = (_number(point.get(name)) for name in ("x", "y", "id"))
                if x is not None and y is not None and joint is not None:
                    joints[joint] = (x - 1, y - 1)
            found[index, place] = Person(
                name if isinstance(name, str) else None,
                bool(train[index] == 1) if index < len(train) else None,
                _number(_field(rectangle, "scale")),
                joints,
            )
    return found


def _entries(value):
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _field(value, name):
    """Return a field of a structure's first entry."""
    if isinstance(value, list):
        value = value[0] if value else None
    return value.get(name) if isinstance(value, dict) else None


def _number(value):
    if isinstance(value, np.ndarray):
        value = value.item() if value.size == 1 else np.nan
    try:
        return float(value) if np.isfinite(float(value)) else None
    except (TypeError, ValueError):
        return None
