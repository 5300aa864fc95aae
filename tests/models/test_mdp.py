"""Finite decision processes: by hand, by differences, and by enumerating every trajectory."""

import dataclasses
import itertools
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import optimize

from policysearch.core import Array
from policysearch.models import mdp as tabular
from policysearch.models.mdp import MDP
from policysearch.seeding import stream
from policysearch.simulators.problems import aliased_gridworld, bandit, chain, coin_policy, random_mdp

#: States A and B; action 0 stays, action 1 goes to the other. From A only going pays (1), in B staying (2).
STAY_OR_GO = MDP(
    P=np.array([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]]]),
    r=np.array([[0.0, 1.0], [2.0, 0.0]]),
    mu=np.array([1.0, 0.0]),
    horizon=None,
    discount=0.5,
)
TWO_STEPS = dataclasses.replace(STAY_OR_GO, horizon=2, discount=1.0)
ALIASED = dataclasses.replace(TWO_STEPS, observations=np.array([0, 0]))


def best_memoryless_return(problem: MDP, rng: np.random.Generator, starts: int = 10) -> float:
    """The best return that ascending J finds, from θ = 0 and from draws of N(0, 4).

    J has local maxima, and the best policy is often deterministic, at infinity: a lower bound.
    """

    def cost(flat: Array) -> tuple[float, Array]:
        theta = flat.reshape(problem.table)
        return -problem.expected_return(theta), -problem.gradient(theta).ravel()

    size = problem.table[0] * problem.table[1]
    places = [np.zeros(size), *2.0 * rng.standard_normal((starts - 1, size))]
    return max(-float(optimize.minimize(cost, x, jac=True, method="L-BFGS-B").fun) for x in places)


def test_two_states_worked_by_hand_without_a_horizon() -> None:
    theta = np.zeros((2, 2))
    # P_π is 1/2 everywhere, r_π = (1/2, 1): V averages v = 3/4 + v/2 = 3/2, so V = (1/2, 1) + 3/4
    assert STAY_OR_GO.values(theta) == pytest.approx(np.array([1.25, 1.75]))
    assert STAY_OR_GO.expected_return(theta) == pytest.approx(1.25)
    # Q(A) = 0 + 1.25/2, 1 + 1.75/2;  Q(B) = 2 + 1.75/2, 0 + 1.25/2
    Q = np.array([[0.625, 1.875], [2.875, 0.625]])
    assert STAY_OR_GO.action_values(theta) == pytest.approx(Q)
    # d = (1, 0) + (1/2 + 1/4 + …)(1/2, 1/2) = (1.5, 0.5);  ∂J/∂θ = d π (Q − V) = 1.5·0.5·(∓0.625), 0.5·0.5·(±1.125)
    assert STAY_OR_GO.visits(theta) == pytest.approx(np.array([1.5, 0.5]))
    gradient = np.array([[-0.46875, 0.46875], [0.28125, -0.28125]])
    assert STAY_OR_GO.gradient(theta) == pytest.approx(gradient)
    # F = (1 − γ) d (diag π − ππᵀ): 0.75 and 0.25 times ±1/4;  F⁺∇J = (Q − V)/(1 − γ)
    block = np.array([[0.25, -0.25], [-0.25, 0.25]])
    F = np.block([[0.75 * block, np.zeros((2, 2))], [np.zeros((2, 2)), 0.25 * block]])
    assert STAY_OR_GO.fisher(theta) == pytest.approx(F)
    assert STAY_OR_GO.natural_gradient(theta) == pytest.approx(np.array([[-1.25, 1.25], [2.25, -2.25]]))
    # at best: go, then stay for ever: 1 + (2 + 2/2 + …)/2
    assert STAY_OR_GO.optimal_return() == pytest.approx(3.0)
    assert STAY_OR_GO.optimal_policy().tolist() == [1, 0]


