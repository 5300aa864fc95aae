"""What needs more memory than there is gets one message before anything is run."""

from typing import Any

import numpy as np
import pytest

from policysearch.compare.study import Study, StudyError
from policysearch.core import Domain, memory_of
from policysearch.optimizers import CMAES, PPO, CrossEntropy, NelderMead, Repeated, Whitened, build
from policysearch.policies import Linear
from policysearch.seeding import stream
from policysearch.tasks import Task, memory

MIB = 2**20


@pytest.fixture(autouse=True)
def _little(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available", lambda: 64 * MIB)


@pytest.mark.parametrize(
    ("policy", "method", "said"),
    [
        ("mlp:1000000,1000000", {}, r"policy 'mlp:1000000,1000000' has 1,000,\d+,\d+,\d+ parameters and needs about "
         r"93,1\d\d.\d GiB of memory, and 0.1 GiB are available; choose a smaller one"),
        ("mlp:600,600", {}, "policy 'mlp:600,600' has 364,802 parameters and needs about|cma-es on CartPole-v1: needs"),
        ("mlp:64,32", {}, r"cma-es on CartPole-v1: needs about 0.\d GiB of memory, and 0.1 GiB are available, for "
         "2,466 parameters and 4 observed numbers; a smaller policy, or a method without large matrices, as ars"),
        ("mlp:64,32", {"episodes_per_candidate": 2}, "cma-es on CartPole-v1: needs about"),
    ],
)  # fmt: skip
def test_a_search_that_does_not_fit_into_memory_is_refused(
    policy: str, method: dict[str, Any], said: str
) -> None:
    with pytest.raises(StudyError, match=said) as refused:
        Study.resolve({"tasks": ["CartPole-v1"], "optimizers": ["cma-es"], "policy": policy, **method})
    assert len(refused.value.problems) == 1


def test_methods_without_matrices_are_not_refused_and_small_searches_neither() -> None:
    Study.resolve({"tasks": ["CartPole-v1"], "optimizers": ["ars", "snes"], "policy": "mlp:64,32"})
    Study.resolve({"tasks": ["CartPole-v1"], "optimizers": ["cma-es", "nelder-mead", "ppo"]})


def test_a_method_around_another_one_holds_what_that_one_holds() -> None:
    inner = CMAES()
    assert memory_of(inner, 1000, 5) == 72_000_000
    assert memory_of(Repeated(inner, 2), 1000, 5) == 72_000_000
    assert memory_of(Whitened(inner, Linear(3, 1)), 1000, 5) == 72_000_000


@pytest.mark.parametrize(
    ("optimizer", "d", "o", "expected"),
    [
        (CrossEntropy(), 1000, 5, 0),
        (CrossEntropy(covariance="full"), 1000, 5, 64_000_000),
        (NelderMead(), 1000, 5, 24_000_000),
        (PPO(), 5, 1000, 0),
        (build("reinforce", {"baseline": "linear"}), 5, 1000, 24 * 2004**2),  # features of observations
        (build("trpo", {"value": "network"}), 5, 1000, 0),
        (build("reinforce", {}), 5, 1000, 0),
        (build("trpo", {}), 5, 1000, 24 * 2004**2),
        (build("natural-gradient", {}), 5, 1000, 24 * 2004**2),
        (build("random-search", {}), 10**9, 10**9, 0),
    ],
)
def test_a_method_says_what_it_holds(optimizer: Any, d: int, o: int, expected: int) -> None:
    assert memory_of(optimizer, d, o) == expected


def test_what_is_available_is_more_than_nothing_and_less_than_a_pebibyte(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.undo()
    assert 0 < memory.available() < 2**50
    monkeypatch.setattr(memory.Path, "read_text", lambda *_, **__: (_ for _ in ()).throw(FileNotFoundError))
    assert 0 < memory.available() < 2**50


def test_the_first_proposal_of_a_nelder_mead_search_is_as_large_as_it_says() -> None:
    proposal = next(NelderMead().search(Domain.unbounded(np.zeros(300)), stream(1)))
    assert 2 * proposal.params.nbytes <= memory_of(NelderMead(), 300, 0) <= 3 * proposal.params.nbytes


def test_a_large_policy_is_refused_before_it_is_made() -> None:
    with pytest.raises(ValueError, match="choose a smaller one"):
        Task("CartPole-v1", "CartPole-v1", policy="mlp:100000,100000").make_policy()
