"""The shipped networks have the properties on their cards."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from vcfe_bench import models
from vcfe_bench.plugins.registry import DATASETS, GENERATORS, METHODS, TARGETS
from vcfe_bench.results.gate import baseline
from vcfe_bench.runs.setup import Request
from vcfe_bench.workflows import run as runner
from vcfe_bench.workflows.evaluate_models import evaluate_generator, evaluate_target

ZOO = Path(models.__file__).parent / "zoo"


def _bytes(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*.safetensors")) if path.is_dir() else path.stat().st_size


def test_sizes():
    shape_moving, shape_shortcut = ("m_swin", "m_swin_r", "m_c3d"), ("clean_swin", "clean_c3d", "shortcut_swin")
    shape_crowd = ("crowd_swin", "crowd_c3d", "bystander_swin")
    others = ("scenes_c3d", "phantom_swin", "phantom_c3d", "conditional-echo_phantom")
    for name in (*shape_moving, *shape_shortcut, *shape_crowd, *others):
        assert _bytes(ZOO / f"{name}.safetensors") <= 3e6
    for name in ("wan_shape_moving", "wan_shape_shortcut", "wan_shape_crowd", "wan_echo_phantom"):
        assert _bytes(ZOO / name) <= 11e6


def _measured(target: str, dataset: str, limit: int, attacked: int) -> dict[str, Any]:
    attack = METHODS.build("pgd[random_start=true]")
    return evaluate_target(TARGETS.build(target), DATASETS.build(dataset), attack, limit, attacked)


@pytest.mark.slow
def test_m_swin_is_accurate_reads_motion_and_has_no_robustness():
    results = _measured("m_swin", "shape_moving", 400, 16)
    assert results["accuracy"] >= 0.995
    assert results["reversed_opposite"] >= 0.95
    assert results["robust_accuracy"] <= 0.2


@pytest.mark.slow
def test_m_swin_r_is_robust():
    results = _measured("m_swin_r", "shape_moving", 200, 64)
    assert results["accuracy"] >= 0.98
    assert results["reversed_opposite"] >= 0.95
    assert results["robust_accuracy"] >= 0.5


@pytest.mark.slow
def test_m_c3d_is_accurate_reads_motion_and_is_robust_without_adversarial_training():
    results = _measured("m_c3d", "shape_moving", 200, 64)
    assert results["accuracy"] >= 0.995
    assert results["reversed_opposite"] >= 0.95
    assert results["robust_accuracy"] >= 0.8


@pytest.mark.slow
def test_scenes_c3d_is_accurate():
    assert _measured("scenes_c3d", "shape_scenes", 300, 1)["accuracy"] >= 0.9


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "dataset", "accuracy", "unlinked", "follows", "attacked"),
    [
        ("clean_swin", "shape_shortcut", 0.99, (0.95, 1.0), ("follows_distractor", 0.0, 0.4), 8),
        ("clean_c3d", "shape_shortcut", 0.99, (0.95, 1.0), ("follows_distractor", 0.0, 0.4), 1),
        ("shortcut_swin", "shape_shortcut", 0.99, (0.0, 0.4), ("follows_distractor", 0.95, 1.0), 8),
        ("crowd_swin", "shape_crowd", 0.95, (0.95, 1.0), ("follows_blue", 0.0, 0.25), 1),
        ("crowd_c3d", "shape_crowd", 0.95, (0.95, 1.0), ("follows_blue", 0.0, 0.25), 1),
        ("bystander_swin", "shape_crowd[link=1]", 0.95, (0.0, 0.25), ("follows_blue", 0.95, 1.0), 1),
    ],
)
def test_a_target_relies_on_the_object_of_its_card(target, dataset, accuracy, unlinked, follows, attacked):
    results = _measured(target, dataset, 200, attacked)
    name, low, high = follows
    assert results["accuracy"] >= accuracy
    assert unlinked[0] <= results["accuracy_unlinked"] <= unlinked[1]
    assert low <= results[name] <= high


@pytest.mark.slow
@pytest.mark.parametrize(("target", "error"), [("phantom_swin", 2), ("phantom_c3d", 1)])
def test_targets_of_the_echo_phantom_read_the_ejection_fraction(target, error):
    results = _measured(target, "echo_phantom", 200, 1)
    assert results["mae"] <= error
    assert results["r2"] >= 0.98


@pytest.mark.slow
def test_the_explainer_of_scenes_c3d_finds_more_than_the_baselines(tmp_path: Path):
    request = Request(("tubes", "tubes_random", "tubes_center"), "shape_scenes", limit=16, goals="all")
    board = baseline.of_run(runner.run(request, tmp_path / "run", ("positive_drop", "concept_top3"))).frame
    drop, concept = (board.set_index("method")[name] for name in ("positive_drop", "concept@3"))
    assert drop["tubes"] >= 0.8
    assert drop["tubes"] >= drop["tubes_center"] + 0.1
    assert concept["tubes"] > max(concept["tubes_random"], concept["tubes_center"])


@pytest.mark.slow
def test_the_conditional_generator_approaches_values_without_a_gradient(tmp_path: Path):
    request = Request(("conditional",), "echo_phantom", limit=8, goals="uniform")
    result = baseline.of_run(runner.run(request, tmp_path / "run", ("mae",)))
    errors = result.frame.set_index("method")["MAE"]
    assert result.frame.set_index("method").loc["conditional", "answered"] == 8
    assert errors["conditional"] <= 0.75 * errors["no_edit"]


def _made(generator: str, target: str, dataset: str, limit: int, noises: int) -> dict[str, Any]:
    built = GENERATORS.build(generator), TARGETS.build(target), DATASETS.build(dataset)
    return evaluate_generator(*built, limit=limit, steps=15, noises=noises)


@pytest.fixture(scope="module")
def generator_card():
    return _made("wan_shape_moving", "m_swin", "shape_moving", limit=96, noises=64)


@pytest.mark.slow
def test_the_generator_reconstructs(generator_card):
    assert generator_card["reconstruction_error"] <= 0.01
    assert generator_card["reconstruction_target"] >= 0.99
    assert generator_card["reconstruction_oracle"] >= 0.95


@pytest.mark.slow
def test_the_same_noise_gives_the_same_video(generator_card):
    assert generator_card["repeatable"]


@pytest.mark.slow
def test_samples_contain_one_object_that_starts_at_the_right_position(generator_card):
    assert generator_card["coherent"] >= 0.9
    assert generator_card["first_frame_error"] <= 0.03
    assert all(generator_card["directions"][name] >= 0.1 for name in ("up", "down", "left", "right"))


@pytest.mark.slow
def test_the_generator_of_shape_shortcut_keeps_both_motions_and_makes_whole_objects():
    card = _made("wan_shape_shortcut", "clean_swin", "shape_shortcut", limit=24, noises=8)
    assert card["reconstruction_error"] <= 0.01
    assert card["reconstruction_oracle"] >= 0.9
    assert card["coherent"] >= 0.7


@pytest.mark.slow
def test_the_generator_of_shape_crowd_keeps_all_motions_and_makes_whole_objects():
    card = _made("wan_shape_crowd", "crowd_swin", "shape_crowd", limit=16, noises=4)
    assert card["reconstruction_error"] <= 0.005
    assert card["reconstruction_oracle"] == 1
    assert card["reconstruction_identity"] >= 0.7
    assert card["coherent"] >= 0.6


@pytest.mark.slow
def test_the_generator_of_the_phantom_keeps_the_ejection_fraction():
    card = _made("wan_echo_phantom", "phantom_swin", "echo_phantom", limit=48, noises=8)
    assert card["reconstruction_shift_95"] <= 2
    assert card["reconstruction_error"] <= 0.03
    assert card["repeatable"]


def test_the_page_on_networks_links_every_card() -> None:
    cards = {card.stem if card.parent == ZOO else card.parent.name for card in (*ZOO.glob("*.md"), *ZOO.glob("*/*.md"))}
    page = (Path(__file__).parents[1] / "docs" / "networks.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\(models/([\w-]+)\.md\)", page)) == cards
