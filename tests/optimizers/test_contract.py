"""What every optimizer promises, whatever its method."""

import dataclasses
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import (
    ALL,
    BOUNDED,
    DIRECT,
    EPISODIC,
    FREE,
    D,
    Values,
    evaluator_of,
    proposals,
    walk,
)

from policysearch.core import Domain, Optimizer, Proposal
from policysearch.optimizers import CMAES, OPTIMIZERS, SNES, HillClimbing, NelderMead, Repeated, Trusted
from policysearch.search import AskTell, Budget, SearchFailed, generations
from policysearch.seeding import stream
from policysearch.testing import optimizer_checks
from policysearch.testing.cases import same
from policysearch.testing.optimizers import CHECKS, ON_FUNCTIONS

#: Methods around others; those for policies are in `ALL`.
WRAPPED: dict[str, Optimizer] = {
    "repeated cma-es": Repeated(CMAES(), 2),
    "trusted cma-es": Trusted(CMAES()),
    "trusted hill-climbing": Trusted(HillClimbing()),
    "trusted nelder-mead": Trusted(NelderMead()),
    "trusted repeated snes": Trusted(Repeated(SNES(), 2)),
}
EVERY = ALL | BOUNDED | WRAPPED
#: What the checks are made for by day: every method as it is, and those that wrap another one. Variants are for the night.
BY_DAY = {*OPTIMIZERS, "repeated random-search", "whitened cma-es", "whitened reinforce"}
#: Of a method that models what it is told, which takes seconds, these checks.
OF_BOUNDED = ("needs", "replay", "bounds", "failed episodes", "equal returns")


#: Of methods around others, which have their own tests, this one.
OF_WRAPPED = ("equal returns",)
#: By day, the unit of episodes' returns is the matter of `test_invariances`, and corners that of few methods.
OF_FEW = {
    "unit of returns": {*DIRECT, "reinforce"},
    "aliasing": {*DIRECT, "reinforce"},
    "corners": {"hill-climbing"},
}


#: Thousands of generations of a single candidate.
SLOW = {("multi-start", "improvement"), ("one-plus-one-cma-es", "improvement")}


def by_day(name: str, check: str) -> bool:
    if name in BOUNDED or name in WRAPPED:
        return check in (OF_BOUNDED if name in BOUNDED else OF_WRAPPED)
    return name in BY_DAY and name in OF_FEW.get(check, {name}) and (name, check) not in SLOW


every_quick = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.nightly] * (name not in BY_DAY)) for name in ALL]
)


@pytest.mark.parametrize(
    ("name", "check"),
    [
        pytest.param(
            name,
            check,
            marks=[pytest.mark.nightly] * (not by_day(name, check)),
            id=f"{check}, {name}",
        )
        for check in CHECKS
        for name in EVERY
        if not (check in ON_FUNCTIONS and name in EPISODIC)
    ],
)
def test_a_method_passes_the_public_checks(name: str, check: str) -> None:
    dict(optimizer_checks(EVERY[name]))[check]()


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(sorted(DIRECT)), st.integers(1, 300))
def test_a_proposal_that_does_not_fit_is_not_run(name: str, rollouts: int) -> None:
    evaluator = Values()
    for _ in generations(DIRECT[name], evaluator, FREE, budget=Budget(rollouts), seed=1):
        pass
    assert evaluator.episodes <= rollouts


@pytest.mark.parametrize("name", sorted(set(DIRECT) - {"random-search", "repeated random-search"}))
def test_an_optimum_on_the_bound_is_approached(name: str) -> None:
    domain = Domain(np.full(D, 0.5), np.zeros(D), np.ones(D))
    slow = ("nelder-mead", "multi-start", "spsa", "evolution-strategy", "one-plus-one-cma-es")
    most = 400 if name in slow else 150
    last = None
    search, evaluator = DIRECT[name].search(domain, stream(2)), Values(lambda x: np.sum(x, axis=1))
    try:
        last = next(search)
        for turn in range(most):
            last = search.send(evaluator.evaluate(last, (2, turn)))
    except StopIteration as end:
        assert end.value.sum() > 0.95 * D
        return
    assert last.recommendation.sum() > 0.95 * D


