"""Generators for many episodes at once, with the bits of those that NumPy makes one by one.

    generator of a seed         numpy.random.Generator(PCG64(seed))
    stream of a key             policysearch.seeding.stream(*key)

Most of the time that NumPy takes for a generator is that of its `SeedSequence`, which hashes the seed to the state of
PCG64 by Python's loops. Here the same hash (M. E. O'Neill 2015, "Developing a seed_seq alternative", as in NumPy's
`bit_generator.pyx`) is compiled.
"""

# mypy: disable-error-code="no-untyped-def"

from collections.abc import Sequence
from functools import cache, cached_property
from typing import Any

import numpy as np
from jaxtyping import UInt32
from numpy.random import PCG64, Generator, SeedSequence
from numpy.random.bit_generator import ISpawnableSeedSequence

from policysearch.core import Array
from policysearch.jit import specialise
from policysearch.seeding import Key, digests

# Constants of the hash; all arithmetic is in 32 bits.
INIT_A, MULT_A = np.uint32(0x43B0D7E5), np.uint32(0x931E8875)
INIT_B, MULT_B = np.uint32(0x8B51F9DD), np.uint32(0x58F38DED)
MIX_LEFT, MIX_RIGHT = np.uint32(0xCA01F9DD), np.uint32(0x4973F715)
SHIFT = np.uint32(16)


def hash_seeds(seeds, states):
    """Write `SeedSequence(seed).generate_state(8)` of each seed; both are words of 32 bits, the lowest first."""
    pool = np.empty(4, np.uint32)
    for e in range(len(seeds)):
        constant = INIT_A
        for i in range(4):
            value = np.uint32(seeds[e, i] ^ constant)
            constant = np.uint32(constant * MULT_A)
            value = np.uint32(value * constant)
            pool[i] = value ^ (value >> SHIFT)
        for source in range(4):
            for target in range(4):
                if source != target:
                    value = np.uint32(pool[source] ^ constant)
                    constant = np.uint32(constant * MULT_A)
                    value = np.uint32(value * constant)
                    value = np.uint32(value ^ (value >> SHIFT))
                    mixed = np.uint32(MIX_LEFT * pool[target] - MIX_RIGHT * value)
                    pool[target] = mixed ^ (mixed >> SHIFT)
        constant = INIT_B
        for i in range(8):
            value = np.uint32(pool[i % 4] ^ constant)
            constant = np.uint32(constant * MULT_B)
            value = np.uint32(value * constant)
            states[e, i] = value ^ (value >> SHIFT)


@cache
def _compiled() -> Any:
    return specialise(hash_seeds)


class Hashed(ISpawnableSeedSequence):
    """The `SeedSequence` of a seed, whose state for PCG64 is known."""

    def __init__(self, words: UInt32[Array, "4"], state: Array) -> None:
        self._words, self._state = words, state

    @cached_property
    def whole(self) -> SeedSequence:
        """The same as NumPy makes it."""
        return SeedSequence(int.from_bytes(self._words.astype("<u4").tobytes(), "little"))

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> Array:
        """The state of a bit generator."""
        known = n_words == len(self._state) and dtype is np.uint64
        return self._state if known else self.whole.generate_state(n_words, dtype)

    def spawn(self, n_children: int) -> list[SeedSequence]:  # type: ignore[override] # they are NumPy's
        """Seed sequences of children."""
        return self.whole.spawn(n_children)


def generators(seeds: UInt32[Array, "E 4"]) -> list[Generator]:
    """`Generator(PCG64(seed))` for each seed, which is given in four words, the lowest first."""
    states = np.empty((len(seeds), 8), np.uint32)
    _compiled()(seeds, states)
    return [
        Generator(PCG64(Hashed(words, state)))  # type: ignore[arg-type] # it takes any seed sequence
        for words, state in zip(seeds, states.view(np.uint64), strict=True)
    ]


def of_seeds(seeds: Sequence[int]) -> list[Generator]:
    """`Generator(PCG64(seed))` for each seed below 2^32."""
    words = np.zeros((len(seeds), 4), np.uint32)
    words[:, 0] = seeds
    return generators(words)


def streams(key: Key, rests: Sequence[Key]) -> list[Generator]:
    """`stream(*key, *rest)` for each rest."""
    found = np.frombuffer(b"".join(digests(key, rests)), dtype=">u4").reshape(-1, 8)
    return generators(found[:, 3::-1].astype(np.uint32))
