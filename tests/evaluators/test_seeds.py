"""Generators for many episodes at once against NumPy's own."""

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import PCG64, Generator, SeedSequence

from policysearch.evaluators import seeds
from policysearch.evaluators.runner import action_stream, episode_seed, episode_seeds
from policysearch.evaluators.seeds import Hashed, generators, of_seeds, streams
from policysearch.seeding import Key, digests, seed_in, seed_of, stream
from policysearch.tasks import find_task, make_evaluator

PARTS = st.one_of(st.integers(-(2**70), 2**70), st.text(max_size=4))
#: Every seed of one word that has a single bit, none, or all, and some at random.
SEEDS = [
    0,
    2**31 - 1,
    2**32 - 1,
    *(2**i for i in range(32)),
    *np.random.default_rng(1).integers(2**31, size=2000),
]


def test_generators_of_seeds_are_those_of_numpy() -> None:
    for seed, rng in zip(SEEDS, of_seeds(SEEDS), strict=True):
        assert rng.bit_generator.state == PCG64(int(seed)).state
    assert of_seeds([7])[0].standard_normal(9).tolist() == Generator(PCG64(7)).standard_normal(9).tolist()


def test_what_seeds_episodes_is_compiled_ahead_with_their_loop() -> None:
    task = find_task("CartPole-v1")
    with make_evaluator(task, task.make_policy()) as evaluator:
        evaluator.compile()
    assert seeds._compiled().signatures


def test_generators_of_long_seeds_are_those_of_numpy() -> None:
    words = np.random.default_rng(2).integers(2**32, size=(2000, 4), dtype=np.uint32)
    words[::7, 3], words[::5, 2:], words[::11, 1:] = 0, 0, 0  # which NumPy takes for shorter ones
    for row, rng in zip(words, generators(words), strict=True):
        seed = sum(int(word) << 32 * i for i, word in enumerate(row))
        assert rng.bit_generator.state == PCG64(seed).state


@settings(deadline=None)
@given(
    st.lists(PARTS, max_size=3).map(tuple),
    st.lists(st.lists(PARTS, min_size=1, max_size=2).map(tuple), max_size=4),
)
def test_streams_of_keys_that_begin_alike_are_those_of_each_key(key: Key, rests: list[Key]) -> None:
    for rest, rng, digest in zip(rests, streams(key, rests), digests(key, rests), strict=True):
        assert rng.bit_generator.state == stream(*key, *rest).bit_generator.state
        assert seed_in(digest) == seed_of(*key, *rest)


@pytest.mark.parametrize("common", [True, False])
def test_seeds_of_all_episodes_are_those_of_each(common: bool) -> None:
    key = (3, "evaluate", "CartPole-v1", 0, 12)
    pairs = [(i, j) for i in range(1 if common else 3) for j in range(2)]
    assert episode_seeds(key, 3, 2, common=common) == [
        episode_seed(key, i, j, common=common) for i, j in pairs
    ]
    (rng,) = streams((*key, "action"), [(2, 1)])
    assert rng.bit_generator.state == action_stream(key, 2, 1).bit_generator.state


def test_a_generator_has_the_children_and_copies_of_numpys() -> None:
    """Code of an environment or a policy may ask its generator for more."""
    (rng,), same = of_seeds([11]), Generator(PCG64(11))
    for _ in range(2):  # the second children are others
        assert [c.random() for c in rng.spawn(2)] == [c.random() for c in same.spawn(2)]
    assert copy.deepcopy(rng).random() == same.random()
    state = rng.bit_generator.seed_seq
    assert isinstance(state, Hashed)
    assert state.generate_state(3).tolist() == SeedSequence(11).generate_state(3).tolist()
    assert state.generate_state(4).tolist() == SeedSequence(11).generate_state(4).tolist()