@pytest.mark.parametrize(
    "name",
    [
        "evolution-strategy", "ars", "ars top", "spsa", "finite-difference", "finite-difference central",
        "finite-difference regression", "snes", "cross-entropy", "cma-es",
    ],
)  # fmt: skip
@pytest.mark.parametrize("value", [-7.25, 0.1])
def test_equal_returns_make_no_step(name: str, value: float) -> None:
    steps = proposals(DIRECT[name], 10, lambda x: np.full(len(x), value))
    assert all((proposal.recommendation == 0).all() for proposal in steps)


@pytest.mark.parametrize(
    "name",
    [
        name
        if name in ("reinforce", "natural-gradient", "ppo", "whitened cma-es")
        else pytest.param(name, marks=pytest.mark.nightly)
        for name in EPISODIC
    ],
)
@pytest.mark.nightly
def test_a_search_on_episodes_improves_on_its_start(name: str) -> None:
    optimizer = ALL[name]
    if "reinforce" in name:
        inner = optimizer if name != "whitened reinforce" else optimizer.optimizer  # type: ignore[attr-defined]
        rate = 0.0003 if name == "reinforce plain" else 0.05
        faster = dataclasses.replace(inner, learning_rate=rate, episodes=10)
        whitened = name == "whitened reinforce"
        optimizer = dataclasses.replace(optimizer, optimizer=faster) if whitened else faster  # type: ignore[type-var]
    evaluator = walk()
    *_, final = generations(optimizer, evaluator, FREE, budget=Budget(500), seed=1)
    points = np.array([FREE.start, final.recommendation])
    start, end = evaluator.evaluate(Proposal(points, points[0], 100), (1, "fresh")).fitness
    assert end > 0.8 * start


@every_quick
def test_ask_and_tell_give_the_same_search_as_generations(name: str) -> None:
    evaluator, optimizer = evaluator_of(name), ALL[name]
    outside = AskTell(optimizer, FREE, 2, "x")
    for turn in generations(optimizer, evaluator, FREE, budget=Budget(120), seed=2, label="x"):
        assert same(outside.ask(), turn.proposal)
        outside.tell(turn.evaluation)
        assert outside.recommendation.tobytes() == turn.recommendation.tobytes()


@pytest.mark.parametrize("name", [name for name in DIRECT if name in OPTIMIZERS])
def test_a_search_in_which_everything_fails_ends_alike_from_inside_and_outside(name: str) -> None:
    made, failing = [], Values(failing=1.0)
    with pytest.raises(SearchFailed):
        for generation in generations(DIRECT[name], failing, FREE, budget=Budget(10_000), seed=2, label="x"):
            made.append(generation)
    outside = AskTell(DIRECT[name], FREE, 2, "x")
    for _ in made:
        outside.tell(failing.evaluate(outside.ask(), (1,)))
    with pytest.raises(SearchFailed):
        outside.ask()


