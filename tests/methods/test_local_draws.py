from __future__ import annotations

import pytest
import torch

from tests.methods.small import SHAPE, Linear, make_queries, passes
from tests.methods.toy_generator import ToyGenerator
from vcfe_bench.diffusion import denoise, invert
from vcfe_bench.interfaces import Context, Target
from vcfe_methods.local_draws import LocalDrawParams, LocalDraws, area_of_interest
from vcfe_methods.random_draws import NearestDraw

STEPS, ROUNDS, DRAWS = 3, 2, 5
PARAMS = LocalDrawParams(steps=STEPS, rounds=ROUNDS, draws=DRAWS, area=0.25)


class Corner(Target):
    """Looks at the upper left quarter of the frame."""

    classes = ("dark", "bright")
    fingerprint = "corner"

    def forward(self, video):
        brightness = video[..., : SHAPE[1] // 2, : SHAPE[2] // 2].mean(dim=(1, 2, 3, 4)) - 0.5
        return torch.stack([-brightness, brightness], dim=1) * 100


def _context(target: Target) -> Context:
    return Context(dataset=None, target=target, generator=ToyGenerator())


@torch.no_grad()
def test_the_sampler_is_inverted():
    generator = ToyGenerator()
    latent = torch.randn(2, *generator.latent_shape(SHAPE), generator=torch.Generator().manual_seed(0)) / 4
    condition = generator.condition(torch.full((2, 3, *SHAPE[1:]), 0.5), SHAPE)
    errors = [
        (denoise(generator, invert(generator, latent, condition, 8, rounds), condition, 8) - latent).abs().max().item()
        for rounds in (1, 4, 16)
    ]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 1e-4


def test_the_noise_outside_the_area_is_that_of_the_original():
    context = _context(Corner())
    query = make_queries()[0]
    generator = context.generator
    condition = generator.condition(query.sample.video[:1], SHAPE)
    with torch.no_grad():
        source = LocalDraws(PARAMS).source(query, context, condition)
        inverted = invert(generator, generator.encode(query.sample.video[None]), condition, STEPS, ROUNDS)
    ones = torch.full_like(inverted, 7.0)
    drawn = source(ones) == ones
    rows, columns = SHAPE[1] // 2, SHAPE[2] // 2
    share = drawn.float().mean(dim=(0, 1, 2))
    assert torch.equal(share[: rows // 2, : columns // 2], torch.ones(rows // 2, columns // 2))
    assert share.sum() == rows * columns / 4
    assert torch.equal(source(ones)[~drawn], inverted[~drawn])


@pytest.mark.parametrize("share", [0.01, 0.3, 1.0])
def test_the_area_has_the_requested_size_and_the_largest_gradients(share):
    gradient = torch.randn(1, 2, 3, 10, 12, generator=torch.Generator().manual_seed(1))
    area = area_of_interest(gradient, share)
    assert area.sum() == max(1, round(share * 120))
    padded = torch.nn.functional.pad(gradient.abs().sum((0, 1, 2)), (1, 1, 1, 1), value=torch.nan)
    means = padded.unfold(0, 3, 1).unfold(1, 3, 1).nanmean(dim=(2, 3))
    assert means[area].min() >= (means[~area].max() if share < 1 else -torch.inf)


def test_calls():
    _, counts = passes(LocalDraws(PARAMS), make_queries(), _context(Linear()))
    assert (
        counts
        == [
            {
                "condition": (1, 0),
                "encode": (1, 0),
                "velocity": (STEPS * (ROUNDS + DRAWS), 0),
                "decode": (1 + DRAWS, 1),
                "target": (1 + DRAWS, 1),
            }
        ]
        * 4
    )


def test_less_of_the_video_changes_than_with_noise_that_is_drawn_everywhere():
    context, queries = _context(Corner()), make_queries()
    parameters = {"steps": STEPS, "draws": DRAWS}
    everywhere = NearestDraw(NearestDraw.Params(**parameters)).run(queries, context)
    local = LocalDraws(LocalDrawParams(rounds=16, area=0.25, **parameters)).run(queries, context)
    for query, one, other in zip(queries, local, everywhere, strict=True):
        outside = slice(SHAPE[1] // 2 + 4, None)
        changes = [(e.video - query.sample.video).abs()[:, :, outside, outside].mean() for e in (one, other)]
        assert changes[0] < changes[1]
