"""The plan of a run: identities, goals, micro-batches."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields
from typing import Any

import pytest

from tests.harness.toys import ask, planned
from vcfe_bench.core import seeds
from vcfe_bench.core.errors import UsageError
from vcfe_bench.runs.configuration import NetworkIdentity
from vcfe_bench.runs.originals import Originals
from vcfe_bench.runs.plan import Plan, TaskKey, make
from vcfe_bench.runs.setup import resolve
from vcfe_bench.runs.video_order import video_order

PARTS: dict[str, Any] = {
    "method": "bttf[style=false]",
    "code": "0123456789abcdef",
    "learned": "",
    "video": "ab" * 32,
    "label": 1,
    "goal": "class=2",
    "target": "cd" * 32,
    "generator": "ef" * 32,
    "seed": 12345,
    "width": 4,
    "slot": 3,
    "threads": 2,
    "budget": 100.0,
}


def test_identity_has_not_changed() -> None:
    unlimited = {**PARTS, "budget": None}
    assert TaskKey(**unlimited).id == "22b71fd48c5a7f8ed72f"
    assert TaskKey(**{**unlimited, "generator": None, "label": 31.5}).id == "37441230e83ad020d2c3"


def test_seeds_have_not_changed() -> None:
    assert seeds.derive(0, "00016", "bttf") == 8488578502483670135


def test_a_key_has_no_other_parts() -> None:
    assert [field.name for field in fields(TaskKey)] == list(PARTS)


@pytest.mark.parametrize("part", PARTS)
def test_identity_depends_on_every_part(part: str) -> None:
    changed = {**PARTS, part: PARTS[part] + 1 if isinstance(PARTS[part], int | float) else "other"}
    assert TaskKey(**changed).id != TaskKey(**PARTS).id


def test_task_ids_follow_content_not_surroundings() -> None:
    few, many = (planned("toy_push", "toy_half", limit=limit)[1].tasks for limit in (4, 8))
    assert {task.id for task in few} < {task.id for task in many}
    assert len({task.id for task in many}) == len(many)
    other_target = planned("toy_push", "toy_half", limit=4, target="toy_conv[version=2]")[1].tasks
    other_seed = planned("toy_push", "toy_half", limit=4, seed=1)[1].tasks
    for others in (other_target, other_seed):
        assert not {task.id for task in few} & {task.id for task in others}


def test_only_a_method_that_uses_the_generator_depends_on_it() -> None:
    having = {task.id for task in planned("toy_push")[1].tasks if task.method == "toy_push"}
    lacking = {task.id for task in planned("toy_push", generator="none")[1].tasks if task.method == "toy_push"}
    assert having == lacking


def test_one_draws_balanced_goals_other_than_the_prediction() -> None:
    tasks = [task for task in planned(limit=30)[1].tasks if task.method == "toy_push"]
    assert len(tasks) == 30
    counts = Counter(str(task.goal) for task in tasks)
    assert max(counts.values()) - min(counts.values()) <= 1
    pairs = Counter((task.original.prediction, str(task.goal)) for task in tasks)
    assert len(pairs) == 6
    assert max(pairs.values()) - min(pairs.values()) <= 2
    assert all(task.goal.index != task.original.prediction for task in tasks)
    reseeded = [task for task in planned(limit=30, seed=1)[1].tasks if task.method == "toy_push"]
    assert [task.goal for task in tasks] != [task.goal for task in reseeded]


def test_all_requests_every_other_class() -> None:
    tasks = [task for task in planned(limit=4, goals="all")[1].tasks if task.method == "toy_push"]
    assert [(task.original.prediction, task.goal.index) for task in tasks[:4]] == [(0, 1), (0, 2), (1, 0), (1, 2)]


def test_a_pair_takes_the_first_videos_with_that_prediction_and_the_last_as_others() -> None:
    setup, plan = planned(limit=3, goals="middle:right")
    tasks = [task for task in plan.tasks if task.method == "toy_push"]
    assert [task.original.sample for task in tasks] == ["light-1", "light-4", "light-7"]
    assert {str(task.goal) for task in tasks} == {"class=2"}
    assert [setup.dataset.sample("test", index).id for index in plan.others] == ["light-37", "light-34", "light-31"]
    assert setup.classes == ("left", "middle", "right")


def videos(plan: Plan) -> list[int]:
    return [task.original.index for task in plan.tasks if task.method == "no_edit"]


@pytest.mark.parametrize("dataset", ["toy_lights", "toy_dimmer"])
def test_videos_are_taken_in_the_order_of_the_split_and_others_from_its_end(dataset: str) -> None:
    setup, plan = planned(limit=5, dataset=dataset, generator="none")
    order = video_order(setup.dataset, "test")
    assert videos(plan) == order[:5]
    assert plan.others == tuple(order[:-6:-1])
    larger = planned(limit=12, dataset=dataset, generator="none", seed=3)[1]
    assert videos(larger)[:5] == videos(plan)
    assert larger.others[:5] == plan.others


def test_others_are_never_explained() -> None:
    plan = planned(limit=5, dataset="toy_lights[videos=8]")[1]
    assert len(plan.others) == 3
    assert not set(plan.others) & set(videos(plan))


def test_the_target_is_run_on_no_more_videos_than_needed() -> None:
    setup = resolve(ask(limit=4))
    originals = Originals(setup, {})
    make(setup, originals)
    assert len(originals.known) == 8


def test_micro_batches_have_one_task_per_slot_and_references_first() -> None:
    plan = planned(limit=7, goals="all")[1]
    batches = plan.batches(set())
    assert [batch.method.spec for batch in batches[:1]] == ["true_edit"]
    for batch in batches:
        slots = [task.slot for task in batch.tasks]
        assert len(set(slots)) == len(slots) <= batch.method.width
        assert max(slots) < batch.method.width
    assert sum(len(batch.tasks) for batch in batches) == len(plan.tasks)
    done = {task.id for task in plan.tasks[1:]}
    (batch,) = plan.batches(done)
    assert batch.tasks == plan.tasks[:1]


def test_unsupported_tasks_carry_their_reason() -> None:
    tasks = [task for task in planned("toy_picky", limit=9)[1].tasks if task.method == "toy_picky"]
    assert {task.skip for task in tasks} == {None, "wants to go right"}
    tasks = [task for task in planned(generator="none")[1].tasks if task.method == "reconstruction"]
    assert {task.skip for task in tasks} == {"needs a generator"}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"limit": 0}, "--limit must be at least 1, not 0"),
        ({"split": "tets"}, "unknown split 'tets'; did you mean 'test'?"),
        ({"goals": "some"}, "--goals must be one, all or SRC:DST, not 'some'"),
        ({"goals": "left:rihgt"}, "unknown class 'rihgt' in --goals; did you mean 'right'?"),
        ({"goals": "left:left"}, "--goals left:left requests no change"),
        ({"preset": "storng"}, "no chosen method has a preset 'storng'; did you mean 'strong'?"),
        ({"dataset": "toy_lights[frames=4]"}, "generator 'toy_blocks' does not fit dataset 'toy_lights[frames=4]'"),
        ({"dataset": "shape_moving", "target": "toy_conv"}, "target 'toy_conv' has the classes left, middle, right"),
        ({"target": "toy_con"}, "unknown target 'toy_con'; did you mean 'toy_conv'?"),
    ],
)
def test_requests_that_cannot_be_met(wrong: dict, message: str) -> None:
    with pytest.raises(UsageError) as error:
        resolve(ask(**wrong))
    assert str(error.value).startswith(message)


def test_no_video_fits() -> None:
    with pytest.raises(
        UsageError, match="--goals right:left suits none of the target's predictions for the test split"
    ):
        planned(goals="right:left", dataset="toy_lights[videos=2]")


def test_the_configuration_has_everything_that_determines_results() -> None:
    setup = resolve(ask("toy_push[steps=7]", preset="strong"))
    configuration = setup.configuration()
    assert list(configuration.methods) == ["toy_push[rate=60.0,steps=7]", "true_edit", "reconstruction", "no_edit"]
    assert configuration.target == NetworkIdentity("toy_conv", "conv-1")
    same = resolve(ask("toy_push[rate=60,steps=7]")).configuration()
    assert same == configuration
