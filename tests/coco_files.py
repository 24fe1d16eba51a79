"""Builds small COCO keypoints files, as labelling tools write them."""

import json

COCO_17 = (
    *("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow"),
    *("right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle"),
    "right_ankle",
)


def person(image_id, points, names=COCO_17, **more):
    """An annotation: `points` are name -> (x, y, v), names that are not there are not annotated."""
    keypoints = [value for name in names for value in points.get(name, (0, 0, 0))]
    return {"id": 1, "image_id": image_id, "category_id": 1, "iscrowd": 0, "keypoints": keypoints} | more


def contents(people, names=COCO_17, images=None):
    """A file with the images of the people, named after their ids, if not given."""
    ids = list(dict.fromkeys(person["image_id"] for person in people))
    return {
        "images": images or [{"id": id_, "file_name": f"{id_}.jpg", "width": 640, "height": 480} for id_ in ids],
        "annotations": people,
        "categories": [{"id": 1, "name": "person", "keypoints": list(names)}],
    }


def write(path, of_file):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(of_file), encoding="utf-8")
    return path
