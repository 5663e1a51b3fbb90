"""Every dataset is read from a miniature copy with its original layout and codecs."""

from __future__ import annotations

import json
import math
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.datasets.local import replicas
from tests.datasets.local.replicas import BOX, H264, RED, film, level, write_pictures, write_video
from vcfe_bench.core.errors import UsageError
from vcfe_bench.interfaces import Sample, Split
from vcfe_bench.plugins.terms import SPLITS
from vcfe_bench.video.files import VideoFile
from vcfe_datasets.recorded.celebv_text import CelebVText, CelebVTextParams
from vcfe_datasets.recorded.echonet_dynamic import EchoNetDynamic, EchoNetDynamicParams
from vcfe_datasets.recorded.ferv39k import FERV39k, FERV39kParams
from vcfe_datasets.recorded.local_videos import Clip, LocalVideos, with_validation
from vcfe_datasets.recorded.mead import MEAD, MEADParams
from vcfe_datasets.recorded.ntu_rgbd import ACTIONS, NTURGBD, NTURGBDParams
from vcfe_datasets.recorded.olympic_sports import SPORTS, OlympicSports, OlympicSportsParams
from vcfe_datasets.recorded.something_something_v2 import SomethingSomethingV2, SomethingSomethingV2Params
from vcfe_datasets.recorded.ucf101_24 import MOVEMENTS, UCF101_24, UCF101_24Params
from vcfe_datasets.recorded.video_folder import VideoFolder, VideoFolderParams

DATASETS: list[tuple[type[LocalVideos], type, Callable[[Path], Path]]] = [
    (MEAD, MEADParams, replicas.mead),
    (NTURGBD, NTURGBDParams, replicas.ntu_rgbd),
    (EchoNetDynamic, EchoNetDynamicParams, replicas.echonet_dynamic),
    (FERV39k, FERV39kParams, replicas.ferv39k),
    (SomethingSomethingV2, SomethingSomethingV2Params, replicas.something_something_v2),
    (UCF101_24, UCF101_24Params, replicas.ucf101_24),
    (OlympicSports, OlympicSportsParams, replicas.olympic_sports),
    (CelebVText, CelebVTextParams, replicas.celebv_text),
]
every_dataset = pytest.mark.parametrize(("dataset", "params", "replica"), DATASETS, ids=[d[0].name for d in DATASETS])


def samples(dataset: LocalVideos) -> dict[str, Sample]:
    """All samples of all splits by id, each checked for its split."""
    found: dict[str, Sample] = {}
    for split in SPLITS:
        for index in range(dataset.size(split)):
            sample = dataset.sample(split, index)
            assert sample.id not in found
            found[sample.id] = sample
    return found


def ids(dataset: LocalVideos, split: str) -> set[str]:
    return {dataset.sample(split, index).id for index in range(dataset.size(split))}


def labels(dataset: LocalVideos) -> dict[str, str]:
    return {id: dataset.classes[int(sample.label)] for id, sample in samples(dataset).items()}


def grey(sample: Sample) -> np.ndarray:
    """Grey levels of the frames, from the right half."""
    return 255 * sample.video[..., sample.video.shape[-1] // 2 + 2 :].mean(dim=(1, 2, 3)).numpy()


@every_dataset
def test_pixels_are_preserved(tmp_path: Path, dataset: type[LocalVideos], params: type, replica: Callable) -> None:
    replica(tmp_path / "copy")
    built = dataset(params(root=str(tmp_path / "copy"), frames=6, size=16))
    assert built.shape == (6, 16, 16)
    found = samples(built)
    assert len(found) >= 3
    for sample in found.values():
        assert sample.video.shape == (6, 3, 16, 16)
        assert torch.equal((sample.video * 255).round() / 255, sample.video)
        steps = np.diff(grey(sample))
        assert grey(sample)[0] == pytest.approx(level(0), abs=3)
        assert (steps > 7).all(), "the frames follow one another"
        red = 255 * (sample.video[:, 0, :, :6] - sample.video[:, 2, :, :6]).mean()
        assert float(red) == pytest.approx(0 if dataset is EchoNetDynamic else RED, abs=5)
        json.dumps(dict(sample.attributes))
    assert not built.inventory()["problem"].any()


@every_dataset
def test_reading_again_gives_the_same_samples(
    tmp_path: Path, dataset: type[LocalVideos], params: type, replica: Callable
) -> None:
    replica(tmp_path / "copy")
    first, second = (dataset(params(root=str(tmp_path / "copy"), frames=3, size=16)) for _ in range(2))
    for split in SPLITS:
        for index in range(first.size(split)):
            one, two = first.sample(split, index), second.sample(split, index)
            assert (one.id, one.label, one.fps) == (two.id, two.label, two.fps)
            assert torch.equal(one.video, two.video)
        with pytest.raises(IndexError):
            first.sample(split, first.size(split))


@every_dataset
def test_missing_copies_are_reported(
    tmp_path: Path, dataset: type[LocalVideos], params: type, replica: Callable
) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "notes.txt").touch()
    for root, found in (("", "set VCFE_DATA"), ("gone", "contains: notes.txt, other/"), ("other", "found: nothing")):
        built = dataset(params(root=str(tmp_path / root) if root else ""))
        with pytest.raises(UsageError) as told:
            built.size("test")
        message = str(told.value)
        assert dataset.home in message
        assert dataset.tree in message
        assert found in message
        assert "\n" not in message


