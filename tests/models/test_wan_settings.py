"""Settings for memory and speed do not change the results of a Wan; devices of its tensors."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from tests.models import pipelines
from tests.models.pipelines import SHAPE
from tests.test_devices import fake_cuda
from vcfe_bench.models.cogvideox import CogVideoX
from vcfe_bench.models.latent_video import LatentVideoGenerator, architecture
from vcfe_bench.models.wan import Wan
from vcfe_bench.models.wan_experts import WanExperts
from vcfe_bench.models.wan_ti2v import WanTI2V


@pytest.fixture(scope="module")
def directory(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("wan")
    pipelines.wan().save_pretrained(directory)
    return directory


def _velocity_and_gradient(directory: Path, **settings) -> tuple[torch.Tensor, torch.Tensor]:
    chosen = {"dtype": "float32", "device": "cpu", "activations": "keep", **settings}
    generator = Wan(Wan.Params(path=str(directory), **chosen))
    latent = torch.randn(2, *generator.latent_shape(SHAPE), generator=torch.Generator().manual_seed(1)).requires_grad_()
    velocity = generator.velocity(latent, 0.7, generator.condition(pipelines.first_frame(), SHAPE))
    assert velocity.dtype == torch.float32
    return velocity.detach(), torch.autograd.grad(velocity.square().sum(), latent)[0]


@pytest.mark.parametrize(
    "settings", [{"activations": "recompute"}, {"activations": "offload"}, {"attention": "native"}]
)
def test_settings_of_memory_and_speed_change_no_number(directory, settings):
    for plain, other in zip(
        _velocity_and_gradient(directory), _velocity_and_gradient(directory, **settings), strict=True
    ):
        assert torch.equal(plain, other)


@pytest.mark.parametrize("settings", [{"dtype": "bfloat16"}, {"storage": "float8"}])
def test_float8_changes_results_little(directory, settings):
    for plain, other in zip(
        _velocity_and_gradient(directory), _velocity_and_gradient(directory, **settings), strict=True
    ):
        assert not torch.equal(plain, other)
        assert torch.nn.functional.cosine_similarity(plain.flatten(), other.flatten(), dim=0) > 0.98


def test_activation_storage_of_the_decoder_changes_no_number(directory):
    results = []
    for activations in ("keep", "recompute", "offload"):
        generator = Wan(Wan.Params(path=str(directory), dtype="float32", device="cpu", activations=activations))
        latent = torch.randn(1, *generator.latent_shape(SHAPE), generator=torch.Generator().manual_seed(1))
        video = generator.decode(latent.requires_grad_())
        results.append((video.detach(), *torch.autograd.grad(video.square().sum(), latent)))
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_float8_stores_the_linear_weights_of_the_blocks_in_a_byte(directory):
    generator = Wan(Wan.Params(path=str(directory), dtype="bfloat16", storage="float8", device="cpu"))
    block = generator.model.transformer.blocks[0]
    assert {block.attn1.to_q.weight.dtype, block.ffn.net[2].weight.dtype} == {torch.float8_e4m3fn}
    assert block.scale_shift_table.dtype == torch.float32
    plain = Wan(Wan.Params(path=str(directory), dtype="bfloat16", device="cpu"))
    assert generator.fingerprint != plain.fingerprint


def test_a_sketch_has_the_dtypes_of_the_real_model(directory):
    for settings in ({"dtype": "bfloat16"}, {"dtype": "bfloat16", "storage": "float8"}):
        params = Wan.Params(path=str(directory), device="cpu", **settings)
        real = {name: p.dtype for name, p in Wan(params).model.transformer.named_parameters()}
        with FakeTensorMode():
            sketch = {name: p.dtype for name, p in Wan.sketch(params).model.transformer.named_parameters()}
        assert sketch == real


@fake_cuda
@pytest.mark.parametrize(
    ("make", "cls"),
    [
        (pipelines.wan, Wan),
        (pipelines.wan_experts, WanExperts),
        (pipelines.wan_ti2v, WanTI2V),
        (pipelines.cogvideox, CogVideoX),
    ],
)
def test_tensors_of_a_method_stay_on_the_cpu_when_networks_are_elsewhere(tmp_path, make, cls):
    """On fake CUDA tensors, as on real ones, an operation on two devices is an error."""
    make().save_pretrained(tmp_path)
    with FakeTensorMode():
        with torch.device("cuda"):
            generator: LatentVideoGenerator = cls.sketch(cls.Params(path=str(tmp_path), dtype="float32"))
        assert generator.model.device.type == "cuda"
        with torch.no_grad():
            video = torch.rand(2, SHAPE[0], 3, *SHAPE[1:])
            latent = generator.encode(video)
            condition = generator.condition(video[:, 0], SHAPE)
            velocity = generator.velocity(latent, 0.5, condition)
            constrained = generator.constrain(latent - 0.5 * velocity, condition)
            decoded = generator.decode(constrained)
    assert {t.device.type for t in (latent, velocity, constrained, decoded)} == {"cpu"}
    assert decoded.shape == video.shape


def test_published_architectures_have_their_size():
    """16.4 billion parameters: Wan2.1-I2V-14B with the projections of its image embeddings."""
    from accelerate import init_empty_weights
    from diffusers import WanTransformer3DModel

    with init_empty_weights():
        network = WanTransformer3DModel.from_config(architecture("Wan-AI/Wan2.1-I2V-14B-480P-Diffusers")["transformer"])
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(16.39e9, rel=1e-3)
