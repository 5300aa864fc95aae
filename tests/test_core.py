"""The nouns: fitness, moments, rollouts, domains."""

import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policysearch.core import (
    NO_FITNESS_YET,
    Domain,
    Evaluation,
    Moments,
    Policy,
    Proposal,
    Rollout,
)
from policysearch.core import StochasticPolicy as Stochastic
from policysearch.policies import MLP, Gaussian, Linear, Softmax
from policysearch.seeding import stream


def evaluation(returns: list[Any], **options: Any) -> Evaluation:
    values = np.array(returns, dtype=float).reshape(len(returns), -1)
    return Evaluation(np.zeros((len(values), 1)), values, np.ones(values.shape, dtype=int), **options)


ANY_RETURN = st.floats(allow_nan=True, allow_infinity=True)


@settings(deadline=None)
@given(st.lists(ANY_RETURN, min_size=1, max_size=6))
def test_fitness_is_finite_and_a_failure_is_below_every_success_whatever_the_magnitudes(
    returns: list[float],
) -> None:
    fitness = evaluation(returns).fitness
    failed = ~np.isfinite(returns)
    assert np.isfinite(fitness).all()
    if failed.any() and not failed.all():
        worst = fitness[~failed].min()
        assert (fitness[failed] < worst).all() or worst == -sys.float_info.max


@settings(deadline=None)
@given(st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=6))
def test_fitness_of_finite_returns_is_the_returns_themselves(returns: list[float]) -> None:
    assert evaluation(returns).fitness.tolist() == returns


def test_a_failure_is_ranked_behind_a_success_so_large_that_one_less_is_the_same_number() -> None:
    assert -1e20 - 1.0 == -1e20
    assert evaluation([np.nan, -1e20], failed_fitness=-1e20).ranking().tolist() == [1, 0]


def test_a_range_beyond_what_numbers_can_hold_makes_the_lowest_number_there_is() -> None:
    lowest = -sys.float_info.max
    assert evaluation([1e308, -1e308, np.nan]).fitness.tolist() == [1e308, -1e308, lowest]


def test_a_generation_without_a_range_of_its_own_takes_what_the_search_knows() -> None:
    assert evaluation([np.nan, 5.0], failed_fitness=-7.0).fitness.tolist() == [-7.0, 5.0]
    assert evaluation([np.nan, 5.0], failed_fitness=100.0).fitness.tolist() == [4.0, 5.0]
    assert evaluation([np.nan, np.inf], failed_fitness=-7.0).fitness.tolist() == [-7.0, -7.0]
    assert evaluation([np.nan]).fitness.tolist() == [NO_FITNESS_YET]


def test_a_candidate_fails_with_any_one_of_its_episodes() -> None:
    one = evaluation([[1.0, 2.0, np.nan], [0.0, 0.0, 3.0], [4.0, 4.0, 4.0]])
    assert one.fitness.tolist() == [1.0 - 3.0, 1.0, 4.0]


def test_a_candidate_that_nobody_measured_is_worth_the_median_of_those_that_were() -> None:
    nan = np.nan
    assert evaluation([1.0, nan, 5.0, 2.0], unmeasured=(1,)).fitness.tolist() == [1.0, 2.0, 5.0, 2.0]
    assert evaluation([1.0, nan, nan, 4.0], unmeasured=(1, 2)).fitness.tolist() == [1.0, 2.5, 2.5, 4.0]
    # failures keep their own rule, and have no part in the median: 1 − (5 − 1), median of 1, 2 and 5
    mixed = evaluation([1.0, nan, 5.0, nan, 2.0], unmeasured=(3,))
    assert mixed.fitness.tolist() == [1.0, -3.0, 5.0, 2.0, 2.0]
    assert mixed.measured.tolist() == [0, 1, 2, 4]
    episodes = evaluation([[1.0, 3.0], [nan, nan], [5.0, 7.0]], unmeasured=(1,))
    assert episodes.fitness.tolist() == [2.0, 4.0, 6.0]


def test_where_there_is_no_return_the_unmeasured_are_worth_what_a_failure_is() -> None:
    assert evaluation([np.nan, np.nan], unmeasured=(0, 1), failed_fitness=-7.0).fitness.tolist() == [-7.0] * 2
    assert evaluation([np.nan, np.nan], unmeasured=(1,), failed_fitness=-7.0).fitness.tolist() == [-7.0] * 2


def test_the_median_is_finite_whatever_the_magnitudes() -> None:
    assert evaluation([1.7e308, np.nan, 1.6e308], unmeasured=(1,)).fitness[1] == pytest.approx(1.65e308)


def test_of_equal_fitness_those_that_were_measured_come_first() -> None:
    assert evaluation([np.nan, 3.0], unmeasured=(0,)).ranking().tolist() == [1, 0]
    assert evaluation([2.0, np.nan, 3.0, 1.0], unmeasured=(1,)).ranking().tolist() == [2, 0, 1, 3]