def test_a_copy_is_found_by_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replicas.echonet_dynamic(tmp_path / "echonet_dynamic")
    monkeypatch.setenv("VCFE_DATA", str(tmp_path))
    assert EchoNetDynamic().size("train") == 2


def test_the_protocol_of_echodiffusion(tmp_path: Path) -> None:
    root = str(replicas.echonet_dynamic(tmp_path / "copy"))
    built = EchoNetDynamic(EchoNetDynamicParams(root=root, protocol="echodiffusion"))
    assert [built.sample("test", k).id for k in range(built.size("test"))] == ["0X3"]
    sample = built.sample("test", 0)
    assert (tuple(sample.video.shape), sample.fps) == ((16, 3, 112, 112), 8.0)
    assert built.values is not None
    assert (built.values.low, built.values.high) == (15, 85)
    assert EchoNetDynamic(EchoNetDynamicParams(root=root)).values.low == 10  # type: ignore[union-attr]


def test_a_random_split_of_ntu_is_four_to_one(tmp_path: Path) -> None:
    for person in range(1, 11):
        for action in range(1, 61):
            (tmp_path / f"S001C001P{person:03d}R001A{action:03d}_rgb.avi").touch()
    clips = NTURGBD(NTURGBDParams(root=str(tmp_path), split="random")).listing.clips
    share = sum(clip.split == "test" for clip in clips) / len(clips)
    assert share == pytest.approx(0.2, abs=0.06)
    people = {
        split: {clip.attributes["person"] for clip in clips if clip.split == split} for split in ("train", "test")
    }
    assert people["train"] == people["test"]


def test_unusable_videos_are_left_out_and_reported_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = replicas.echonet_dynamic(tmp_path / "copy")
    (root / "Videos" / "0X1.avi").write_bytes(b"")
    (root / "Videos" / "stranger.avi").write_bytes(b"")
    built = EchoNetDynamic(EchoNetDynamicParams(root=str(root), frames=4))
    assert [built.size("train") for _ in range(3)] == [1, 1, 1]
    told = capsys.readouterr().err
    assert "echonet_dynamic: preparing train" in told
    assert told.count("1 of 2 videos of the train split cannot be used: 0X1 (the file is empty)") == 1
    problems = built.inventory().set_index("id")["problem"]
    assert problems["0X1"] == "the file is empty"
    assert problems["stranger"] == "not in FileList.csv"


def test_mead_paths_of_all_layouts(tmp_path: Path) -> None:
    for path in (
        "M003/video/front/angry/level_3/001.mp4",
        "M009_video/front/contempt/level_1/030.mp4",
        "W011/video/front/neutral_level_1/002.mp4",
        "W014/video/left_30/fear/level_2/002.mp4",
        "W014/video/front/bored/level_2/002.mp4",
    ):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).touch()
    found = MEAD(MEADParams(root=str(tmp_path), split="people")).listing
    assert {clip.id: (MEAD.classes[int(clip.label)], clip.split) for clip in found.clips} == {
        "M003-front-angry-3-001": ("angry", "validation"),
        "M009-front-contempt-1-030": ("contempt", "test"),
        "W011-front-neutral-1-002": ("neutral", "train"),
    }
    assert list(found.strays) == ["W014/video/front/bored/level_2/002.mp4"]
    left = MEAD(MEADParams(root=str(tmp_path), view="left_30")).listing
    assert [clip.attributes for clip in left.clips] == [{"actor": "W014", "view": "left_30", "level": 2}]


