from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vcfe_methods.tubes.pooling import best_path, maximum_subpath, minimum_subpath


@st.composite
def maps(draw):
    """Small maps ``[1, V, T, H, W]`` of integers, which have many ties and exact sums."""
    shape = [1, *(draw(st.integers(1, most)) for most in (2, 4, 3, 3))]
    values = draw(st.lists(st.integers(-3, 3), min_size=torch.Size(shape).numel(), max_size=torch.Size(shape).numel()))
    return torch.tensor(values, dtype=torch.float32).view(shape)


def paths(shape):
    """All tubes of a map ``[V, T, H, W]``, as lists of cells (v, t, i, j)."""
    variants, frames, height, width = shape
    cells = list(itertools.product(range(variants), range(height), range(width)))
    for first in range(frames):
        tubes = [[(v, first, i, j)] for v, i, j in cells]
        yield from tubes
        for t in range(first + 1, frames):
            tubes = [
                [*path, (v, t, i, j)]
                for path in tubes
                for v, i, j in cells
                if abs(path[-1][2] - i) <= 1 and abs(path[-1][3] - j) <= 1
            ]
            yield from tubes


def total(scores, path) -> float:
    return sum(float(scores[cell]) for cell in path)


@given(maps())
@settings(max_examples=60, deadline=None)
def test_value_and_path_equal_brute_force(scores):
    if scores.numel() > 40:
        scores = scores[:, :, :3, :2]
    best = max(total(scores[0], path) for path in paths(scores.shape[1:]))
    assert float(maximum_subpath(scores)) == best
    cells = best_path(scores)[0]
    taken = sorted(map(tuple, cells.nonzero().tolist()), key=lambda cell: cell[1])
    assert float(scores[0][cells].sum()) == best
    steps = list(itertools.pairwise(taken))
    assert len(taken) >= 1
    assert all(b[1] == a[1] + 1 and abs(b[2] - a[2]) <= 1 and abs(b[3] - a[3]) <= 1 for a, b in steps)
    assert float(minimum_subpath(scores)) == min(total(scores[0], path) for path in paths(scores.shape[1:]))


@given(maps())
@settings(max_examples=60, deadline=None)
def test_the_gradient_is_one_on_the_path_and_zero_elsewhere(scores):
    scores.requires_grad_()
    (gradient,) = torch.autograd.grad(maximum_subpath(scores).sum(), scores)
    assert set(gradient.unique().tolist()) <= {0.0, 1.0}
    assert torch.equal(gradient == 1, best_path(scores))
    per_frame = gradient.sum(dim=(1, 3, 4))
    assert per_frame.max() == 1


def test_a_tube_starts_and_ends_at_the_best_frames():
    scores = -torch.ones(1, 1, 6, 4, 4)
    for t, (i, j) in zip((1, 2, 3), ((0, 0), (1, 1), (1, 2)), strict=True):
        scores[0, 0, t, i, j] = 2
    assert maximum_subpath(scores).tolist() == [6]
    assert best_path(scores).nonzero().tolist() == [[0, 0, 1, 0, 0], [0, 0, 2, 1, 1], [0, 0, 3, 1, 2]]


def test_a_tube_crosses_a_gap_if_the_sum_increases_but_never_jumps():
    scores = torch.full((2, 1, 3, 1, 4), -10.0)
    scores[:, 0, 0, 0, 0] = 5
    scores[:, 0, 1, 0, 1] = -1
    scores[0, 0, 2, 0, 2] = scores[1, 0, 2, 0, 3] = 4
    assert maximum_subpath(scores).tolist() == [8, 5]


def test_a_tube_is_never_empty():
    assert maximum_subpath(torch.full((1, 2, 3, 2, 2), -2.0)).tolist() == [-2]


@pytest.mark.parametrize("dimension", [2, 3, 4])
def test_mirrored_maps_have_mirrored_tubes(dimension):
    scores = torch.randn(5, 3, 7, 6, 5, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(maximum_subpath(scores.flip(dimension)), maximum_subpath(scores))
    assert torch.equal(best_path(scores.flip(dimension)), best_path(scores).flip(dimension))
