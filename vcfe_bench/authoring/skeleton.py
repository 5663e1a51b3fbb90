"""A package of one's own to begin with: a method that runs, its entry point, its test."""

from __future__ import annotations

import re
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from vcfe_bench.core.errors import UsageError
from vcfe_bench.plugins import registry


def write_method(name: str, out: Path) -> list[Path]:
    """Write the package of a method called ``name`` into the new folder ``out``; the files.

    Raises:
        UsageError: not a name for a method, one that is taken, or ``out`` exists or cannot be written.
    """
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name):
        raise UsageError(f"'{name}' is not a name for a method: use small letters, digits and single underscores")
    if name in registry.METHODS.names():
        raise UsageError(f"there is a method '{name}' already; choose another name")
    environment = Environment(
        loader=PackageLoader("vcfe_bench.authoring", "skeletons/method"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    words = {"name": name, "class": "".join(word.capitalize() for word in name.split("_"))}
    files = {
        "pyproject.toml": "pyproject.toml.jinja",
        f"vcfe_{name}.py": "module.py.jinja",
        f"tests/test_{name}.py": "test.py.jinja",
    }
    try:
        out.mkdir(parents=True)
        for file, template in files.items():
            (out / file).parent.mkdir(exist_ok=True)
            (out / file).write_text(environment.get_template(template).render(words), encoding="utf-8")
    except FileExistsError:
        raise UsageError(f"{out} exists already; choose another --out") from None
    except OSError as error:
        raise UsageError(f"cannot write to {out}: {error.strerror or error}") from None
    return [out / file for file in files]
