"""The user's own videos as they lie on disks: names of parts, tables of other programs, damaged files, notes."""

from __future__ import annotations

import io
import pickle
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.datasets.local import replicas
from tests.datasets.local.replicas import film, write_pictures
from vcfe_bench.core.errors import UsageError
from vcfe_datasets.recorded.ucf101_24 import UCF101_24, UCF101_24Params
from vcfe_datasets.recorded.video_folder import VideoFolder, VideoFolderParams


@pytest.fixture
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pictures."""
    folder = tmp_path_factory.mktemp("clip") / "a"
    write_pictures(folder, film(3))
    return folder


def tree(root: Path, clip: Path, *paths: str) -> VideoFolder:
    for path in paths:
        shutil.copytree(clip, root / path)
    return VideoFolder(VideoFolderParams(root=str(root), frames=2, size=16))


def splits(dataset: VideoFolder) -> dict[str, str]:
    """``test`` or, for videos of the training and validation splits, ``train``."""
    return {video.id: "test" if video.split == "test" else "train" for video in dataset.listing.clips}


@pytest.mark.parametrize(
    ("parts", "test"),
    [
        (("train", "test"), "test"),
        (("Train", "Test"), "Test"),
        (("training", "testing"), "testing"),
        (("train", "val"), "val"),
        (("train", "valid"), "valid"),
        (("training", "validation"), "validation"),
    ],
)
def test_folders_of_parts(tmp_path: Path, clip: Path, parts: tuple[str, str], test: str) -> None:
    dataset = tree(tmp_path, clip, *(f"{part}/{label}/a" for part in parts for label in ("up", "down")))
    assert dataset.classes == ("down", "up")
    assert {id.split("/")[0] for id, split in splits(dataset).items() if split == "test"} == {test}
    said = dataset.notes("test")
    assert bool(said) == (test not in ("test", "Test", "testing"))
    assert all("the validation part is the test split" in note for note in said)


def test_a_validation_folder_beside_a_test_folder_is_the_validation_split(tmp_path: Path, clip: Path) -> None:
    dataset = tree(tmp_path, clip, "train/up/a", "val/up/a", "test/up/a")
    assert {video.id: video.split for video in dataset.listing.clips} == {
        "train/up/a": "train",
        "val/up/a": "validation",
        "test/up/a": "test",
    }


def test_one_part_alone_is_no_class(tmp_path: Path, clip: Path) -> None:
    dataset = tree(tmp_path, clip, "test/up/a", "test/down/a")
    assert splits(dataset) == {"test/down/a": "test", "test/up/a": "test"}


def test_a_class_can_be_called_train(tmp_path: Path, clip: Path) -> None:
    dataset = tree(tmp_path, clip, "train/a", "car/a", "bus/a")
    assert dataset.classes == ("bus", "car", "train")


def test_tables_of_other_programs(tmp_path: Path, clip: Path) -> None:
    for name in ("x/one", "x/two", "three"):
        shutil.copytree(clip, tmp_path / name)
    (tmp_path / "list.csv").write_bytes(
        "path;value;Split;fps\r\nx\\one;2,5;Train;12,5\r\n./x/two;3;VAL;\r\n".encode("utf-8-sig")
        + f"{tmp_path}/three;1e1;train;;\r\n".encode()
    )
    dataset = VideoFolder(VideoFolderParams(root=str(tmp_path / "list.csv"), frames=2, size=16))
    assert splits(dataset) == {"x/one": "train", "x/two": "test", "three": "train"}
    assert {clip.id: clip.label for clip in dataset.listing.clips} == {"x/one": 2.5, "x/two": 3.0, "three": 10.0}
    rates = {sample.id: sample.fps for sample in (dataset.sample("train", 0), dataset.sample("validation", 0))}
    assert rates == {"x/one": pytest.approx(12.5 / 2), "three": pytest.approx(12.5)}


def test_a_name_has_one_split_however_it_is_written(tmp_path: Path, clip: Path) -> None:
    names = [f"v{number}" for number in range(12)]
    for name in names:
        shutil.copytree(clip, tmp_path / name)
    forms = ("{}", "./{}", "x/../{}", ".\\{}", f"{tmp_path}/{{}}")
    seen = set()
    for form in forms:
        rows = "".join(f"{form.format(name)},x\n" for name in names)
        (tmp_path / "list.csv").write_text(f"path,label\n{rows}")
        seen.add(tuple(splits(VideoFolder(VideoFolderParams(root=str(tmp_path / "list.csv")))).items()))
    assert len(seen) == 1
    (tmp_path / "list.csv").write_text("path,label\nv0,x\n./v0,y\n")
    with pytest.raises(UsageError, match="lists v0 more than once"):
        VideoFolder(VideoFolderParams(root=str(tmp_path / "list.csv"))).size("test")


def test_groups_stay_in_one_split(tmp_path: Path, clip: Path) -> None:
    for number in range(20):
        shutil.copytree(clip, tmp_path / f"v{number}")
    rows = "".join(f"v{number},x,person {number % 10}\n" for number in range(20))
    (tmp_path / "list.csv").write_text(f"path,label,group\n{rows}")
    found = splits(VideoFolder(VideoFolderParams(root=str(tmp_path / "list.csv"))))
    assert all(found[f"v{number}"] == found[f"v{number + 10}"] for number in range(10))


def test_one_bad_file_does_not_stop_a_dataset(tmp_path: Path, clip: Path) -> None:
    """A decompression bomb, a video of an impossible rate, text, and an empty file beside two good videos."""
    dataset = tree(tmp_path, clip, *(f"test/up/{name}" for name in ("good", "bomb", "gap")), "train/up/other")
    bomb = io.BytesIO()
    Image.new("1", (20000, 20000)).save(bomb, "PNG")
    (tmp_path / "test/up/bomb/00004.png").write_bytes(bomb.getvalue())
    (tmp_path / "test/up/gap/00003.jpg").rename(tmp_path / "test/up/gap/00005.jpg")
    replicas.write_video(tmp_path / "test/up/slow.avi", film(4), **replicas.XVID)
    data = bytearray((tmp_path / "test/up/slow.avi").read_bytes())
    start = data.index(b"strh") + 28
    data[start : start + 8] = (10**9).to_bytes(4, "little") + (1).to_bytes(4, "little")
    (tmp_path / "test/up/slow.avi").write_bytes(data)
    (tmp_path / "test/up/empty.flv").touch()
    (tmp_path / "test/up/void.ts").touch()
    (tmp_path / "test/up/notes.txt").touch()
    assert {dataset.sample("test", index).id for index in range(dataset.size("test"))} == {
        "test/up/good",
        "test/up/gap",
    }
    problems, strays, remarks = dataset.notes("test")
    assert "4 of 6 videos of the test split are left out: the file is empty (2)" in problems
    assert "unlikely size (1)" in problems
    assert "unlikely frame rate (1)" in problems
    assert strays.endswith("1 files or entries of the copy are in no split: not a video in a class folder (1)")
    assert remarks.endswith("to look at: gaps in the numbers of the frames (1)")
    inventory = dataset.inventory().set_index("id")
    assert inventory.loc["test/up/gap", "remarks"] == "gaps in the numbers of the frames: 2 are missing"


@pytest.mark.parametrize("broken", ["dataset", "videos", "empty"])
def test_an_annotation_of_other_types_is_reported(tmp_path: Path, broken: str) -> None:
    root = replicas.ucf101_24(tmp_path)
    content: object = {
        "dataset": ["not", "a", "dictionary"],
        "videos": {"gttubes": {}, "train_videos": 3, "test_videos": [[]]},
        "empty": {"gttubes": {}, "train_videos": [], "test_videos": [[]]},
    }[broken]
    (root / "UCF101v2-GT.pkl").write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(UsageError, match=r"no readable UCF101v2-GT\.pkl"):
        UCF101_24(UCF101_24Params(root=str(root))).size("train")


@pytest.mark.parametrize("boxes", [3, {0: 3}, {0: ["text"]}, {0: [np.zeros((2, 3))]}])
def test_boxes_of_other_types_leave_out_one_video(tmp_path: Path, boxes: object) -> None:
    root = replicas.ucf101_24(tmp_path)
    names: Sequence[str] = ("Basketball/v_Basketball_g08_c01", "Surfing/v_Surfing_g09_c01")
    content = {
        "gttubes": {names[0]: {0: [np.ones((1, 5), np.float32)]}, names[1]: boxes},
        "train_videos": [[*names]],
        "test_videos": [["Surfing/v_Surfing_g01_c02"]],
    }
    (root / "UCF101v2-GT.pkl").write_bytes(replicas.python2_pickle(content))
    dataset = UCF101_24(UCF101_24Params(root=str(root), frames=2, size=16))
    assert [dataset.sample("train", index).id for index in range(dataset.size("train"))] == [names[0]]
    assert "its boxes in UCF101v2-GT.pkl cannot be used" in dataset.listing.strays[names[1]]
