"""The parse stage says in one line whether people were held out by a list, by video or by picture."""

from pathlib import Path

import pytest
from coco_files import contents, person
from coco_files import write as write_coco
from small_project import lay_out
from test_mpii import image, point, rectangle, write

from stages import parse

BY_PICTURE = "picture: no video is known, so pictures of one scene may be in train and in val"


@pytest.fixture(autouse=True)
def _in_a_project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lay_out(tmp_path)
    Path("own").mkdir()


def told(capsys):
    """Run the stage on data/own and return its line about the validation set."""
    parse.main(Path("own"), Path("data/splits"), Path("people.parquet"), Path("rejected.parquet"))
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("held out by ")]
    return line.removeprefix("held out by ")


@pytest.mark.parametrize(
    ("videos", "by"),
    [
        ((3, 4, 5), "video"),
        ((None, None, None), BY_PICTURE),
        ((3, 4, None), "video, and by picture for the 1 of 3 people of no known video"),
    ],
)
def test_a_share_is_held_out_by_video_where_videos_are_known(capsys, videos, by):
    images = [
        image(rectangle(point(0, 5, 5)), name=f"{number}.jpg", **({} if video is None else {"vididx": video}))
        for number, video in enumerate(videos)
    ]
    nobody_is_single = image(rectangle(point(0, 5, 5)), name="9.jpg", alone=())
    write(Path("own/a.mat"), *images, nobody_is_single, image(rectangle(), name="test.jpg", train=False))
    assert told(capsys) == by


def test_a_list_is_named(capsys):
    lay_out(Path(), synthetic={"val_list": "mine.csv"})
    write(Path("own/a.mat"), *[image(rectangle(point(0, 5, 5)), name=f"{number}.jpg") for number in range(3)])
    Path("data/splits/mine.csv").write_text("image,annolist_index,annorect_index\n1.jpg,1,0\n")
    assert told(capsys) == "list: mine.csv"


def test_val_json_is_a_list(capsys):
    joints = {"left_hip": (30, 40, 2)}
    write_coco(Path("own/train.json"), contents([person(7, joints)]))
    write_coco(Path("own/val.json"), contents([person(8, joints)]))
    assert told(capsys) == "list: val.json"
