import hashlib
import os
import pickle
from collections import OrderedDict

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from vcfe_bench.core import checkpoints, weights
from vcfe_bench.core.weights import (
    CorruptWeights,
    Weights,
    WeightsUnavailable,
    fill,
    find,
    fingerprint,
    load,
    read,
    read_array_pickle,
)
from vcfe_bench.models.i3d import WEIGHTS as I3D


class Malicious:
    """Unpickling an instance creates a folder."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("VCFE_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    (tmp_path / "cache").mkdir()
    (tmp_path / "torch" / "hub" / "checkpoints").mkdir(parents=True)
    return tmp_path / "cache"


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_shipped_weights_are_what_the_code_says():
    assert find(I3D) == weights.ZOO / I3D.name


def test_weights_inside_an_installed_package(cache):
    heads = Weights("alex.pth", "df73285e", distribution="lpips", path="lpips/weights/v0.1/alex.pth")
    assert set(load(heads)) == {f"lin{i}.model.1.weight" for i in range(5)}


@pytest.mark.parametrize("place", ["cache", "torch/hub/checkpoints"])
def test_caches_are_searched_and_a_digest_may_be_short(cache, tmp_path, place):
    (tmp_path / place / "w.pth").write_bytes(b"content")
    assert find(Weights("w.pth", digest(b"content")[:8])) == tmp_path / place / "w.pth"


def test_a_download_is_verified_and_kept(cache, tmp_path):
    (tmp_path / "remote").write_bytes(b"content")
    wanted = Weights("w.pth", digest(b"content"), url=(tmp_path / "remote").as_uri())
    assert find(wanted) == cache / "w.pth"
    (tmp_path / "remote").unlink()
    assert find(wanted).read_bytes() == b"content"


def test_a_wrong_download_is_refused_and_not_kept(cache, tmp_path):
    (tmp_path / "remote").write_bytes(b"other")
    with pytest.raises(CorruptWeights, match="wrong checksum"):
        find(Weights("w.pth", digest(b"content"), url=(tmp_path / "remote").as_uri()))
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize(
    ("wanted", "advice"),
    [
        (Weights("w.pth", "00"), "--no-deps vcfe-bench"),
        (Weights("w.pth", "00", distribution="no-such-package", path="w.pth"), "install .*no-such-package"),
        (Weights("w.pth", "00", url="file:///no/such/file"), "cannot be reached"),
    ],
)
def test_missing_weights_say_what_to_do_in_one_line(cache, wanted, advice):
    with pytest.raises(WeightsUnavailable, match=advice) as error:
        find(wanted)
    assert "\n" not in str(error.value)
    assert str(cache / "w.pth") in str(error.value)


def test_a_file_with_another_checksum_is_corrupt(cache):
    (cache / "w.pth").write_bytes(b"damaged")
    right = digest(b"content")
    for wanted, advice in (
        (Weights("w.pth", right), "pip install --force-reinstall --no-deps vcfe-bench"),
        (Weights("w.pth", right, distribution="no-such-package", path="w.pth"), "--no-deps no-such-package"),
        (Weights("w.pth", right, url="https://example.org/w.pth"), f"https://example.org/w.pth.*{right[:12]}"),
    ):
        with pytest.raises(CorruptWeights, match=advice) as error:
            find(wanted)
        assert digest(b"damaged")[:12] in str(error.value)
        assert "replace" not in str(error.value)


def test_both_formats_are_read(tmp_path):
    state = {"a": torch.arange(3.0), "b": torch.tensor(2)}
    save_file(state, tmp_path / "w.safetensors")
    torch.save(OrderedDict(state), tmp_path / "w.pth")
    for name in ("w.safetensors", "w.pth"):
        assert fingerprint(read(tmp_path / name)) == fingerprint(state)


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
@pytest.mark.parametrize(
    "content", [b"", b"\x00" * 7, b"not weights at all" * 100, b"Repository not found", b"(.", b"]q."]
)
def test_damaged_files_are_corrupt(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    for reader in (read, checkpoints.read):
        with pytest.raises(CorruptWeights):
            reader(tmp_path / name)


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
def test_truncated_files_are_corrupt(tmp_path, name):
    state = {"a": torch.zeros(1000)}
    save_file(state, tmp_path / name) if name.endswith("safetensors") else torch.save(state, tmp_path / name)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-500])
    with pytest.raises(CorruptWeights):
        read(tmp_path / name)


@pytest.mark.parametrize("content", [[torch.zeros(1)], {"epoch": 3}, torch.zeros(1)])
def test_files_of_other_things_are_corrupt(tmp_path, content):
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(CorruptWeights, match="something other"):
        read(tmp_path / "w.pth")


def test_nothing_is_executed(tmp_path):
    trap = tmp_path / "executed"
    torch.save({"a": Malicious(trap)}, tmp_path / "w.pth")
    (tmp_path / "w.ckpt").write_bytes(pickle.dumps({"a": Malicious(trap)}))
    with pytest.raises(CorruptWeights):
        read(tmp_path / "w.pth")
    with pytest.raises(CorruptWeights, match="mkdir"):
        read_array_pickle(tmp_path / "w.ckpt")
    assert not trap.exists()


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_pickles_of_arrays_are_read(tmp_path, protocol):
    content = {"params": {"a": np.arange(6.0, dtype="f4").reshape(2, 3)}, "list": [1, "x", None], "o": OrderedDict(b=2)}
    (tmp_path / "p").write_bytes(pickle.dumps(content, protocol=protocol))
    again = read_array_pickle(tmp_path / "p")
    np.testing.assert_array_equal(again["params"]["a"], content["params"]["a"])
    assert again["list"] == content["list"]
    assert again["o"] == content["o"]


@pytest.mark.parametrize("forbidden", [eval, os.system, pickle.loads, np.load, Malicious])
def test_other_globals_are_refused(tmp_path, forbidden):
    (tmp_path / "p").write_bytes(pickle.dumps(forbidden))
    with pytest.raises(CorruptWeights, match="neither an array nor a container"):
        read_array_pickle(tmp_path / "p")


@pytest.mark.parametrize("content", [b"", b"\x80\x04", b"garbage"])
def test_damaged_pickles_are_corrupt(tmp_path, content):
    (tmp_path / "p").write_bytes(content)
    with pytest.raises(CorruptWeights):
        read_array_pickle(tmp_path / "p")


def test_fill_matches_every_name_and_freezes():
    with torch.device("meta"):
        layer = nn.Sequential(nn.Linear(2, 3), nn.Dropout())
    fill(layer, {"0.weight": torch.ones(3, 2), "0.bias": torch.zeros(3)}, "w")
    assert layer(torch.ones(2)).tolist() == [2.0, 2.0, 2.0]
    assert not any(weight.requires_grad for weight in layer.parameters())


@pytest.mark.parametrize(
    "state",
    [{"weight": torch.ones(3, 2)}, {"weight": torch.ones(2, 3), "bias": torch.zeros(3)}, {"other": torch.ones(1)}],
)
def test_weights_of_another_network_are_corrupt(state):
    with pytest.raises(CorruptWeights, match="w does not fit Linear"):
        fill(nn.Linear(2, 3), state, "w")


def test_fingerprint_is_golden_and_blind_to_order():
    state = {"b": torch.tensor(3, dtype=torch.int64), "a": torch.tensor([[1.0, 2.0]], dtype=torch.bfloat16)}
    content = b"a\0torch.bfloat16\0(1, 2)\0" + bytes.fromhex("803f0040") + b"b\0torch.int64\0()\0" + b"\3" + b"\0" * 7
    assert fingerprint(state) == fingerprint(dict(sorted(state.items()))) == digest(content)


def test_fingerprint_sees_names_types_shapes_and_values():
    states = [
        {"a": torch.zeros(4)},
        {"b": torch.zeros(4)},
        {"a": torch.zeros(4, dtype=torch.int32)},
        {"a": torch.zeros(2, 2)},
        {"a": torch.tensor([0.0, 0.0, 0.0, -0.0])},
    ]
    assert len({fingerprint(state) for state in states}) == len(states)


def test_fingerprint_of_a_module_is_that_of_its_state():
    layer = nn.BatchNorm1d(3)
    assert fingerprint(layer) == fingerprint(layer.state_dict())
    strided = {
        name: value.repeat_interleave(2)[::2] if value.ndim else value for name, value in layer.state_dict().items()
    }
    assert fingerprint(strided) == fingerprint(layer)
