"""Random streams keyed by meaning.

Every random number of a study comes from a stream named by what it is for, for example
`stream(7, "search", "CartPole-v1", "cma-es", 3)`. Two different names give independent streams and
the same name gives the same stream, so adding a method to a comparison, reordering the work or using
more workers changes no numbers. A name is hashed with SHA-256 of its JSON text, which distinguishes
`1` from `"1"` and `("a", "b")` from `("ab",)`; the digest seeds NumPy's PCG64.
"""

import hashlib
import operator
from collections.abc import Iterable
from json.encoder import encode_basestring_ascii

import numpy as np

Key = tuple[int | str, ...]


def _digest(key: Key) -> bytes:
    return hashlib.sha256(f"[{', '.join(map(_text, key))}]".encode()).digest()


def digests(key: Key, rests: Iterable[Key]) -> list[bytes]:
    """The digest that `stream` and `seed_of` make of (*key, *rest), for each rest, none of which is empty."""
    common, found = hashlib.sha256(f"[{''.join(f'{_text(part)}, ' for part in key)}".encode()), []
    for rest in rests:
        whole = common.copy()
        whole.update(f"{', '.join(map(_text, rest))}]".encode())
        found.append(whole.digest())
    return found


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
    return seed_in(_digest(key))


def seed_in(digest: bytes) -> int:
    """The integer seed that a digest of `digests` holds."""
    return int.from_bytes(digest[16:20], "big") >> 1