def test_two_states_worked_by_hand_with_a_horizon_of_two() -> None:
    theta = np.zeros((2, 2))
    # V_1 = (1/2, 1);  Q_0(A) = 0 + 1/2, 1 + 1;  Q_0(B) = 2 + 1, 0 + 1/2
    assert TWO_STEPS.values(theta) == pytest.approx(np.array([[1.25, 1.75], [0.5, 1.0]]))
    assert TWO_STEPS.expected_return(theta) == pytest.approx(1.25)
    assert TWO_STEPS.visits(theta) == pytest.approx(np.array([[1.0, 0.0], [0.5, 0.5]]))
    # going from A: 1·½·(2 − 1.25) + ½·½·(1 − ½) = 0.5;  staying in B: ½·½·(2 − 1) = 0.25
    assert TWO_STEPS.gradient(theta) == pytest.approx(np.array([[-0.5, 0.5], [0.25, -0.25]]))
    # and where A and B look alike, both together
    assert ALIASED.gradient(np.zeros((1, 2))) == pytest.approx(np.array([[-0.25, 0.25]]))
    # A acts 1.5 times and B 0.5 times: F = 1.5 and 0.5 times ±1/4, or 2 times where they look alike
    assert np.diag(TWO_STEPS.fisher(theta)) == pytest.approx(np.array([0.375, 0.375, 0.125, 0.125]))
    assert ALIASED.fisher(np.zeros((1, 2))) == pytest.approx(np.array([[0.5, -0.5], [-0.5, 0.5]]))
    assert TWO_STEPS.optimal_return() == pytest.approx(3.0)
    assert TWO_STEPS.optimal_policy().tolist() == [[1, 0], [1, 0]]


def test_a_coin_beats_every_deterministic_policy_where_states_look_alike() -> None:
    # going with probability p: p at first, then (1 − p) p in A or 2 p (1 − p) in B: 4p − 3p², 4/3 at p = 2/3
    assert ALIASED.best_deterministic_return() == pytest.approx(1.0)
    assert best_memoryless_return(ALIASED, stream(1)) == pytest.approx(4 / 3)
    assert ALIASED.expected_return(np.array([[0.0, np.log(2.0)]])) == pytest.approx(4 / 3)
    assert ALIASED.optimal_return() == pytest.approx(3.0)  # of who sees the state


SETTINGS: dict[str, dict[str, Any]] = {
    "infinite": {"discount": 0.9},
    "infinite, aliased": {"discount": 0.8, "observations": 3},
    "finite": {"horizon": 7, "discount": 1.0},
    "finite, discounted": {"horizon": 7, "discount": 0.7},
    "finite, aliased": {"horizon": 6, "discount": 0.9, "observations": 2},
}
RANDOM = {
    name: random_mdp(stream("mdp", name), 5, 3, branching=2, **options) for name, options in SETTINGS.items()
}
EVERY = RANDOM | {
    "gridworld": aliased_gridworld(),
    "discounted gridworld": dataclasses.replace(aliased_gridworld(), horizon=None, discount=0.9),
    "chain": chain(7, 3),
    "bandit": bandit(),
}


def some_theta(problem: MDP, name: str) -> Array:
    return stream("theta", name).standard_normal(problem.table)


@pytest.mark.parametrize("name", EVERY)
def test_the_gradient_is_the_derivative_of_the_expected_return(name: str) -> None:
    problem, h = EVERY[name], 1e-5
    theta = some_theta(problem, name)

    def nudged(i: int) -> float:
        step = h * np.eye(theta.size)[i].reshape(theta.shape)
        return (problem.expected_return(theta + step) - problem.expected_return(theta - step)) / (2 * h)

    numeric = np.array([nudged(i) for i in range(theta.size)]).reshape(theta.shape)
    assert np.abs(numeric).max() > 0.01
    assert problem.gradient(theta) == pytest.approx(numeric, abs=2e-9)


@pytest.mark.parametrize("name", EVERY)
def test_the_natural_gradient_is_the_pseudoinverse_of_fisher_times_the_gradient(name: str) -> None:
    problem = EVERY[name]
    theta = some_theta(problem, name)
    F, gradient = problem.fisher(theta), problem.gradient(theta)
    expected = np.linalg.pinv(F, rcond=1e-12) @ gradient.ravel()
    assert problem.natural_gradient(theta).ravel() == pytest.approx(expected, rel=1e-9, abs=1e-10)


