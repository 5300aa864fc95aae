"""Streams keyed by meaning."""

import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from policysearch.seeding import Key, seed_of, stream

KEYS = st.lists(st.one_of(st.integers(-(2**70), 2**70), st.text(max_size=4)), max_size=4).map(tuple)


@settings(deadline=None)
@given(KEYS, KEYS)
def test_streams_are_equal_exactly_when_their_names_are(a: Key, b: Key) -> None:
    assert (stream(*a).bytes(16) == stream(*b).bytes(16)) == (a == b)
    assert stream(*a).bytes(16) == stream(*a).bytes(16)


@given(KEYS)
def test_a_stream_is_seeded_by_the_digest_of_the_json_text_of_its_name(key: Key) -> None:
    for names in (key, (*key, 7, 'λ"\\\n')):
        digest = hashlib.sha256(json.dumps(names).encode()).digest()
        assert seed_of(*names) == int.from_bytes(digest[16:20], "big") >> 1


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((1,), ("1",)),
        (("a", "b"), ("ab",)),
        (("a", "b"), ("b", "a")),
        (("a",), ("a", "")),
        (('a", "b',), ("a", "b")),
        ((1, 23), (12, 3)),
        ((), ("",)),
        (("None",), ("null",)),
        (("é",), ("\\u00e9",)),
        ((-1,), (2**64 - 1,)),
    ],
)
def test_names_that_look_alike_are_different(a: Key, b: Key) -> None:
    assert stream(*a).random() != stream(*b).random()
    assert seed_of(*a) != seed_of(*b)


def unchecked(code: str, hash_seed: str = "0") -> str:
    """What `code` prints in another process, where no test hook checks the types first."""
    done = subprocess.run(
        [sys.executable, "-c", f"import numpy as np\nfrom policysearch.seeding import stream, seed_of\n{code}"],
        capture_output=True, text=True, check=True,
        env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": ":".join(sys.path)},
    )  # fmt: skip
    return done.stdout.strip()


def test_a_name_is_a_string_or_an_integer_also_one_of_numpys() -> None:
    refused = """
for part in (1.0, None, b"a", ("a",), np.float64(1.0), 1j):
    for function in (stream, seed_of):
        try:
            function("a", part)
        except TypeError:
            print("refused")
"""
    assert unchecked(refused).split() == ["refused"] * 12
    accepted = (
        "print(*(seed_of(kind(7), 'a') for kind in (int, np.int64, np.uint8)), stream(np.int32(7)).random())"
    )
    assert unchecked(accepted).split() == [*[str(seed_of(7, "a"))] * 3, str(stream(7).random())]


def test_a_stream_is_the_same_in_another_process() -> None:
    for hash_seed in ("1", "2"):
        assert float(unchecked("print(stream('a', 1).random())", hash_seed)) == stream("a", 1).random()


@pytest.mark.parametrize(
    ("key", "first", "seed"),
    [
        # Written down on 2026-11-21 with numpy 2.4.6: hashing that changes makes other numbers everywhere.
        ((), 0.8223903595350508, 1988711846),
        ((0,), 0.5109328828666821, 1854844038),
        ((7, "search", "CartPole-v1", "cma-es", 3), 0.2881227428684411, 1551446010),
        (("start", -2), 0.8926067419306618, 996164005),
        (("Größe", 2**80), 0.08963007579266291, 1998990537),
    ],
)
def test_the_numbers_behind_a_name_never_change(key: Key, first: float, seed: int) -> None:
    assert stream(*key).random() == first
    assert seed_of(*key) == seed


def test_neighbouring_names_are_as_independent_as_one_stream() -> None:
    n = 4000
    firsts = np.array([stream("x", i).random() for i in range(n)])
    seeds = np.array([seed_of("x", i) for i in range(n)]) / 2**31
    for numbers in (firsts, seeds):
        assert stats.kstest(numbers, "uniform").pvalue > 1e-3
        assert abs(np.corrcoef(numbers[:-1], numbers[1:])[0, 1]) < 4 / np.sqrt(n)
    assert abs(np.corrcoef(firsts, seeds)[0, 1]) < 4 / np.sqrt(n)


def test_asking_for_a_stream_leaves_the_others_alone() -> None:
    one = stream("a")
    first = one.random()
    stream("a").random(5)
    stream("b").random(5)
    again = stream("a")
    assert again.random() == first
    assert again.random() == one.random()