def test_one_actor_of_mead_can_be_the_root(tmp_path: Path) -> None:
    replicas.mead(tmp_path, actors=("M003",))
    built = MEAD(MEADParams(root=str(tmp_path / "M003")))
    assert len(built.listing.clips) == 4


def test_splits_of_mead(tmp_path: Path) -> None:
    """A random split is 4:1; a split by people separates actors, with men and women in all parts."""
    for number in range(3, 43):
        for sex in "MW":
            for take in range(1, 6):
                path = tmp_path / f"{sex}{number:03d}" / "video" / "front" / "sad" / "level_1" / f"{take:03d}.mp4"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
    drawn = MEAD(MEADParams(root=str(tmp_path))).listing.clips
    share = sum(clip.split == "test" for clip in drawn) / len(drawn)
    assert share == pytest.approx(0.2, abs=3 * math.sqrt(0.16 / len(drawn)))
    apart = MEAD(MEADParams(root=str(tmp_path), split="people")).listing.clips
    for clips in (drawn, apart):
        sides = {split: {clip.attributes["actor"] for clip in clips if clip.split == split} for split in SPLITS}
        assert not sides["train"] & sides["validation"]
    assert not (sides["train"] | sides["validation"]) & sides["test"]
    assert len(sides["test"]) / 80 == pytest.approx(0.2, abs=0.05)
    assert len(sides["validation"]) / 64 == pytest.approx(0.1, abs=3 * math.sqrt(0.09 / 64))
    assert {actor[0] for actor in sides["test"]} == {actor[0] for actor in sides["validation"]} == {"M", "W"}


def test_mead_is_prepared_as_in_the_paper(tmp_path: Path) -> None:
    wide = np.zeros((40, 54, 96, 3), np.uint8)
    wide[:, :, 21:75] = np.arange(40, dtype=np.uint8)[:, None, None, None] * 5
    write_video(tmp_path / "M003/video/front/happy/level_2/001.mp4", wide, **H264)
    built = MEAD(MEADParams(root=str(tmp_path), split="people", size=32))
    sample = built.sample("train", 0)
    assert sample.video.shape == (33, 3, 32, 32)
    assert sample.fps == 8.0
    positions = np.linspace(0, 39, 33)
    middle = 255 * sample.video[:, :, 4:-4, 4:-4].mean(dim=(1, 2, 3)).numpy()
    assert np.abs(middle - 5 * positions).max() < 2.5 + 1
    one_is_nearest = positions % 1 != 0.5
    assert np.abs(middle - 5 * np.rint(positions))[one_is_nearest].max() < 2
    assert MEAD().shape == (33, 512, 512)


def test_splits_and_classes_of_ntu(tmp_path: Path) -> None:
    root = replicas.ntu_rgbd(tmp_path)
    write_video(root / "nturgb+d_rgb" / "S018C001P001R001A061_rgb.avi", film(2), **replicas.XVID)
    by_person = NTURGBD(NTURGBDParams(root=str(root), frames=4, size=16))
    assert {id[8:12] for id in ids(by_person, "train")} == {"P001"}
    assert {id[8:12] for id in ids(by_person, "test")} == {"P003"}
    by_camera = NTURGBD(NTURGBDParams(root=str(root), frames=4, size=16, split="cross_view"))
    assert {id[4:8] for id in ids(by_camera, "train")} == {"C002"}
    assert {id[4:8] for id in ids(by_camera, "test")} == {"C001"}
    assert labels(by_person)["S001C001P001R001A051"] == "kicking other person"
    assert (ACTIONS[0], ACTIONS[59], len(set(ACTIONS))) == ("drink water", "walking apart from each other", 60)
    assert list(by_person.listing.strays.values()) == ["action 61 is not one of the sixty"]
    assert NTURGBD().shape == (33, 448, 448)


