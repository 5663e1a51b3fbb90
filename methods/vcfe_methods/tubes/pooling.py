"""Maximum subpath pooling (Kanehira et al., CVPR 2019, section 3.5): the best tube through a map of scores.

A tube is a path R with at most one cell a frame: it starts at any cell of any frame, moves by at most one cell in
height and in width from a frame to the next, ends at any frame, and is never empty. Its score is the sum over all its
cells.

Section 3.6 adds scales and shapes, here one axis of V variants; the paper lets the same algorithm run on the 5-D tensor
and does not say how a path moves along the new axes. Here every cell of a path has the variant that is best there.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def maximum_subpath(scores: Tensor) -> Tensor:
    """Greatest score of a tube through each map: ``[B, V, T, H, W]`` to ``[B]``.

    Kadane's recursion over time, S_t = m_t + relu(maxpool_3×3(S_{t-1})), each frame in one go. The greatest S of *all*
    frames counts: the greatest of the last frame alone, as Figure 3 may be read, would bind tubes to the end.

    The gradient is 1 on the cells of one best tube and 0 elsewhere; where several are best, one of them is taken.
    """
    frames = scores.max(dim=1).values.unbind(dim=1)
    sums = [frames[0]]
    for frame in frames[1:]:
        sums.append(frame + F.relu(F.max_pool2d(sums[-1], 3, stride=1, padding=1)))
    return torch.stack(sums, dim=1).flatten(1).max(dim=1).values


def minimum_subpath(scores: Tensor) -> Tensor:
    """Least score of a tube through each map: ``[B, V, T, H, W]`` to ``[B]``."""
    return -maximum_subpath(-scores)


def best_path(scores: Tensor) -> Tensor:
    """The cells of the best tube through each map of ``[B, V, T, H, W]``, as bool: where the gradient is 1."""
    scores = scores.detach().requires_grad_()
    with torch.enable_grad():
        total = maximum_subpath(scores).sum()
    return torch.autograd.grad(total, scores)[0] == 1
