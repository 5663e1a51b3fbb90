"""The names by which users refer to metrics."""

from __future__ import annotations

import pytest

from vcfe_bench.core.errors import UsageError
from vcfe_bench.plugins.metric_names import matching, normalised, resolve
from vcfe_bench.plugins.registry import METRICS


def test_every_column_name_stands_for_its_metric() -> None:
    names = METRICS.names()
    for name in (name for name in names if not name.startswith("toy")):
        try:
            card = METRICS.build(name).card
        except UsageError:
            continue
        assert matching(card.name, names) == [name], card.name
        assert matching(name.upper(), names) == [name]


def test_families_and_parameters() -> None:
    names = ["fid_inception", "fid_st_vgg", "fr", "lpips_alex", "sfid_st_vgg", "ssim", "fvd_i3d"]
    assert resolve("FID,SSIM", names) == ("fid_inception", "fid_st_vgg", "ssim")
    assert resolve("paper", names) == ("fr", "ssim", "lpips_alex", "fid_inception", "fid_st_vgg", "fvd_i3d")
    assert resolve("all,fr", names) == tuple(names)
    assert resolve("FVD(i3d)[crop=true]", names) == ("fvd_i3d[crop=true]",)
    with pytest.raises(UsageError, match="did you mean 'ssim'"):
        resolve("sim", names)
    assert normalised("negative_class@1") == normalised("negative_class_top1")