def test_the_natural_gradient_of_a_discounted_process_is_its_advantages_up_to_a_constant_per_state() -> None:
    problem = RANDOM["infinite"]
    theta = some_theta(problem, "infinite")
    F = problem.fisher(theta)
    natural = (np.linalg.pinv(F, rcond=1e-12) @ problem.gradient(theta).ravel()).reshape(theta.shape)
    A = problem.action_values(theta) - problem.values(theta)[:, None]
    for x in (natural, problem.natural_gradient(theta)):
        rest = x - A / (1 - problem.discount)
        assert rest == pytest.approx(np.broadcast_to(rest[:, :1], rest.shape), abs=1e-10)
        assert x.sum(axis=1) == pytest.approx(np.zeros(len(x)), abs=1e-10)


def test_the_natural_gradient_of_an_observation_that_is_never_made_is_zero() -> None:
    lonely = dataclasses.replace(STAY_OR_GO, P=np.array([[[1.0, 0.0]] * 2, [[0.0, 1.0]] * 2]))
    assert lonely.natural_gradient(np.zeros((2, 2)))[1].tolist() == [0.0, 0.0]
    assert lonely.natural_gradient(np.zeros((2, 2)))[0].tolist() == [-1.0, 1.0]  # A/(1 − γ) = ½/½


#: Three states, the last of them terminal, and an aliased pair.
ENDING = MDP(
    P=np.array([[[0.5, 0.2, 0.3], [0.1, 0.9, 0.0]], [[0.3, 0.3, 0.4], [1.0, 0.0, 0.0]], [[0, 0, 1.0]] * 2]),
    r=np.array([[1.0, -0.5], [0.3, 2.0], [0.0, 0.0]]),
    mu=np.array([0.6, 0.4, 0.0]),
    horizon=4,
    discount=0.9,
    observations=np.array([0, 0, 1]),
    terminal=np.array([False, False, True]),
)


def trajectories(problem: MDP, theta: Array) -> Iterator[tuple[float, Array, float, float]]:
    """Every trajectory: its probability, its score Σ_t ∇ log π, its return, and Σ_t γ^t until it ends."""
    pi, horizon = problem.policy(theta), problem.horizon
    assert horizon is not None
    S, A = problem.r.shape
    over = np.zeros(S, dtype=bool) if problem.terminal is None else problem.terminal

    def extend(t: int, s: int, p: float, score: Array, ret: float, steps: float) -> Iterator[Any]:
        if p == 0:
            return
        if t == horizon or over[s]:
            yield p, score, ret, steps
            return
        o = problem.shown[s]
        for a, after in itertools.product(range(A), range(S)):
            more = np.zeros(problem.table)
            more[o] = np.eye(A)[a] - pi[o]
            discount = problem.discount**t
            chance = p * pi[o, a] * problem.P[s, a, after]
            gain = ret + discount * problem.r[s, a]
            yield from extend(t + 1, after, chance, score + more, gain, steps + discount)

    for s in range(S):
        yield from extend(0, s, problem.mu[s], np.zeros(problem.table), 0.0, 0.0)


@pytest.mark.parametrize("problem", [ENDING, TWO_STEPS, ALIASED, dataclasses.replace(ENDING, terminal=None)])
def test_return_gradient_fisher_and_visits_are_those_of_all_trajectories_together(problem: MDP) -> None:
    theta = some_theta(problem, "enumerated")
    J, gradient, F, acting = 0.0, np.zeros(theta.shape), np.zeros((theta.size,) * 2), 0.0
    for p, score, ret, steps in trajectories(problem, theta):
        J += p * ret
        gradient += p * score * ret
        F += p * np.outer(score, score)
        acting += p * steps
    assert problem.expected_return(theta) == pytest.approx(J, rel=1e-12)
    assert problem.gradient(theta) == pytest.approx(gradient, abs=1e-12)
    assert problem.fisher(theta) == pytest.approx(F, abs=1e-12)
    assert problem.visits(theta).sum() == pytest.approx(acting, rel=1e-12)


@pytest.mark.parametrize("name", RANDOM)
def test_visits_sum_to_the_discounted_number_of_steps(name: str) -> None:
    problem = RANDOM[name]
    d, gamma = problem.visits(some_theta(problem, name)), problem.discount
    if problem.horizon is None:
        assert d.sum() == pytest.approx(1 / (1 - gamma), rel=1e-12)
    else:
        assert d.sum(axis=1) == pytest.approx(gamma ** np.arange(problem.horizon), rel=1e-12)


