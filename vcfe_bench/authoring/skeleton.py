"""Template of a plug-in package: a working method with its entry point and test."""

from __future__ import annotations

import re
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from vcfe_bench.core.errors import UsageError
from vcfe_bench.plugins import registry


def write_method(name: str, out: Path) -> list[Path]:
    """Write the package of a method ``name`` into the new folder ``out``; returns the files.

    Raises:
        UsageError: the name is invalid or taken, or ``out`` exists or cannot be written.
    """
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name):
        raise UsageError(f"'{name}' is not a valid method name: use lower-case letters, digits and single underscores")
    if name in registry.METHODS.names():
        raise UsageError(f"a method '{name}' already exists; choose another name")
    # The skeletons are Python and TOML, not HTML, and the name is checked above.
    environment = Environment(  # nosec B701
        loader=PackageLoader("vcfe_bench.authoring", "skeletons/method"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    variables = {"name": name, "class": "".join(word.capitalize() for word in name.split("_"))}
    files = {
        "pyproject.toml": "pyproject.toml.jinja",
        f"vcfe_{name}.py": "module.py.jinja",
        f"tests/test_{name}.py": "test.py.jinja",
    }
    try:
        out.mkdir(parents=True)
        for file, template in files.items():
            (out / file).parent.mkdir(exist_ok=True)
            (out / file).write_text(environment.get_template(template).render(variables), encoding="utf-8")
    except FileExistsError:
        raise UsageError(f"{out} already exists; choose another --out") from None
    except OSError as error:
        raise UsageError(f"cannot write to {out}: {error.strerror or error}") from None
    return [out / file for file in files]
