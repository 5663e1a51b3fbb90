"""The sessions people run, in the environment that ``nox`` itself is installed in: ``pip install -e '.[dev]'`` first.

``nox`` runs everything that a change has to pass.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nox

nox.options.default_venv_backend = "none"
nox.options.sessions = ["lint", "types", "tests_full"]


def _python(session: nox.Session, *arguments: str) -> None:
    session.run(sys.executable, "-m", *arguments)


@nox.session
def tests(session: nox.Session) -> None:
    """The quick tests."""
    _python(session, "pytest", "-m", "not slow", *session.posargs)


@nox.session
def tests_full(session: nox.Session) -> None:
    """All tests."""
    _python(session, "pytest", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Style, formatting and the directions of imports."""
    _python(session, "ruff", "check")
    _python(session, "ruff", "format", "--check")
    session.run(str(Path(sys.executable).with_name("lint-imports")))


@nox.session
def types(session: nox.Session) -> None:
    """Types."""
    _python(session, "mypy")


@nox.session
def bench(session: nox.Session) -> None:
    """Speed of what is called often."""
    _python(session, "pytest", "--benchmark-enable", "--benchmark-only", *session.posargs)
