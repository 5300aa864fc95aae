"""Random streams keyed by meaning.

Every random number of a study comes from a stream named by what it is for, for example
`stream(7, "search", "CartPole-v1", "cma-es", 3)`. Two different names give independent streams and
the same name gives the same stream, so adding a method to a comparison, reordering the work or using
more workers changes no numbers. A name is hashed with SHA-256 of its JSON text, which distinguishes
`1` from `"1"` and `("a", "b")` from `("ab",)`; the digest seeds NumPy's PCG64.
"""

import hashlib
import operator
from json.encoder import encode_basestring_ascii

import numpy as np

Key = tuple[int | str, ...]


def _digest(key: Key) -> bytes:
    return hashlib.sha256(f"[{', '.join(map(_text, key))}]".encode()).digest()


def _text(part: int | str) -> str:
    """A part of a key as `json.dumps` has it, which takes twice as long for a key."""
    return encode_basestring_ascii(part) if isinstance(part, str) else str(operator.index(part))


def stream(*key: int | str) -> np.random.Generator:
    """The generator that belongs to `key`: equal keys give equal streams.

    Raises:
        TypeError: if a part of the key is neither a string nor an integer.
    """
    return np.random.Generator(np.random.PCG64(int.from_bytes(_digest(key)[:16], "big")))


def seed_of(*key: int | str) -> int:
    """An integer seed in [0, 2^31) for software that wants one, derived from `key` as in `stream`."""
    return int.from_bytes(_digest(key)[16:20], "big") >> 1
