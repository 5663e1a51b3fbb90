"""The error of a plug-in that returns something that its interface does not allow."""

from __future__ import annotations


class ContractError(ValueError):
    """What a plug-in returned breaks the contract of its interface; the message says how, without naming it."""


def type_name(value: object) -> str:
    """The type of a value as it is called in an import."""
    cls = type(value)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
