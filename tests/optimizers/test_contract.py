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
    domain_of,
    evaluator_of,
    proposals,
    sphere,
    walk,
)

from policysearch.core import Domain, Evaluation, Optimizer, Proposal
from policysearch.optimizers import OPTIMIZERS
from policysearch.search import AskTell, Budget, SearchFailed, generations
from policysearch.seeding import stream

TURNS = 6
EVERY, EVERY_DIRECT = ALL | BOUNDED, DIRECT | BOUNDED

every_optimizer = pytest.mark.parametrize("name", EVERY)
every_direct = pytest.mark.parametrize("name", EVERY_DIRECT)
#: A turn of the bounded ones takes a tenth of a second, and a search of the other hundreds of fits of its network.
every_quick = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.nightly] * (name == "reinforce network")) for name in ALL]
)


def turns(name: str, most: int) -> range:
    """So many turns, or a few."""
    return range(8 if name in BOUNDED else most)


def conversation(name: str, seed: int = 3) -> tuple[list[Proposal], list[Evaluation]]:
    """A recorded search: proposals, and what was told."""
    evaluator, search = evaluator_of(name), EVERY[name].search(domain_of(name), stream(seed))
    asked, told = [next(search)], []
    for turn in range(TURNS):
        told.append(evaluator.evaluate(asked[-1], (seed, turn)))
        asked.append(search.send(told[-1]))
    return asked, told


def same(a: Proposal, b: Proposal) -> bool:
    return (
        a.params.tobytes() == b.params.tobytes()
        and a.recommendation.tobytes() == b.recommendation.tobytes()
        and (a.episodes, a.sample, a.record, a.moments, a.purpose)
        == (b.episodes, b.sample, b.record, b.moments, b.purpose)
    )


def freeze(*arrays: Any) -> None:
    for array in arrays:
        array.flags.writeable = False


@every_optimizer
def test_the_same_seed_gives_the_same_search_and_another_seed_another(name: str) -> None:
    first, second, other = conversation(name), conversation(name), conversation(name, seed=4)
    assert all(same(a, b) for a, b in zip(first[0], second[0], strict=True))
    assert any(not same(a, b) for a, b in zip(first[0], other[0], strict=True))


@every_optimizer
def test_replaying_the_recorded_evaluations_gives_the_same_proposals(name: str) -> None:
    asked, told = conversation(name)
    search = EVERY[name].search(domain_of(name), stream(3))
    again = [next(search), *(search.send(evaluation) for evaluation in told)]
    assert all(same(a, b) for a, b in zip(asked, again, strict=True))


@every_optimizer
def test_nothing_that_was_given_or_proposed_is_ever_changed(name: str) -> None:
    start = np.zeros(D)
    freeze(start)
    domain = dataclasses.replace(domain_of(name), start=start)
    evaluator, search = evaluator_of(name), EVERY[name].search(domain, stream(3))
    proposal = next(search)
    kept = []
    for turn in range(TURNS):
        kept.append((proposal, proposal.params.tobytes(), proposal.recommendation.tobytes()))
        evaluation = evaluator.evaluate(proposal, (3, turn))
        freeze(evaluation.params, evaluation.returns, evaluation.steps)
        freeze(*(r.rewards for rollouts in evaluation.rollouts for r in rollouts))
        proposal = search.send(evaluation)
    for before, params, recommendation in kept:
        assert before.params.tobytes() == params
        assert before.recommendation.tobytes() == recommendation


@every_optimizer
def test_global_numpy_randomness_is_neither_read_nor_changed(name: str) -> None:
    np.random.seed(11)  # noqa: NPY002 - the point of the test
    state = np.random.get_state()[1].tobytes()  # type: ignore[union-attr,index] # noqa: NPY002
    first = conversation(name)[0]
    assert np.random.get_state()[1].tobytes() == state  # type: ignore[union-attr,index] # noqa: NPY002
    np.random.seed(12)  # noqa: NPY002
    assert all(same(a, b) for a, b in zip(first, conversation(name)[0], strict=True))


@every_quick
@pytest.mark.parametrize("rollouts", [100, 157])
def test_a_search_never_overspends_and_every_rollout_is_counted(name: str, rollouts: int) -> None:
    evaluator = evaluator_of(name)
    spent, last = 0, None
    for last in generations(ALL[name], evaluator, FREE, budget=Budget(rollouts), seed=1):
        spent += last.evaluation.returns.size
        assert last.rollouts == spent <= rollouts
    assert last is not None
    if name not in EPISODIC:
        assert evaluator.episodes == spent


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(sorted(DIRECT)), st.integers(1, 300))
def test_a_proposal_that_does_not_fit_is_not_run(name: str, rollouts: int) -> None:
    evaluator = Values()
    for _ in generations(DIRECT[name], evaluator, FREE, budget=Budget(rollouts), seed=1):
        pass
    assert evaluator.episodes <= rollouts


@every_direct
def test_failed_candidates_leave_every_proposal_finite(name: str) -> None:
    search = EVERY_DIRECT[name].search(domain_of(name), stream(5))
    evaluator, proposal = Values(failing=0.4), next(search)
    for turn in turns(name, 20):
        assert np.isfinite(proposal.params).all()
        assert np.isfinite(proposal.recommendation).all()
        proposal = search.send(evaluator.evaluate(proposal, (5, turn)))


