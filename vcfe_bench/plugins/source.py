"""The identity of a plug-in's code: a hash of what it computes, not of how it is written or where it stands.

The hash covers the definition of the plug-in and every definition that it reaches by name (base classes, functions,
constants) in its own package and in this distribution. Docstrings, comments, layout and annotations of functions and
variables do not count; annotations in class bodies do, because pydantic and dataclasses read them. A name that an
import binds counts as the definition it resolves to, through any re-export, or as module and name in another
distribution. Neither names and places of modules nor aliases matter, then; an import that resolves to other code does.

Statements at the top level of a module that do more than define something (calls, assignments to attributes or items,
loops, conditions) count for everything that imports the module, and so do definitions that are handed to code which may
keep them: by a decorator, a metaclass, a base class with ``__init_subclass__``. When in doubt, more is included: a
module that is used as an object counts as a whole, and so does one in which a name cannot be found.

What the source does not show is not followed: modules imported by a computed name, ``__subclasses__``, plug-ins that
the registry builds. Files other than sources are covered by fingerprints, other distributions by the versions in
``run.json``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from typing import Any

from vcfe_bench.plugins.code.names import WHOLE, Definition
from vcfe_bench.plugins.code.project import Project, source_file

__all__ = ["SCHEME", "code_identity", "identity", "source_file"]

SCHEME = 2
"""Version of the rules by which code is hashed; a change to it changes the identity of all code."""
DISTRIBUTION = ("vcfe_bench", "vcfe_methods", "vcfe_datasets")


@cache
def code_identity(code: type | Callable[..., Any]) -> str:
    """The identity of what a class or function computes, by the rules above; computed once per process."""
    packages = frozenset((code.__module__.partition(".")[0], *DISTRIBUTION))
    return identity(_project(packages), code.__module__, code.__qualname__)


def identity(project: Project, module: str, qualname: str) -> str:
    """The identity of a class or function of a project.

    Where its module has no source (an extension module, an interactive session), it is known by its name only.
    """
    digest = hashlib.sha256(f"{SCHEME}\0".encode())
    name, _, inner = qualname.partition(".")
    if project.source(module) is None:
        digest.update(f"{module}.{qualname}".encode())
    elif roots := project.defined(module, name):
        digest.update(inner.encode())
        for piece in project.text(roots):
            digest.update(piece.encode())
    else:
        digest.update(qualname.encode())
        for piece in project.text([Definition(module, WHOLE)]):
            digest.update(piece.encode())
    return digest.hexdigest()[:16]


@cache
def _project(packages: frozenset[str]) -> Project:
    return Project(packages)