def test_echonet_reads_values_and_official_splits(tmp_path: Path) -> None:
    root = str(replicas.echonet_dynamic(tmp_path))
    built = EchoNetDynamic(EchoNetDynamicParams(root=root, frames=8))
    known = {id: sample.label for id, sample in samples(built).items()}
    assert {id: known[id] for id in ("0X1", "0X2", "0X4")} == {"0X1": 61.5, "0X2": 35.25, "0X4": 70.0}
    assert [ids(built, split) for split in SPLITS] == [{"0X1", "0X2"}, {"0X3"}, {"0X4"}]
    held_out = EchoNetDynamic(EchoNetDynamicParams(root=root, frames=8, held_out="VAL"))
    assert [ids(held_out, split) for split in SPLITS] == [{"0X2"}, {"0X1"}, {"0X3"}]
    sample = built.sample("test", 0)
    assert sample.fps == 25.0
    assert sample.attributes == {"esv": 30.0, "edv": 100.0}
    assert np.abs(grey(sample) - [level(2 * frame) for frame in range(8)]).max() < 2
    assert EchoNetDynamic().shape == (32, 112, 112)


def test_a_short_echo_repeats_its_last_frame(tmp_path: Path) -> None:
    built = EchoNetDynamic(EchoNetDynamicParams(root=str(replicas.echonet_dynamic(tmp_path)), frames=20))
    video = built.sample("test", 0).video
    assert torch.equal(video[12], video[19])
    assert not torch.equal(video[11], video[12])


def test_unusable_rows_of_echonet_are_reported(tmp_path: Path) -> None:
    root = replicas.echonet_dynamic(tmp_path)
    with (root / "FileList.csv").open("a") as file:
        file.write("0X7,,1,2,32,32,50,24,TRAIN\n0X8,50,1,2,32,32,50,24,HOLDOUT\n0X9,50,1,2,32,32,50,24,TRAIN\n")
    problems = EchoNetDynamic(EchoNetDynamicParams(root=str(root), frames=4)).inventory().set_index("id")["problem"]
    assert problems[["0X7", "0X8", "0X9"]].tolist() == [
        "no ejection fraction in FileList.csv",
        "split 'HOLDOUT' in FileList.csv is not one of TRAIN, VAL, TEST",
        "cannot be read: No such file or directory",
    ]
    (root / "FileList.csv").write_text("FileName,EF\n0X1,50\n")
    with pytest.raises(UsageError, match=r"no column EDV, ESV, Split of FileList\.csv"):
        EchoNetDynamic(EchoNetDynamicParams(root=str(root))).size("train")


def test_ferv39k_reads_folders_files_and_numbers(tmp_path: Path) -> None:
    root = replicas.ferv39k(tmp_path)
    built = FERV39k(FERV39kParams(root=str(root), frames=4, size=16))
    assert labels(built) == {
        "Action/Happy/0267": "Happy",
        "Action/Fear/0001": "Fear",
        "Daily/Sad/0042": "Sad",
        "Daily/Happy/0003": "Happy",
    }
    assert ids(built, "test") == {"Daily/Sad/0042", "Daily/Happy/0003"}
    lists = root / "4_setups" / "All_scenes"
    (lists / "train_All.csv").write_text("Action/Happy/0267 0\nAction/Fear/0001 6\nDaily/Sad/0042 Bored\nDaily/x 7\n")
    again = FERV39k(FERV39kParams(root=str(root))).listing
    assert {clip.id: clip.label for clip in again.clips if clip.split != "test"} == {
        "Action/Happy/0267": 0,
        "Action/Fear/0001": 6,
    }
    assert sorted(again.strays) == ["Daily/Sad/0042", "Daily/x"]


@pytest.mark.parametrize(("prefix", "folder"), [("", "labels"), ("something-something-v2-", ".")])
def test_something_something_v2_old_and_new_names(tmp_path: Path, prefix: str, folder: str) -> None:
    root = str(replicas.something_something_v2(tmp_path, prefix, folder))
    built = SomethingSomethingV2(SomethingSomethingV2Params(root=root, frames=4, size=16))
    assert built.classes == ("Pushing something from left to right", "Holding something")
    assert labels(built) == {"78687": built.classes[0], "42326": built.classes[1], "74225": built.classes[1]}
    assert ids(built, "test") == {"74225"}
    tested = SomethingSomethingV2(SomethingSomethingV2Params(root=root, frames=4, size=16, held_out="test"))
    assert (ids(tested, "test"), tested.sample("test", 0).label) == ({"10"}, 0)
    assert (ids(built, "validation"), ids(tested, "validation")) == ({"78687"}, {"74225"})


