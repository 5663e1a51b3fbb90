"""How generators are adapted for each dataset: on which videos, and with which fixed prompt.

The BTTF paper (arXiv 2511.20295, section 4.1) adapts its generator to Shape-Moving and to NTU RGB+D on their own
training videos and, for MEAD, on CelebV-Text, which has more people. Its prompt names no class. It gives that of
Shape-Moving only; the other prompts are ours, in the same form.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vcfe_bench.core.errors import UsageError, nearest
from vcfe_bench.plugins import specs


@dataclass(frozen=True)
class Adaptation:
    """``prompt``: the fixed, class-agnostic prompt. ``videos``: name of the dataset to train on; empty for its own."""

    prompt: str
    videos: str = ""


FACE = "This is a video of a talking face"
ADAPTATIONS: Mapping[str, Adaptation] = {
    "shape_moving": Adaptation("This is a synthetic video"),
    "shape_shortcut": Adaptation("This is a synthetic video"),
    "shape_scenes": Adaptation("This is a synthetic video"),
    "shape_crowd": Adaptation("This is a synthetic video"),
    "echo_phantom": Adaptation("This is a synthetic video"),
    "mead": Adaptation(FACE, "celebv_text"),
    "celebv_text": Adaptation(FACE),
    "ferv39k": Adaptation("This is a video of a face in a film", "celebv_text"),
    "ntu_rgbd": Adaptation("This is a video of people indoors"),
    "echonet_dynamic": Adaptation("This is an echocardiogram"),
    "something_something_v2": Adaptation("This is a video of hands and objects"),
    "ucf101_24": Adaptation("This is a video of people"),
    "olympic_sports": Adaptation("This is a video of people"),
}
CLIP = ("frames", "size")
"""Parameters that a dataset shares with the one whose generator is trained on it."""


def as_in_the_paper(dataset: str, generator: str) -> tuple[str, str]:
    """Specs of the dataset to train on and of the generator to adapt, for the dataset that is to be explained.

    The clip format is that of the dataset; a prompt that the generator's spec states is kept.

    Raises:
        UsageError: no adaptation of this dataset is known.
    """
    name, parameters = specs.parse(dataset)
    if name not in ADAPTATIONS:
        raise UsageError(f"no adaptation for dataset '{name}' is known; {nearest(name, ADAPTATIONS)}")
    adaptation = ADAPTATIONS[name]
    if adaptation.videos:
        dataset = specs.format(adaptation.videos, {key: parameters[key] for key in CLIP if key in parameters})
    base, settings = specs.parse(generator)
    return dataset, specs.format(base, {"prompt": adaptation.prompt, **settings})
