from posernn.pose.skeleton import DECODE_ORDERS, FLIP_ORDER, FLIP_PAIRS, LIMBS, PCKH_GROUPS, SCORED_JOINTS, Joint


def test_joints_have_the_ids_of_the_release():
    names = ["r ankle", "r knee", "r hip", "l hip", "l knee", "l ankle", "pelvis", "thorax", "upper neck", "head top"]
    names += ["r wrist", "r elbow", "r shoulder", "l shoulder", "l elbow", "l wrist"]
    expected = [name.replace("r ", "right ").replace("l ", "left ") if name[1] == " " else name for name in names]
    assert [joint.label for joint in Joint] == expected


def test_a_flip_swaps_each_right_joint_with_its_left_one_and_keeps_the_middle():
    for joint in Joint:
        mirrored = {"right": "left", "left": "right"}
        expected = " ".join(mirrored.get(word, word) for word in joint.label.split())
        assert Joint(FLIP_ORDER[joint]).label == expected
    assert len(FLIP_PAIRS) == 6
    assert [FLIP_ORDER[joint] for joint in FLIP_ORDER] == list(range(16))


def test_limbs_connect_all_joints_into_one_tree():
    reached = {Joint.PELVIS}
    for _ in LIMBS:
        reached |= {joint for limb in LIMBS if reached & set(limb) for joint in limb}
    assert len(LIMBS) == 15
    assert reached == set(Joint)


def test_fourteen_joints_are_scored_without_pelvis_and_thorax():
    assert set(Joint) - set(SCORED_JOINTS) == {Joint.PELVIS, Joint.THORAX}
    assert [len(group) for group in PCKH_GROUPS.values()] == [2] * 7
    assert PCKH_GROUPS["Head"] == (Joint.UPPER_NECK, Joint.HEAD_TOP)


def test_every_decode_order_has_each_joint_once():
    for order in DECODE_ORDERS.values():
        assert sorted(order) == list(Joint)
    assert DECODE_ORDERS["hard_first"] == DECODE_ORDERS["easy_first"][::-1]
