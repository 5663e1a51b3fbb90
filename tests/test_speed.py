"""What a run does thousands of times, for ``nox -s bench``; elsewhere each runs once, as a test of its result."""

from __future__ import annotations

import pytest
import torch

from vcfe_bench.core import seeds
from vcfe_bench.diffusion import gradient_through
from vcfe_bench.goals import ClassGoal
from vcfe_bench.interfaces import Case, Context, Query
from vcfe_bench.plugins import registry
from vcfe_bench.video import lossless

pytestmark = pytest.mark.filterwarnings("ignore:Mismatch dtype")


@pytest.fixture(scope="module")
def dataset():
    return registry.DATASETS.build("shape_moving")


@pytest.fixture(scope="module")
def target(dataset):
    return registry.TARGETS.build(dataset.target).eval().requires_grad_(False)


def test_rendering(benchmark, dataset):
    sample = benchmark(dataset.sample, "test", 7)
    assert sample.video.shape == (17, 3, 64, 64)


def test_oracle(benchmark, dataset):
    sample = dataset.sample("validation", 7)
    assert benchmark(dataset.oracle, sample, sample.video) == sample.label


def test_storing_and_reading_back(benchmark, dataset, tmp_path):
    pixels = lossless.quantise(dataset.sample("validation", 7).video)

    def there_and_back():
        lossless.write(tmp_path / f"video{lossless.SUFFIX}", pixels, 16.0)
        return lossless.read(tmp_path / f"video{lossless.SUFFIX}")

    assert benchmark(there_and_back).equal(pixels)


@pytest.mark.parametrize("name", ["ssim", "lpips_st_alex"])
def test_metric(benchmark, dataset, name):
    sample = dataset.sample("validation", 7)
    case = Case(dataset, sample, ClassGoal(0), dataset.true_edit(sample, ClassGoal(0)), torch.zeros(4), torch.zeros(4))
    assert 0 < benchmark(registry.METRICS.build(name).score, case) < 1


def test_attack(benchmark, dataset, target):
    pgd = registry.METHODS.build("pgd")
    samples = [dataset.sample("validation", index) for index in range(pgd.width)]
    queries = [Query(s, ClassGoal(int(s.label) ^ 1), seeds.derive(0, s.id)) for s in samples]
    explanations = benchmark(pgd.run, queries, Context(dataset, target))
    with torch.no_grad():
        after = target(torch.stack([explanation.video for explanation in explanations]))
    assert after.argmax(1).tolist() == [query.goal.index for query in queries]


@pytest.mark.parametrize("steps", [1, 6])
def test_gradient_through_sampling(benchmark, dataset, steps):
    generator = registry.GENERATORS.build(dataset.generator)
    condition = generator.condition(dataset.sample("validation", 7).video[:1], dataset.shape)
    noise = torch.randn(1, *generator.latent_shape(dataset.shape), generator=torch.Generator().manual_seed(0))
    _, gradient = benchmark(
        gradient_through, generator, noise, condition, steps, lambda latent: latent.square().flatten(1).sum(1)
    )
    assert gradient.abs().max() > 0
