"""Seeds derived from their purpose, so that results do not depend on task order, batch neighbours or workers."""

from __future__ import annotations

import hashlib


def derive(*parts: object) -> int:
    """A 63-bit seed hashed from the text of ``parts``, e.g. ``derive(base_seed, sample.id, method.spec, "noise")``."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1