BAD = [
    ("random-search", {"population_size": 0}, "population_size: expected at least 1, got 0"),
    ("random-search", {"sigma": 0.0}, "sigma: expected a positive number, got 0.0"),
    ("hill-climbing", {"sigma": float("nan")}, "sigma: expected a positive number, got nan"),
    ("hill-climbing", {"neighbours": 0}, "neighbours: expected at least 1, got 0"),
    ("nelder-mead", {"edge": -1.0}, "edge: expected a positive number, got -1.0"),
    ("nelder-mead", {"contraction": 1.5}, "contraction: expected at least 0 and at most 1, got 1.5"),
    ("genetic", {"elites": 20}, "elites: expected at least 0 and at most 19, got 20"),
    (
        "genetic",
        {"selection": "roulette"},
        "selection: expected 'tournament' or 'truncation', got 'roulette'",
    ),
    ("genetic", {"mutation_rate": 2.0}, "mutation_rate: expected at least 0 and at most 1, got 2.0"),
    ("cross-entropy", {"elites": 1}, "elites: expected 2 <= elites <= population_size = 50, got 1"),
    ("cross-entropy", {"elites": 51}, "elites: expected 2 <= elites <= population_size = 50, got 51"),
    ("cma-es", {"sigma": float("inf")}, "sigma: expected a positive number, got inf"),
    ("cma-es", {"population_size": 2}, "population_size: expected at least 3, got 2"),
    ("finite-difference", {"variant": "forward"}, "variant: expected 'kohl-stone', 'central' or"),
    ("finite-difference", {"epsilon": 0.0}, "epsilon: expected a positive number, got 0.0"),
    ("spsa", {"pairs": 0}, "pairs: expected at least 1, got 0"),
    ("evolution-strategy", {"population_size": 7}, "population_size: expected an even number, got 7"),
    ("ars", {"top": 9}, "top: expected at least 1 and at most 8, got 9"),
    ("reinforce", {"baseline": "best"}, "'optimal-scalar', 'linear' or 'network', got 'best'"),
    ("reinforce", {"discount": 1.1}, "discount: expected at least 0 and at most 1, got 1.1"),
    ("reinforce", {"episodes": 1}, "episodes: a baseline from the other episodes needs at least 2, got 1"),
    ("reinforce", {"ascent": "sgd"}, "ascent: expected 'adam' or 'plain', got 'sgd'"),
    (
        "reinforce",
        {"baseline": "linear", "reward_to_go": False},
        "reward_to_go: the baseline 'linear' is a value to go, expected true",
    ),
    ("reinforce", {"entropy": -1.0}, "entropy: expected at least 0, got -1.0"),
    ("cross-entropy", {"covariance": "block"}, "covariance: expected 'diagonal' or 'full', got 'block'"),
    ("snes", {"population_size": 2}, "population_size: expected at least 3, got 2"),
    ("pgpe", {"population_size": 5}, "population_size: expected an even number, got 5"),
    ("natural-gradient", {"solver": "lu"}, "solver: expected 'cg' or 'enac', got 'lu'"),
    ("natural-gradient", {"episodes": 1}, "episodes: expected at least 2, got 1"),
    ("trpo", {"max_kl": 0.0}, "max_kl: expected a positive number, got 0.0"),
    ("trpo", {"value": "tree"}, "value: expected 'linear' or 'network', got 'tree'"),
    ("ppo", {"clip": -0.2}, "clip: expected a positive number, got -0.2"),
    ("ppo", {"minibatch": 1}, "minibatch: expected at least 2, got 1"),
    ("bayesian", {"startup": 1}, "startup: expected at least 2, got 1"),
    (
        "off-policy-reinforce",
        {"weighting": "none"},
        "weighting: expected 'trajectory', 'per-decision' or 'first-order', got 'none'",
    ),
]


@pytest.mark.parametrize(("name", "options", "message"), BAD)
def test_a_bad_hyperparameter_is_named_with_what_was_expected_and_given(
    name: str, options: dict[str, Any], message: str
) -> None:
    optimizer = object.__new__(OPTIMIZERS[name])  # past the type checker of the tests
    for field in dataclasses.fields(optimizer):  # type: ignore[arg-type]
        object.__setattr__(optimizer, field.name, options.get(field.name, field.default))
    with pytest.raises(ValueError, match=re.escape(message)):
        optimizer.__post_init__()  # type: ignore[attr-defined]


def test_cma_es_says_that_it_needs_two_parameters() -> None:
    search = OPTIMIZERS["cma-es"]().search(Domain.unbounded(np.zeros(1)), stream(0))
    with pytest.raises(ValueError, match="at least 2 parameters, got 1; use another optimizer"):
        next(search)


def test_reinforce_goes_on_when_too_few_episodes_are_left_for_its_baseline() -> None:
    optimizer: Optimizer = ALL["reinforce"]
    search = optimizer.search(FREE, stream(0))
    first = next(search)
    whole = walk().evaluate(first, (0,))
    one_left = dataclasses.replace(whole, rollouts=(whole.rollouts[0][:1],))
    second = search.send(one_left)
    assert second.params.tobytes() == first.params.tobytes()
    assert second.diagnostics["dropped_episodes"] == 3
    assert search.send(whole).params.tobytes() != first.params.tobytes()
