"""Specs: the text form of a plug-in with its parameters, such as ``bttf[steps=15,style=false]``.

A value is plain text, ``none``, a list in brackets, or a JSON string if plain text would be ambiguous. The plug-in's
``Params`` convert text to the type of the field (a number, a switch, a path).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from vcfe_bench.core.errors import UsageError

Value = str | None | Sequence["Value"]
_SPEC = re.compile(r"([\w.-]+)(?:\[(.*)\])?", re.DOTALL)
_PIECE = re.compile(r'"(?:[^"\\]|\\.)*"|.', re.DOTALL)


def split(text: str) -> list[str]:
    """Split at commas outside brackets and quotes; empty pieces are dropped.

    Raises:
        UsageError: the brackets do not match.
    """
    pieces, depth = [""], 0
    for token in _PIECE.findall(text):
        depth += (token == "[") - (token == "]")
        if depth < 0:
            break
        if token == "," and depth == 0:
            pieces.append("")
        else:
            pieces[-1] += token
    if depth:
        raise UsageError(f"brackets do not match in '{text}'")
    return [piece.strip() for piece in pieces if piece.strip()]


def parse(spec: str) -> tuple[str, dict[str, Value]]:
    """Name and parameters of a spec.

    Raises:
        UsageError: the text is not of the form ``name[key=value,...]``.
    """
    match = _SPEC.fullmatch(spec.strip())
    if not match:
        raise UsageError(f"'{spec}' is not of the form name[key=value,...]")
    name, inside = match.groups()
    parameters: dict[str, Value] = {}
    for piece in split(inside or ""):
        key, equals, text = piece.partition("=")
        key = key.strip()
        if not equals or not key.isidentifier():
            raise UsageError(f"'{piece}' in '{spec}' is not of the form key=value")
        if key in parameters:
            raise UsageError(f"'{key}' is given twice in '{spec}'")
        parameters[key] = _parse_value(text.strip())
    return name, parameters


def format(name: str, parameters: Mapping[str, object]) -> str:
    """The spec of a name and parameters, sorted by key; the inverse of ``parse``."""
    inside = ",".join(f"{key}={format_value(parameters[key])}" for key in sorted(parameters))
    return f"{name}[{inside}]" if inside else name


def _parse_value(text: str) -> Value:
    if text == "none":
        return None
    if text.startswith("[") and text.endswith("]"):
        return tuple(_parse_value(piece) for piece in split(text[1:-1]))
    if text.startswith('"'):
        try:
            return str(json.loads(text))
        except json.JSONDecodeError as error:
            raise UsageError(f"{text} is not a JSON string: {error.msg}") from None
    return text


def format_value(value: object) -> str:
    """A value as it is written in a spec."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return f"[{','.join(format_value(item) for item in value)}]"
    text = str(value)
    bare = text and text == text.strip() and text != "none" and not set(text) & set(',[]"\n')
    return text if bare else json.dumps(text)
