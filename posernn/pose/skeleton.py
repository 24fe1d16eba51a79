"""Defines MPII's 16 joints: order, sides, limbs, groups and decode orders. Right and left are the person's."""

from enum import IntEnum


class Joint(IntEnum):
    """MPII's joint ids; all arrays of joints are in this order."""

    RIGHT_ANKLE = 0
    RIGHT_KNEE = 1
    RIGHT_HIP = 2
    LEFT_HIP = 3
    LEFT_KNEE = 4
    LEFT_ANKLE = 5
    PELVIS = 6
    THORAX = 7
    UPPER_NECK = 8
    HEAD_TOP = 9
    RIGHT_WRIST = 10
    RIGHT_ELBOW = 11
    RIGHT_SHOULDER = 12
    LEFT_SHOULDER = 13
    LEFT_ELBOW = 14
    LEFT_WRIST = 15

    @property
    def label(self) -> str:
        """Return the name for tables, such as "right ankle"."""
        return self.name.lower().replace("_", " ")


J = Joint

NUM_JOINTS = len(Joint)

LIMBS: tuple[tuple[Joint, Joint], ...] = (
    (J.RIGHT_ANKLE, J.RIGHT_KNEE),
    (J.RIGHT_KNEE, J.RIGHT_HIP),
    (J.RIGHT_HIP, J.PELVIS),
    (J.LEFT_HIP, J.PELVIS),
    (J.LEFT_KNEE, J.LEFT_HIP),
    (J.LEFT_ANKLE, J.LEFT_KNEE),
    (J.PELVIS, J.THORAX),
    (J.THORAX, J.UPPER_NECK),
    (J.UPPER_NECK, J.HEAD_TOP),
    (J.RIGHT_SHOULDER, J.THORAX),
    (J.RIGHT_ELBOW, J.RIGHT_SHOULDER),
    (J.RIGHT_WRIST, J.RIGHT_ELBOW),
    (J.LEFT_SHOULDER, J.THORAX),
    (J.LEFT_ELBOW, J.LEFT_SHOULDER),
    (J.LEFT_WRIST, J.LEFT_ELBOW),
)

FLIP_PAIRS: tuple[tuple[Joint, Joint], ...] = (
    (J.RIGHT_ANKLE, J.LEFT_ANKLE),
    (J.RIGHT_KNEE, J.LEFT_KNEE),
    (J.RIGHT_HIP, J.LEFT_HIP),
    (J.RIGHT_SHOULDER, J.LEFT_SHOULDER),
    (J.RIGHT_ELBOW, J.LEFT_ELBOW),
    (J.RIGHT_WRIST, J.LEFT_WRIST),
)


def _flip_order() -> tuple[int, ...]:
    order = list(range(NUM_JOINTS))
    for right, left in FLIP_PAIRS:
        order[right], order[left] = left, right
    return tuple(order)


FLIP_ORDER: tuple[int, ...] = _flip_order()
"""joints[FLIP_ORDER] swaps right and left joints, as a mirrored image needs."""

LOWER_BODY: tuple[Joint, ...] = (
    J.RIGHT_ANKLE,
    J.RIGHT_KNEE,
    J.RIGHT_HIP,
    J.LEFT_HIP,
    J.LEFT_KNEE,
    J.LEFT_ANKLE,
    J.PELVIS,
)
"""Joints of the lower body; all others are of the upper."""

PCKH_GROUPS: dict[str, tuple[Joint, ...]] = {
    "Head": (J.UPPER_NECK, J.HEAD_TOP),
    "Shoulder": (J.RIGHT_SHOULDER, J.LEFT_SHOULDER),
    "Elbow": (J.RIGHT_ELBOW, J.LEFT_ELBOW),
    "Wrist": (J.RIGHT_WRIST, J.LEFT_WRIST),
    "Hip": (J.RIGHT_HIP, J.LEFT_HIP),
    "Knee": (J.RIGHT_KNEE, J.LEFT_KNEE),
    "Ankle": (J.RIGHT_ANKLE, J.LEFT_ANKLE),
}
"""The joint groups of MPII's evaluation. Pelvis and thorax are not scored."""

SCORED_JOINTS: tuple[Joint, ...] = tuple(sorted(joint for group in PCKH_GROUPS.values() for joint in group))

DECODE_ORDERS: dict[str, tuple[Joint, ...]] = {
    "skeleton": tuple(Joint),
    "easy_first": (
        *(
            J.UPPER_NECK,
            J.HEAD_TOP,
            J.THORAX,
            J.RIGHT_SHOULDER,
            J.LEFT_SHOULDER,
            J.PELVIS,
            J.RIGHT_HIP,
            J.LEFT_HIP,
        ),
        *(J.RIGHT_ELBOW, J.LEFT_ELBOW, J.RIGHT_KNEE, J.LEFT_KNEE),
        *(J.RIGHT_WRIST, J.LEFT_WRIST, J.RIGHT_ANKLE, J.LEFT_ANKLE),
    ),
    "hard_first": (
        *(J.LEFT_ANKLE, J.RIGHT_ANKLE, J.LEFT_WRIST, J.RIGHT_WRIST, J.LEFT_KNEE, J.RIGHT_KNEE, J.LEFT_ELBOW),
        *(J.RIGHT_ELBOW, J.LEFT_HIP, J.RIGHT_HIP, J.PELVIS, J.LEFT_SHOULDER, J.RIGHT_SHOULDER, J.THORAX),
        *(J.HEAD_TOP, J.UPPER_NECK),
    ),
}
"""Orders in which recurrent models can predict the joints. easy_first: head and trunk first, then outwards."""

_MIDPOINTS = (J.THORAX, J.PELVIS)
_TORSO_FIRST = tuple(joint for joint in DECODE_ORDERS["easy_first"] if joint not in _MIDPOINTS)

CHAIN_ORDERS: dict[str, tuple[Joint, ...]] = {
    "torso_first": (*_TORSO_FIRST, *_MIDPOINTS),
    "torso_last": (*reversed(_TORSO_FIRST), *_MIDPOINTS),
    "limb_by_limb": (
        *(J.UPPER_NECK, J.HEAD_TOP, J.RIGHT_SHOULDER, J.RIGHT_ELBOW, J.RIGHT_WRIST, J.LEFT_SHOULDER, J.LEFT_ELBOW),
        *(J.LEFT_WRIST, J.RIGHT_HIP, J.RIGHT_KNEE, J.RIGHT_ANKLE, J.LEFT_HIP, J.LEFT_KNEE, J.LEFT_ANKLE),
        *_MIDPOINTS,
    ),
    "mpii": (*(joint for joint in Joint if joint not in _MIDPOINTS), *_MIDPOINTS),
}
"""Orders for chains, in which a joint is told those before it. Thorax and pelvis come last: in MPII they are midpoints
of the shoulders and of the hips, so that a chain that has these has them for free."""

DECODE_ORDERS |= CHAIN_ORDERS