@pytest.mark.parametrize("unmeasured", [(2,), (-1,), (0,)])
def test_only_a_candidate_without_a_return_can_be_unmeasured(unmeasured: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=f"below 2 whose returns are NaN, got {unmeasured[0]}"):
        evaluation([1.0, np.nan], unmeasured=unmeasured)


@settings(deadline=None)
@given(st.lists(st.lists(st.floats(-1e3, 1e3), min_size=0, max_size=7), min_size=1, max_size=5))
def test_merged_moments_are_those_of_the_whole_in_any_grouping(parts: list[list[float]]) -> None:
    each = [
        Moments(len(p), np.array([np.mean(p)]), np.array([np.var(p) * len(p)])) if p else Moments.empty(1)
        for p in parts
    ]
    forwards, backwards = Moments.empty(1), Moments.empty(1)
    for m in each:
        forwards, backwards = forwards + m, m + backwards
    whole = np.concatenate([np.array(p) for p in parts])
    assert forwards.count == backwards.count == whole.size
    for merged in (forwards, backwards):
        assert merged.mean == pytest.approx(whole.mean() if whole.size else 0.0, abs=1e-9)
        assert merged.std == pytest.approx(whole.std() if whole.size else 0.0, abs=1e-5)


def test_a_rollout_scores_itself_at_the_parameters_that_made_it() -> None:
    policy, rng = Gaussian(Linear(2, 1)), stream(1)
    params, obs, actions = rng.standard_normal(4), rng.standard_normal((3, 2)), rng.standard_normal((3, 1))
    rollout = Rollout(policy, params, obs, actions, np.zeros(3), np.zeros(2), True, False)
    weights = np.array([1.0, -2.0, 0.5])
    # by hand: z = (a − W s − b)/σ; ∂/∂W = z/σ s, ∂/∂b = z/σ, ∂/∂ℓ = z² − 1
    std = np.exp(params[3])
    z = (actions[:, 0] - obs @ params[:2] - params[2]) / std
    by_hand = [*((weights * z / std) @ obs), (weights * z / std).sum(), (weights * (z**2 - 1)).sum()]
    assert rollout.score(weights) == pytest.approx(by_hand)


def test_a_domain_clips_to_its_bounds_and_leaves_the_unbounded_alone() -> None:
    domain = Domain(np.zeros(3), np.array([-1.0, -np.inf, -2.0]), np.array([1.0, 0.5, np.inf]))
    assert domain.bounded
    outside = np.array([[3.0, 3.0, 3.0], [-3.0, -3.0, -3.0]])
    assert domain.clip(outside).tolist() == [[1.0, 0.5, 3.0], [-1.0, -3.0, -2.0]]
    assert domain.clip(outside[0]).tolist() == [1.0, 0.5, 3.0]
    free = Domain.unbounded(np.array([1.0, 2.0, 3.0], dtype=np.float32))
    assert free.start.dtype == float
    assert not free.bounded
    assert free.clip(outside).tolist() == outside.tolist()


@pytest.mark.parametrize(("lower", "upper"), [(-np.inf, 1.0), (-1.0, np.inf)])
def test_one_finite_bound_makes_a_domain_bounded(lower: float, upper: float) -> None:
    assert Domain(np.zeros(1), np.array([lower]), np.array([upper])).bounded
    assert not Domain(np.zeros(1), np.array([lower]), np.array([upper])).enclosed
    assert Domain(np.zeros(1), np.array([-1.0]), np.array([1.0])).enclosed


def test_the_cost_of_a_proposal_is_candidates_times_episodes() -> None:
    assert Proposal(np.zeros((7, 2)), np.zeros(2), episodes=3).cost == 21


def test_only_distributions_are_stochastic_policies() -> None:
    for policy in (Linear(2, 1), MLP(2, 1)):
        assert isinstance(policy, Policy)
        assert not isinstance(policy, Stochastic)
    for policy in (Gaussian(Linear(2, 1)), Softmax(MLP(2, 3), (3,))):
        assert isinstance(policy, Stochastic)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_an_evaluation_is_complete_where_every_candidate_has_a_finite_mean(wrong: float) -> None:
    returns, steps = np.array([[1.0, 3.0], [-1.0, 2.0]]), np.array([[4, 5], [6, 7]])
    whole = Evaluation(np.zeros((2, 1)), returns, steps)
    assert whole.complete
    assert (whole.means.tolist(), whole.extremes, whole.total_steps) == ([2.0, 0.5], (0.5, 2.0), 22)
    returns = returns.copy()
    returns[1, 0] = wrong
    broken = Evaluation(np.zeros((2, 1)), returns, steps)
    assert not broken.complete
    assert np.isfinite(broken.fitness).all()
    assert not Evaluation(np.zeros((1, 1)), np.array([[1e308, 1e308]]), np.ones((1, 2), dtype=int)).complete