def test_a_long_horizon_is_an_infinite_one_and_terminal_states_do_not_act() -> None:
    endless = dataclasses.replace(ENDING, horizon=None)
    long = dataclasses.replace(ENDING, horizon=400)
    theta = some_theta(ENDING, "long")
    assert endless.expected_return(theta) == pytest.approx(long.expected_return(theta), rel=1e-12)
    assert endless.gradient(theta) == pytest.approx(long.gradient(theta), abs=1e-12)
    assert endless.visits(theta) == pytest.approx(long.visits(theta).sum(axis=0), rel=1e-12)
    assert endless.visits(theta)[2] == 0.0
    assert endless.optimal_return() == pytest.approx(long.optimal_return(), rel=1e-12)


def always(actions: tuple[int, ...], size: int) -> Array:
    """θ of a deterministic policy."""
    return np.where(np.eye(size)[list(actions)] > 0, 0.0, -np.inf)


@pytest.mark.parametrize("seed", range(5))
def test_policy_iteration_finds_the_best_of_all_deterministic_policies(seed: int) -> None:
    problem = random_mdp(stream("brute", seed), 4, 3, discount=0.95)
    returns = {
        actions: problem.expected_return(always(actions, 3))
        for actions in itertools.product(range(3), repeat=4)
    }
    best = max(returns, key=lambda actions: returns[actions])
    assert problem.optimal_return() == pytest.approx(returns[best], rel=1e-10)
    assert returns[tuple(problem.optimal_policy().tolist())] == pytest.approx(returns[best], rel=1e-10)
    assert problem.best_deterministic_return() == pytest.approx(returns[best], rel=1e-10)


def test_policy_iteration_ends_where_all_actions_are_equal() -> None:
    tied = MDP(
        P=np.full((3, 4, 3), 1 / 3), r=np.full((3, 4), 0.1), mu=np.ones(3) / 3, horizon=None, discount=0.99
    )
    assert tied.optimal_return() == pytest.approx(10.0)


def test_backward_induction_finds_the_best_of_all_policies_that_know_the_time() -> None:
    problem = random_mdp(stream("brute", 2), 2, 2, horizon=3, discount=0.9)
    returns = {}
    for flat in itertools.product(range(2), repeat=6):
        d, total = problem.mu, 0.0
        for t, actions in enumerate(np.reshape(flat, (3, 2))):
            total += 0.9**t * float(d @ problem.r[[0, 1], actions])
            d = d @ problem.P[[0, 1], actions]
        returns[flat] = total
    best = max(returns, key=lambda flat: returns[flat])
    assert problem.optimal_return() == pytest.approx(returns[best], rel=1e-12)
    assert tuple(problem.optimal_policy().ravel().tolist()) == best
    assert returns[best] > max(returns[(*a, *a, *a)] for a in itertools.product(range(2), repeat=2)) + 1e-3


@pytest.mark.parametrize("name", ["finite, aliased", "infinite, aliased"])
def test_the_best_deterministic_memoryless_policy_is_the_best_of_all_and_ascent_reaches_it(name: str) -> None:
    problem = RANDOM[name]
    O, A = problem.table  # noqa: E741 - the symbol
    returns = [
        problem.expected_return(always(actions, A)) for actions in itertools.product(range(A), repeat=O)
    ]
    assert problem.best_deterministic_return() == pytest.approx(max(returns), rel=1e-12)
    ascended = best_memoryless_return(problem, stream(2))
    assert max(returns) - 1e-4 < ascended < problem.optimal_return()


def test_too_many_deterministic_policies_are_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tabular, "MAX_POLICIES", 255)
    with pytest.raises(ValueError, match=r"expected at most 255 deterministic policies, got 4\^4"):
        aliased_gridworld().best_deterministic_return()


def test_a_deterministic_memoryless_policy_gets_stuck_in_the_gridworld_and_a_coin_does_not() -> None:
    grid = aliased_gridworld()
    starts = [dataclasses.replace(grid, mu=np.eye(7)[cell]) for cell in (1, 3)]
    for actions in itertools.product(range(4), repeat=4):
        theta = always(actions, 4)
        # from one of the two it pays for all 20 steps, or meets a skull
        assert min(start.expected_return(theta) for start in starts) <= -20 * 0.05 + 1e-12
    # (3 − 0.05 (3 + 2 + 1 + 20 + 20))/5, and 1 − 0.05 (3 + 2 + 1 + 2 + 3)/5 for who sees the cell
    assert grid.best_deterministic_return() == pytest.approx(0.14)
    assert grid.optimal_return() == pytest.approx(0.89)
    coin = grid.expected_return(coin_policy())
    assert coin == pytest.approx(0.81, abs=0.001)
    assert coin - 1e-5 < best_memoryless_return(grid, stream(3)) <= coin + 1e-12