@pytest.mark.parametrize("videos", [False, True], ids=["pictures", "avi"])
def test_ucf101_24_has_boxes_in_the_clip(tmp_path: Path, videos: bool) -> None:
    root = replicas.ucf101_24(tmp_path, videos)
    built = UCF101_24(UCF101_24Params(root=str(root), frames=20, size=24))
    assert ids(built, "test") == {"Surfing/v_Surfing_g01_c02"}
    assert ids(built, "validation") == {"Surfing/v_Surfing_g09_c01"}
    assert labels(built)["Basketball/v_Basketball_g08_c01"] == "Basketball"
    sample = built.sample("test", 0)
    assert sample.fps == pytest.approx(25)
    assert sample.attributes["attributes"] == list(MOVEMENTS["Surfing"])
    (actor,) = sample.attributes["objects"]
    assert actor["attributes"] == list(MOVEMENTS["Surfing"])
    boxes = np.array(actor["boxes"])
    left, top, right, bottom = BOX
    expected = [0, top / 2, (right - 8) / 2, bottom / 2]
    assert np.allclose(boxes[2:10], expected)
    assert left == 8, "the square starts at 8 of 64 columns"
    assert np.isnan(boxes[[0, 1, *range(10, 20)]]).all()


def ucf_copy(root: Path, height: int, width: int, frames: int = 20, **changes: object) -> UCF101_24:
    """A copy whose frames have another size than the annotation's 48×64, and changed entries of the annotation."""
    replicas.ucf101_24(root)
    name = "Surfing/v_Surfing_g01_c02"
    shutil.rmtree(root / "rgb-images" / name)
    replicas.write_pictures(root / "rgb-images" / name, replicas.film(frames, height, width))
    if changes:
        file = root / "UCF101v2-GT.pkl"
        content = pickle.loads(file.read_bytes(), encoding="latin1")
        file.write_bytes(replicas.python2_pickle({**content, **{key: {name: value} for key, value in changes.items()}}))
    return UCF101_24(UCF101_24Params(root=str(root), frames=20, size=24))


@pytest.mark.parametrize(("height", "width"), [(96, 128), (24, 32), (48, 64), (240, 322)])
def test_boxes_of_ucf101_24_follow_the_size_of_the_copy(tmp_path: Path, height: int, width: int) -> None:
    (actor,) = ucf_copy(tmp_path, height, width).sample("test", 0).attributes["objects"]
    left, top, right, bottom = replicas.BOX
    boxes = np.array(actor["boxes"])
    assert np.allclose(boxes[2:10], [(left - 8) / 2, top / 2, (right - 8) / 2, bottom / 2])


@pytest.mark.parametrize(
    ("height", "width", "frames", "changes", "reason"),
    [
        (48, 48, 20, {}, "frames of another shape: 48x48 pixels instead of 64x48"),
        (64, 48, 20, {}, "frames of another shape"),
        (48, 64, 10, {}, "another number of frames: 10 instead of 20"),
        (48, 64, 20, {"resolution": "48x64"}, "not a height and a width"),
        (48, 64, 20, {"resolution": (0, 64)}, "not a height and a width"),
        (48, 64, 20, {"nframes": 2.5}, "not a number of frames"),
        (48, 64, 20, {"gttubes": {19: [np.zeros((4, 3))]}}, "not arrays of five columns"),
    ],
)
def test_copies_to_which_boxes_do_not_apply_are_left_out(
    tmp_path: Path, height: int, width: int, frames: int, changes: dict[str, object], reason: str
) -> None:
    built = ucf_copy(tmp_path, height, width, frames, **changes)
    listed = built.inventory().set_index("id").loc["Surfing/v_Surfing_g01_c02"]
    assert reason in listed["problem"]
    assert built.size("test") == 0


def test_attributes_of_ucf101_24_distinguish_the_classes() -> None:
    assert len(MOVEMENTS) == 24
    assert len({frozenset(names) for names in MOVEMENTS.values()}) == 24
    assert set(UCF101_24.attributes) == {name for names in MOVEMENTS.values() for name in names}


def test_the_annotation_of_ucf101_24_executes_nothing(tmp_path: Path) -> None:
    root = replicas.ucf101_24(tmp_path)
    (root / "UCF101v2-GT.pkl").write_bytes(pickle.dumps(print, protocol=2))
    with pytest.raises(UsageError, match="neither an array nor a container"):
        UCF101_24(UCF101_24Params(root=str(root))).size("train")


