"""The names by which users refer to metrics: column, spec or family, in any case."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from vcfe_bench.core.errors import UsageError, nearest
from vcfe_bench.plugins import specs

ALL, PAPER = "all", "paper"
FAMILIES: Mapping[str, tuple[str, ...]] = {
    PAPER: ("fr", "ssim", "lpips", "fid", "fvd"),
    "transfer": ("transferfr",),
    "valid": ("validshare",),
    "semfr": ("semanticfr",),
    "mnac": ("attributeschanged",),
}
"""Names for other metrics, each normalised or the first part of a name: the five metrics that papers report as
``paper``, short titles of the summary, and columns that are not called like their spec."""


def normalised(name: str) -> str:
    """What names of one metric have in common: ``LPIPS(st-alex)`` and ``lpips_st_alex`` are ``lpipsstalex``."""
    return re.sub(r"[^a-z0-9]", "", name.lower().replace("_top", "").replace("²", "2"))


def matching(word: str, names: Iterable[str]) -> list[str]:
    """The names that a word stands for, in their order: the one that it is, or those of the family it begins.

    >>> matching("LPIPS", ["fr", "lpips_alex", "lpips_st_alex", "ssim"])
    ['lpips_alex', 'lpips_st_alex']
    >>> matching("fid(St-VGG)", ["fid_inception", "fid_st_vgg", "sfid_st_vgg"])
    ['fid_st_vgg']

    Raises:
        UsageError: no name matches.
    """
    names = list(names)
    if word.lower() == ALL:
        return names
    found = [name for part in FAMILIES.get(normalised(word), (normalised(word),)) for name in _of(part, names)]
    if not found:
        raise UsageError(f"unknown metric '{word}'; {nearest(word.lower(), {*names, *FAMILIES, ALL})}")
    return list(dict.fromkeys(found))


def _of(part: str, names: Iterable[str]) -> list[str]:
    exact = [name for name in names if normalised(name) == part]
    family = [name for name in names if part == normalised(re.split(r"[_(@]", name)[0])]
    return exact or family


def resolve(text: str, names: Iterable[str]) -> tuple[str, ...]:
    """Specs of the metrics that a list of words separated by commas stands for.

    Args:
        text: column names, specs or families; parameters go in brackets, after the name of one metric.
        names: the names under which metrics are registered.

    Raises:
        UsageError: a word stands for no metric.
    """
    names = list(names)
    found: list[str] = []
    for word in specs.split(text):
        name, bracket, parameters = word.partition("[")
        found += [f"{match}{bracket}{parameters}" for match in matching(name, names)]
    return tuple(dict.fromkeys(found))