def test_the_chain_pays_one_per_right_action_whatever_its_length() -> None:
    for horizon, cells in ((1, 1), (20, 5), (33, 7)):
        problem = chain(horizon, cells)
        assert problem.table == (cells, 2)
        assert problem.optimal_return() == pytest.approx(horizon)
        assert problem.expected_return(np.zeros((cells, 2))) == pytest.approx(horizon / 2)
        assert problem.best_deterministic_return() == pytest.approx(horizon)
        right = np.zeros((cells, 2))
        right[np.arange(cells), np.arange(cells) % 2] = 1.0  # chosen with probability e/(1 + e)
        assert problem.expected_return(right) == pytest.approx(horizon * np.e / (1 + np.e))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"r": np.zeros(2)}, r"r: expected a number for every state and action, got shape \(2,\)"),
        ({"P": np.ones((2, 2, 3)) / 3}, r"P: expected shape \(2, 2, 2\) to match r, got \(2, 2, 3\)"),
        ({"mu": np.ones(3) / 3}, r"mu: expected shape \(2,\) to match r, got \(3,\)"),
        ({"observations": np.zeros(3, dtype=int)}, "observations: expected shape"),
        ({"P": 0.9 * STAY_OR_GO.P}, "P: expected probabilities that sum to 1, got least 0, sums from 0.9"),
        ({"mu": np.array([1.5, -0.5])}, "mu: expected probabilities that sum to 1, got least -0.5"),
        ({"mu": np.array([np.nan, 1.0])}, "mu: expected probabilities"),
        ({"r": np.full((2, 2), np.inf)}, "r, reward_std: expected finite numbers"),
        ({"reward_std": -1.0}, "r, reward_std: expected finite numbers"),
        ({"horizon": 0}, "horizon: expected at least 1, or None for an infinite one, got 0"),
        ({"discount": 1.0}, "discount: expected 0 to 1, below 1 without a horizon, got 1.0"),
        ({"discount": -0.1, "horizon": 3}, "discount: expected 0 to 1"),
        ({"observations": np.array([0, -1])}, "observations: expected numbers counted from 0"),
        ({"terminal": np.array([True, True])}, "terminal: expected states that stay, pay nothing"),
    ],
)
def test_a_process_that_makes_no_sense_is_refused_with_what_was_expected(
    change: dict[str, Any], message: str
) -> None:
    fields = {field.name: getattr(STAY_OR_GO, field.name) for field in dataclasses.fields(MDP)}
    with pytest.raises(ValueError, match=message):  # past the annotations, which only tests check
        MDP.__post_init__(SimpleNamespace(**(fields | change)))


@pytest.mark.parametrize(
    "change",
    [
        {"P": np.array([[[0.5, 0.2, 0.3]] * 2] * 3)},
        {"r": np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.1]])},
        {"mu": np.array([0.5, 0.4, 0.1])},
    ],
    ids=["leaves", "pays", "starts"],
)
def test_a_terminal_state_that_leaves_pays_or_starts_is_refused(change: dict[str, Array]) -> None:
    with pytest.raises(ValueError, match=r"terminal: expected states that stay, pay nothing and .*, not 2"):
        dataclasses.replace(ENDING, **change)


def test_a_table_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"theta: expected shape \(4, 4\), got \(7, 4\)"):
        aliased_gridworld().expected_return(np.zeros((7, 4)))


@pytest.mark.parametrize("branching", [2, 9])
def test_a_random_process_has_as_many_successors_as_asked_and_the_same_seed_makes_the_same(
    branching: int,
) -> None:
    one, same, other = (random_mdp(stream(seed), 6, 2, branching=branching) for seed in (1, 1, 2))
    assert ((one.P > 0).sum(axis=-1) == min(branching, 6)).all()
    assert one.P.tobytes() + one.r.tobytes() + one.mu.tobytes() == (
        same.P.tobytes() + same.r.tobytes() + same.mu.tobytes()
    )
    assert one.P.tobytes() != other.P.tobytes()
