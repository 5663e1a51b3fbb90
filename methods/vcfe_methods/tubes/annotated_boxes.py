"""The baseline of Kanehira et al. (CVPR 2019, section 4.1) for videos with boxes, and an attribute sampled at random.

On UCF101-24 the paper takes the boxes of an action detector (Singh et al., ICCV 2017) in place of the centre of the
frame. Here they are the annotated boxes of one of the video's objects or actors, chosen at random, so they locate it as
well as a perfect detector would. The attribute is sampled from all attributes of the dataset.
"""

from __future__ import annotations

import numpy as np
import torch

from vcfe_bench.interfaces import AnnotatedAttributes, Context, Query
from vcfe_methods.tubes.method import CentreParams, Tube, TubeMethod, sampled


class TubesBoxes(TubeMethod):
    """The boxes of an object chosen at random, as a detector would return them, and an attribute sampled at random."""

    Params = CentreParams

    @torch.no_grad()
    def find(self, query: Query, negative: int, context: Context) -> tuple[int, list[Tube]]:
        objects = query.sample.attributes.get("objects")
        if not objects:
            raise ValueError(f"the annotation of video '{query.sample.id}' has no boxes")
        assert isinstance(context.dataset, AnnotatedAttributes)
        attributes = context.dataset.attributes
        positive = int(context.target(query.sample.video[None]).argmax())
        chosen = sampled(query, len(attributes), self.params.pairs).tolist()
        places = torch.randint(len(objects), (len(chosen),), generator=query.generator("objects")).tolist()
        return positive, [
            Tube(attributes[s], np.array(objects[place]["boxes"], float), float("nan"))
            for s, place in zip(chosen, places, strict=True)
        ]
