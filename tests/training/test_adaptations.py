"""Which videos and which prompt a generator is adapted with."""

from __future__ import annotations

import pytest

from vcfe_bench.core.errors import UsageError
from vcfe_bench.plugins import specs
from vcfe_bench.plugins.registry import DATASETS
from vcfe_bench.training.adaptations import ADAPTATIONS, as_in_the_paper


def test_mead_is_adapted_on_celebv_text_in_its_own_clip_format() -> None:
    dataset, generator = as_in_the_paper("mead[root=/data/mead,frames=17,size=256,view=top]", "wan[path=base]")
    assert specs.parse(dataset) == ("celebv_text", {"frames": "17", "size": "256"})
    name, settings = specs.parse(generator)
    assert (name, settings["path"]) == ("wan", "base")
    assert "face" in settings["prompt"]


@pytest.mark.parametrize("dataset", ["shape_moving", "ntu_rgbd[split=random]"])
def test_others_are_adapted_on_their_own_videos(dataset: str) -> None:
    assert as_in_the_paper(dataset, "wan[path=base]")[0] == dataset


def test_a_given_prompt_is_kept() -> None:
    assert specs.parse(as_in_the_paper("mead", "wan[path=base,prompt=A face]")[1])[1]["prompt"] == "A face"


def test_every_adaptation_is_of_a_dataset_and_names_no_class() -> None:
    for name, adaptation in ADAPTATIONS.items():
        classes = DATASETS.load(name).classes
        known = classes if isinstance(classes, tuple) else ()
        words = {word.strip(",.").lower() for word in adaptation.prompt.split()}
        assert not words & {str(label).lower() for label in known}
        assert not adaptation.videos or adaptation.videos in ADAPTATIONS
    with pytest.raises(UsageError, match="did you mean 'mead'"):
        as_in_the_paper("meat", "wan[path=base]")
