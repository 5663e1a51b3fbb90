"""Maximum subpath pooling (Kanehira et al., CVPR 2019, section 3.5): the best tube through a map of scores.

A tube R is a path with one cell per frame: it starts at any cell of any frame, moves by at most one cell in height and
in width between consecutive frames, ends at any frame, and is not empty. Its score is the sum over its cells.

Section 3.6 adds scales and shapes, represented here as one axis of V variants. The paper applies the same algorithm to
the 5-D tensor and does not say how a path moves along the new axes. Here, each cell of a path takes its best variant.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def maximum_subpath(scores: Tensor) -> Tensor:
    """Largest score of a tube through each map: ``[B, V, T, H, W]`` to ``[B]``.

    Kadane's recursion over time, S_t = m_t + relu(maxpool_3×3(S_{t-1})), vectorised over the cells of a frame. The
    result is the maximum of S over *all* frames; the maximum over the last frame only, one reading of Figure 3, would
    force tubes to extend to the end of the clip.

    The gradient is 1 on the cells of one best tube and 0 elsewhere; ties are resolved in favour of a single tube.
    """
    frames = scores.max(dim=1).values.unbind(dim=1)
    sums = [frames[0]]
    for frame in frames[1:]:
        sums.append(frame + F.relu(F.max_pool2d(sums[-1], 3, stride=1, padding=1)))
    return torch.stack(sums, dim=1).flatten(1).max(dim=1).values


def minimum_subpath(scores: Tensor) -> Tensor:
    """Smallest score of a tube through each map: ``[B, V, T, H, W]`` to ``[B]``."""
    return -maximum_subpath(-scores)


def best_path(scores: Tensor) -> Tensor:
    """Cells of the best tube through each map ``[B, V, T, H, W]``, as bool: those where the gradient is 1."""
    scores = scores.detach().requires_grad_()
    with torch.enable_grad():
        total = maximum_subpath(scores).sum()
    return torch.autograd.grad(total, scores)[0] == 1