def test_olympic_sports_reads_sequences_and_lists(tmp_path: Path) -> None:
    root = replicas.olympic_sports(tmp_path)
    shutil.copy(root / "bowling" / "6fHdmzXVAXo_00050_00120.seq", root / "bowling" / "unlisted.seq")
    built = OlympicSports(OlympicSportsParams(root=str(root), frames=20, size=16))
    assert labels(built) == {
        "bowling/6fHdmzXVAXo_00050_00120": "bowling",
        "bowling/7sJkmzXVAXo_00010_00090": "bowling",
        "diving_platform_10m/1aBcmzXVAXo_00000_00100": "diving_platform_10m",
    }
    assert ids(built, "train") == {"bowling/6fHdmzXVAXo_00050_00120"}
    assert built.listing.strays == {"bowling/unlisted": "not in a list of training or test videos"}
    for sample in samples(built).values():
        assert sample.fps == 25.0
        assert np.abs(grey(sample) - [level(frame) for frame in range(20)]).max() < 2
    assert built.attributes == ()


def test_attributes_of_olympic_sports_are_those_of_the_copy(tmp_path: Path) -> None:
    root = replicas.olympic_sports(tmp_path)
    table = np.zeros((16, 2))
    table[SPORTS.index("bowling")] = 1, 0
    table[SPORTS.index("diving_platform_10m")] = 1, 1
    np.savez(root / "attributes.npz", table, SPORTS, [" Ball", "water"])
    built = OlympicSports(OlympicSportsParams(root=str(root), frames=4, size=16))
    assert built.attributes == ("Ball", "water")
    known = {id.split("/")[0]: sample.attributes["attributes"] for id, sample in samples(built).items()}
    assert known == {"bowling": ["Ball"], "diving_platform_10m": ["Ball", "water"]}


@pytest.mark.parametrize(("cut", "frames"), [(40, 19), (3000, 0)])
def test_only_the_last_frame_of_a_sequence_may_be_missing(tmp_path: Path, cut: int, frames: int) -> None:
    root = replicas.olympic_sports(tmp_path)
    file = root / "bowling" / "7sJkmzXVAXo_00010_00090.seq"
    file.write_bytes(file.read_bytes()[:-cut])
    built = OlympicSports(OlympicSportsParams(root=str(root), frames=19, size=16))
    entry = built.cache.fill({c.id: c.source for c in built.listing.clips}, "")["bowling/7sJkmzXVAXo_00010_00090"]
    if frames:
        assert entry.picked == tuple(range(frames))
    else:
        assert entry.problem.startswith("damaged: ")


def test_celebv_text_keeps_youtube_videos_together(tmp_path: Path) -> None:
    built = CelebVText(CelebVTextParams(root=str(replicas.celebv_text(tmp_path)), frames=4, size=16))
    found = samples(built)
    assert found["88e6FikYYGc_8_0"].attributes == {
        "youtube": "88e6FikYYGc",
        "texts": {"emotion": ["She is happy.", "Then sad."], "light_dir": ["Light from the left."]},
    }
    assert found["_-Ab3FikYYG_0_1"].attributes == {"youtube": "_-Ab3FikYYG", "texts": {}}
    sides = {clip.id: clip.split for clip in built.listing.clips}
    assert sides["88e6FikYYGc_8_0"] == sides["88e6FikYYGc_9_0"]
    assert built.values is None
    assert not built.classes


@pytest.mark.parametrize("given", [True, False], ids=["splits", "drawn"])
def test_folders_of_classes(tmp_path: Path, given: bool) -> None:
    parts = ("train", "val", "test") if given else (".",)
    for part in parts:
        for category in ("up", "down"):
            write_video(tmp_path / part / category / "a.mp4", film(6), **H264)
            write_pictures(tmp_path / part / category / "b", film(6))
    (tmp_path / parts[0] / "up" / "notes.txt").write_text("by hand")
    built = VideoFolder(VideoFolderParams(root=str(tmp_path), frames=3, size=16))
    assert built.classes == ("down", "up")
    found = labels(built)
    assert len(found) == 4 * len(parts)
    assert all(id.split("/")[-2] == label for id, label in found.items())
    assert [Path(name).name for name in built.listing.strays] == ["notes.txt"]
    if given:
        for split, part in zip(SPLITS, parts, strict=True):
            assert ids(built, split) == {f"{part}/{c}/{name}" for c in ("up", "down") for name in ("a.mp4", "b")}


