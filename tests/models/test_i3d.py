import numpy as np
import pytest
import torch
import torch.nn.functional as F

from vcfe_bench.core.weights import CorruptWeights
from vcfe_bench.models.i3d import MIN_FRAMES, Pool, i3d, pad_same
from vcfe_bench.models.i3d_conversion import convert, torch_state


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "before", "after"),
    [(224, 7, 2, 2, 3), (17, 7, 2, 3, 3), (112, 3, 2, 0, 1), (9, 3, 2, 1, 1), (5, 2, 2, 0, 1), (14, 2, 2, 0, 0)],
)
def test_padding_is_same_with_the_odd_element_at_the_end(size, kernel, stride, before, after):
    padded = pad_same(torch.ones(1, 1, size, 1, 1), (kernel, 1, 1), (stride, 1, 1)).flatten().tolist()
    assert padded == [0.0] * before + [1.0] * size + [0.0] * after


@pytest.mark.parametrize(("kernel", "stride"), [((1, 3, 3), (1, 2, 2)), ((3, 3, 3), (1, 1, 1)), ((2, 2, 2), (2, 2, 2))])
def test_pooling_is_that_of_torch_with_and_without_a_gradient(kernel, stride):
    x = torch.randn(2, 3, 5, 9, 8, generator=torch.Generator().manual_seed(0))
    pool, expected = Pool(kernel, stride), F.max_pool3d(pad_same(x, kernel, stride, -torch.inf), kernel, stride)
    assert torch.equal(pool(x), expected)
    assert torch.equal(pool(x.requires_grad_()), expected)


def test_logits_are_those_of_the_published_network():
    """Values of the JAX port for the same clip."""
    t, y, x = np.meshgrid(np.arange(9) / 9, np.arange(224) / 224, np.arange(224) / 224, indexing="ij")
    clip = np.stack([np.sin(6 * x + 4 * t), np.cos(9 * y - 5 * t), np.sin(7 * (x + y) + 3 * t)]).astype(np.float32)
    with torch.inference_mode():
        logits = i3d()(torch.from_numpy(clip)[None])[0].numpy()
    expected = [1.2571661, 8.302158, 6.3194165, 6.2645364, 4.137018, 7.083574, -0.5046217, -3.666392]
    np.testing.assert_allclose(logits[:8], expected, atol=1e-4 * 114.9)
    assert np.linalg.norm(logits) == pytest.approx(114.90097, rel=1e-5)
    assert logits.argmax() == 69


def test_fewer_frames_are_refused():
    with pytest.raises(RuntimeError):
        i3d()(torch.zeros(1, 3, MIN_FRAMES - 1, 224, 224))


def test_the_network_is_built_once_and_frozen():
    assert i3d() is i3d()
    assert not i3d().training
    assert not any(weight.requires_grad for weight in i3d().parameters())


def test_kernels_are_transposed_and_names_joined():
    kernel = np.arange(2 * 3 * 5 * 7 * 11, dtype=np.float32).reshape(2, 3, 5, 7, 11)
    unit = {"Conv_0": {"kernel": kernel}, "BatchNorm_0": {"bias": np.full(11, 3.0, np.float32)}}
    statistics = {"BatchNorm_0": {"mean": np.zeros((1, 1, 1, 1, 11)), "var": np.ones((1, 1, 1, 1, 11))}}
    checkpoint = {
        "params": {"Mixed_3b": {"Branch_1/Conv3d_0a_1x1": unit}},
        "batch_stats": {"Mixed_3b": {"Branch_1/Conv3d_0a_1x1": statistics}},
    }
    state = torch_state(checkpoint)
    weight = state["trunk.Mixed_3b.Branch_1.Conv3d_0a_1x1.conv.weight"]
    assert weight.shape == (11, 7, 2, 3, 5)
    assert weight[10, 6, 1, 2, 4] == kernel[1, 2, 4, 6, 10]
    assert state["trunk.Mixed_3b.Branch_1.Conv3d_0a_1x1.norm.running_var"].shape == (11,)


def test_another_archive_is_refused(tmp_path):
    (tmp_path / "other.tar.gz").write_bytes(b"other")
    with pytest.raises(CorruptWeights, match="is not the source distribution"):
        convert(tmp_path / "other.tar.gz", tmp_path / "out.safetensors")
