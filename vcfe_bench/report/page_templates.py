"""The templates of pages, which escape what is put into them and refuse names that nothing is put in for."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined


def environment() -> Environment:
    """The environment of all templates in ``templates``."""
    return Environment(
        loader=PackageLoader("vcfe_bench.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