def partly_measured(evaluation: Evaluation, turn: int) -> Evaluation:
    """The same, but half of the candidates were left out, and every fourth one that was alone."""
    n = len(evaluation.params)
    left_out = stream(turn).permutation(n)[: n // 2 if n > 1 else int(turn % 4 == 2)]
    returns = evaluation.returns.copy()
    returns[left_out] = np.nan
    return dataclasses.replace(evaluation, returns=returns, unmeasured=tuple(left_out.tolist()))


@pytest.mark.parametrize("failing", [0.0, 0.2])
@every_direct
def test_a_search_goes_on_where_half_of_the_candidates_are_not_measured_and_recommends_none_of_them(
    name: str, failing: float
) -> None:
    search = EVERY_DIRECT[name].search(domain_of(name), stream(5))
    evaluator, proposal = Values(noise=0.1, failing=failing), next(search)
    measured, unmeasured, asked = {proposal.recommendation.tobytes()}, set[bytes](), set[bytes]()
    for turn in turns(name, 20):
        told = partly_measured(evaluator.evaluate(proposal, (5, turn)), turn)
        rows = [row.tobytes() for row in proposal.params]
        measured |= {rows[i] for i in told.measured}
        unmeasured |= {rows[i] for i in told.unmeasured}
        asked.add(proposal.params.tobytes())
        proposal = search.send(told)
        assert np.isfinite(proposal.params).all()
        assert np.isfinite(proposal.recommendation).all()
        assert all(np.isfinite(value) for value in proposal.diagnostics.values())
        assert proposal.recommendation.tobytes() not in unmeasured - measured
    assert len(unmeasured) >= 2
    assert len(asked) >= 4


@every_optimizer
def test_a_search_in_which_everything_fails_stops_after_three_generations(name: str) -> None:
    def failing(proposal: Proposal) -> Evaluation:
        shape = (len(proposal.params), proposal.episodes)
        empty = tuple(() for _ in proposal.params) if proposal.record else ()
        return Evaluation(proposal.params, np.full(shape, np.nan), np.zeros(shape, dtype=int), rollouts=empty)

    class Broken:
        def evaluate(self, proposal: Proposal, key: Any) -> Evaluation:
            return failing(proposal)

    made = []
    with pytest.raises(SearchFailed, match="last three generations failed"):
        for turn in generations(EVERY[name], Broken(), domain_of(name), budget=Budget(10_000), seed=1):
            made.append(turn)
    assert len(made) >= 3
    assert sum(turn.proposal.cost for turn in made) >= 10
    assert sum(turn.proposal.cost for turn in made[:-1]) < 10 or len(made) == 3


@every_direct
def test_candidates_and_recommendations_stay_within_the_bounds(name: str) -> None:
    domain = Domain(np.full(D, 0.5), np.zeros(D), np.ones(D))
    function = lambda x: np.sum(x, axis=1)  # noqa: E731
    for proposal in proposals(EVERY_DIRECT[name], len(turns(name, 25)), function, domain):
        for params in (proposal.params, proposal.recommendation[None]):
            assert (params >= domain.lower).all()
            assert (params <= domain.upper).all()


@pytest.mark.parametrize("name", sorted(set(DIRECT) - {"random-search", "repeated random-search"}))
def test_an_optimum_on_the_bound_is_approached(name: str) -> None:
    domain = Domain(np.full(D, 0.5), np.zeros(D), np.ones(D))
    most = 400 if name in ("nelder-mead", "spsa", "evolution-strategy") else 150
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


@every_direct
def test_equal_returns_give_no_nan(name: str) -> None:
    domain, evaluator = domain_of(name), Values(lambda x: np.full(len(x), 3.0))
    search = EVERY_DIRECT[name].search(domain, stream(1))
    proposal = next(search)
    try:
        for turn in turns(name, 30):
            assert np.isfinite(proposal.params).all()
            proposal = search.send(evaluator.evaluate(proposal, (1, turn)))
    except StopIteration as end:  # cma has stopped: the landscape is flat
        assert np.isfinite(end.value).all()


@pytest.mark.parametrize(
    "name", ["evolution-strategy", "ars", "ars top", "spsa", "finite-difference", "finite-difference central"]
)
def test_equal_returns_make_no_step(name: str) -> None:
    steps = proposals(DIRECT[name], 10, lambda x: np.full(len(x), -7.25))
    assert all((proposal.recommendation == 0).all() for proposal in steps)


@pytest.mark.parametrize("name", DIRECT)
def test_a_search_on_a_sphere_improves_on_its_start(name: str) -> None:
    *_, final = generations(DIRECT[name], Values(), FREE, budget=Budget(2000), seed=1)
    start = -float(D)
    assert sphere(final.recommendation[None])[0] > 0.8 * start


@pytest.mark.parametrize("name", EPISODIC)
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


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_is_its_frozen_hyperparameters(name: str) -> None:
    optimizer = OPTIMIZERS[name]()
    field = dataclasses.fields(optimizer)[0].name  # type: ignore[arg-type]
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(optimizer, field, 1)
    assert dataclasses.replace(optimizer) == optimizer  # type: ignore[type-var]
    assert repr(optimizer).startswith(type(optimizer).__name__)


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