def test_a_table_keeps_groups_together(tmp_path: Path) -> None:
    people = [f"person {number}" for number in range(60)]
    rows = [f"{person}/{take}.mp4,up,{person}" for person in people for take in range(3)]
    (tmp_path / "list.csv").write_text("path,label,group\n" + "\n".join(rows))
    (tmp_path / "person 0").mkdir()
    (tmp_path / "person 0" / "0.mp4").touch()
    clips = VideoFolder(VideoFolderParams(root=str(tmp_path / "list.csv"))).listing.clips
    sides = {split: {clip.group for clip in clips if clip.split == split} for split in SPLITS}
    assert sum(map(len, sides.values())) == 60
    assert len(sides["test"]) / 60 == pytest.approx(0.2, abs=3 * math.sqrt(0.16 / 60))
    assert len(sides["validation"]) / 48 == pytest.approx(0.1, abs=3 * math.sqrt(0.09 / 48))


def _clip(group: int, split: Split = "train") -> Clip:
    return Clip(f"{split}-{group}", VideoFile(Path("x")), 0, split, group=f"{group}" if group % 2 else "")


@given(st.sets(st.integers(0, 10**6), max_size=60), st.sets(st.integers(0, 10**6), max_size=5))
def test_validation_is_taken_from_training_by_group_and_leaves_some(train: set[int], test: set[int]) -> None:
    clips = [*map(_clip, train), *(_clip(group, "test") for group in test)]
    carved = with_validation(clips)
    assert [(c.id, c.group) for c in carved] == [(c.id, c.group) for c in clips]
    sides = {split: {c.group or c.id for c in carved if c.split == split} for split in SPLITS}
    assert not sides["train"] & sides["validation"]
    assert sum(c.split == "test" for c in carved) == len(test)
    assert bool(sides["validation"]) == (len(train) > 1)
    assert bool(sides["train"]) == bool(train)
    chosen = {c.id for c in with_validation([*clips, *map(_clip, range(-50, 0))]) if c.split == "validation"}
    few = {c.id for c in carved if c.split == "validation"}
    assert len(few - chosen) <= 1, "the choice hardly depends on which others there are"


def test_a_validation_split_that_is_given_is_kept() -> None:
    clips = (*map(_clip, range(30)), _clip(40, "validation"))
    assert with_validation(clips) == clips


def test_a_table_of_values(tmp_path: Path) -> None:
    write_video(tmp_path / "videos" / "a.mp4", film(6), rate=30, **H264)
    write_pictures(tmp_path / "videos" / "b", film(6))
    table = tmp_path / "list.csv"
    table.write_text("path,value,split,fps\nvideos/a.mp4,2.5,train,10\nvideos/b,12.5,test,\n")
    built = VideoFolder(VideoFolderParams(root=str(table), frames=6, size=16, unit="mm"))
    assert not built.classes
    assert built.values is not None
    assert (built.values.low, built.values.high, built.values.change, built.values.unit) == (2.5, 12.5, 2.5, "mm")
    assert {id: (sample.label, sample.fps) for id, sample in samples(built).items()} == {
        "videos/a.mp4": (2.5, 10.0),
        "videos/b": (12.5, 25.0),
    }
    assert ids(built, "test") == {"videos/b"}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("path\na.mp4\n", "needs the column path and either label or value"),
        ("path,label,value\na.mp4,x,1\n", "needs the column path and either label or value"),
        (
            "path,label,colour\na.mp4,x,red\n",
            "has an unknown column colour; columns are: path, label, value, split, group, fps",
        ),
        ("path,value\na.mp4,much\n", "line 2: value must be a number, not 'much'"),
        ("path,label,split\na.mp4,x,holdout\n", "line 2: split must be train, validation or test, not 'holdout'"),
        ("path,label\na.mp4,x\na.mp4,y\n", "lists a.mp4 more than once"),
        ("path,label,fps\na.mp4,x,0\n", "line 2: fps must be from 1e-05 to 20000, not 0"),
        ("path,label\na.mp4,\n", "line 2: the label is empty"),
        ("", "is not a readable CSV file"),
    ],
)
def test_invalid_tables_are_reported(tmp_path: Path, table: str, message: str) -> None:
    (tmp_path / "list.csv").write_text(table)
    with pytest.raises(UsageError) as told:
        VideoFolder(VideoFolderParams(root=str(tmp_path / "list.csv"))).size("train")
    assert message in str(told.value)


def test_cards_need_no_copy() -> None:
    for dataset, _, _ in DATASETS:
        assert dataset.home in dataset().card()
