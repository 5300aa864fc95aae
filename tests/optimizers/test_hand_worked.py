"""One step of every update rule, worked by hand from the published pseudocode."""

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from problems import WALKER, Values, walk

from policysearch.core import Array, Domain, Evaluation, Moments, Needs, Optimizer, Proposal
from policysearch.gradients import finite_difference as estimate
from policysearch.optimizers import (
    ARS,
    CMAES,
    SPSA,
    CrossEntropy,
    EvolutionStrategy,
    FiniteDifference,
    Genetic,
    HillClimbing,
    MultiStart,
    NelderMead,
    OnePlusOneCMAES,
    RandomSearch,
    Reinforce,
    Trusted,
    Whitened,
)
from policysearch.optimizers.cma_es import _NoiseHandling
from policysearch.optimizers.cross_entropy import elite_weights
from policysearch.optimizers.evolution_strategy import centred_ranks
from policysearch.optimizers.nelder_mead import _Simplex
from policysearch.optimizers.one_plus_one_cma_es import _Shape
from policysearch.policies import Linear
from policysearch.search import Budget, generations
from policysearch.seeding import stream


def told(proposal: Proposal, returns: Sequence[float]) -> Evaluation:
    values = np.array(returns, dtype=float)[:, None]
    return Evaluation(proposal.params, values, np.ones(values.shape, dtype=int))


def begin(optimizer: Optimizer, start: Sequence[float], seed: int = 1) -> Any:
    return optimizer.search(Domain.unbounded(np.array(start, dtype=float)), stream(seed))


# (1+1)-CMA-ES ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("slow", [True, False])
def test_the_factor_of_the_covariance_and_its_inverse_follow_the_update_of_the_covariance(slow: bool) -> None:
    d, shape, rng = 4, _Shape.round(4), stream(3)
    C, p_c, c_c, c = np.eye(d), np.zeros(d), 2 / 6, 2 / 22
    for _ in range(25):
        y = rng.standard_normal(d)
        shape.learn(y, slow)
        p_c = (1 - c_c) * p_c + (math.sqrt(c_c * (2 - c_c)) * y if slow else 0.0)
        C = (1 - c) * C + c * (np.outer(p_c, p_c) + (0.0 if slow else c_c * (2 - c_c)) * C)
        assert pytest.approx(C) == shape.A @ shape.A.T
        assert shape.A @ shape.inverse == pytest.approx(np.eye(d), abs=1e-12)


def test_a_step_is_longer_after_a_better_child_and_shorter_after_a_worse_one() -> None:
    search = begin(OnePlusOneCMAES(sigma=0.5), [0.0, 0.0])
    first = next(search)
    assert first.params[0].tolist() == [0.0, 0.0]
    better = search.send(told(first, [0.0, 1.0]))
    assert better.recommendation.tolist() == first.params[1].tolist()
    # p̄ = 11/12 · 2/11 + 1/12 = 1/4; (1/4 − 2/11)/((1 − 2/11)(1 + 2/2)) = (3/44)/(18/11) = 1/24
    assert better.diagnostics["sigma"] == pytest.approx(0.5 * math.exp(1 / 24))
    assert len(better.params) == 1
    worse = search.send(told(better, [0.5]))
    # p̄ = 11/12 · 1/4 = 11/48; (11/48 − 2/11)/(18/11) = (25/528)/(18/11) = 25/864
    assert worse.diagnostics["sigma"] == pytest.approx(0.5 * math.exp(1 / 24 + 25 / 864))
    equal = search.send(told(worse, [1.0]))
    assert equal.diagnostics["sigma"] == worse.diagnostics["sigma"]
    assert equal.recommendation.tolist() == better.recommendation.tolist()


def test_a_lucky_parent_stays_unless_it_is_evaluated_again() -> None:
    for again, recommended in ((False, 0), (True, 1)):
        search = begin(OnePlusOneCMAES(reevaluate=again), [0.0])
        first = next(search)
        second = search.send(told(first, [9.0, 1.0]))
        assert len(second.params) == 1 + again
        third = search.send(told(second, [0.0, 1.0] if again else [1.0]))
        assert third.recommendation.tolist() == [first.params[0], second.params[-1]][recommended].tolist()


# Multi-start -----------------------------------------------------------------------------------------


def test_a_second_start_finds_the_higher_of_two_peaks() -> None:
    def peaks(x: Array) -> Array:
        low, high = ((x - centre) ** 2 @ np.array([1.0, 2.0]) for centre in (0.3, 0.9))
        return np.asarray(np.exp(-50 * low) + 2 * np.exp(-800 * high))

    domain = Domain(np.full(2, 0.35), np.zeros(2), np.ones(2))
    found = {}
    for method in (MultiStart(), NelderMead(edge=0.1)):
        for last in generations(method, Values(peaks), domain, budget=Budget(600), seed=2):
            found[type(method)] = last.recommendation
    assert found[NelderMead] == pytest.approx(0.3, abs=0.01)
    assert found[MultiStart] == pytest.approx(0.9, abs=0.01)


def test_every_start_has_a_design_in_slices_of_the_ranges_and_recommends_the_best_of_all() -> None:
    domain = Domain(np.full(2, 0.5), np.zeros(2), np.ones(2))
    made = list(generations(MultiStart(design=5), Values(), domain, budget=Budget(300), seed=1))
    designs = [g.proposal.params for g in made if len(g.proposal.params) in (5, 6)]
    assert len(designs) >= 2
    assert designs[0][0].tolist() == [0.5, 0.5]
    for design in designs[1:]:
        assert np.sort(np.floor(5 * design), axis=0).tolist() == [[i, i] for i in range(5)]
    best = -np.inf
    for g in made:
        best = max(best, float(g.evaluation.returns.max()))
        assert Values().function(g.recommendation[None])[0] == pytest.approx(best, abs=1e-12)


# Cross-entropy ---------------------------------------------------------------------------------------


def test_cross_entropy_refits_mean_and_variance_to_the_elites_and_adds_the_noise() -> None:
    search = begin(
        CrossEntropy(population_size=4, elites=2, sigma=2.0, noise=0.25, noise_generations=2), [0.0]
    )
    first = next(search)
    order = [2, 0, 3, 1]  # from best to worst
    returns = np.empty(4)
    returns[order] = [4.0, 3.0, 2.0, 1.0]
    second = search.send(told(first, returns))
    x, y = first.params[2, 0], first.params[0, 0]
    assert second.recommendation[0] == pytest.approx((x + y) / 2)
    # var of two numbers is ((x − y)/2)²; Z_0 = 0.25·2² = 1 in generation 0
    assert second.diagnostics["sigma"] == pytest.approx(np.sqrt(((x - y) / 2) ** 2 + 1.0))


def test_the_noise_of_cross_entropy_decreases_by_generation_and_not_by_candidate() -> None:
    optimizer = CrossEntropy(population_size=10, elites=2, sigma=1.0, noise=1.0, noise_generations=4)
    search = begin(optimizer, [0.0])
    proposal, added = next(search), []
    for _ in range(6):
        evaluation = told(proposal, list(range(10)))
        spread = proposal.params[-2:, 0].var()  # the two best are the last
        proposal = search.send(evaluation)
        added.append(proposal.diagnostics["sigma"] ** 2 - spread)
    assert added == pytest.approx([1.0, 0.75, 0.5, 0.25, 0.0, 0.0], abs=1e-12)  # max(1 − t/4, 0)


@pytest.mark.parametrize(
    ("ordered", "elites", "weights"),
    [
        ([4.0, 3.0, 2.0, 1.0], 2, [1, 1, 0, 0]),
        ([5.0, 3.0, 3.0, 3.0, 1.0], 2, [1, 1 / 3, 1 / 3, 1 / 3, 0]),
        ([3.0, 3.0, 1.0], 1, [0.5, 0.5, 0]),
        ([3.0, 3.0, 1.0], 2, [1, 1, 0]),
    ],
)
def test_candidates_as_good_as_the_last_elite_share_its_place(
    ordered: list[float], elites: int, weights: list[float]
) -> None:
    assert elite_weights(np.array(ordered), elites) == pytest.approx(weights, abs=0)


@pytest.mark.parametrize("covariance", ["diagonal", "full"])
def test_cross_entropy_is_refitted_to_all_that_are_as_good_as_the_last_elite(covariance: Any) -> None:
    search = begin(CrossEntropy(population_size=4, elites=2, noise=0.0, covariance=covariance), [0.0, 0.0])
    first = next(search)
    second = search.send(told(first, [3.0, 3.0, 9.0, 0.0]))  # the weights are 1/2, 1/2 and 1
    a, b, c = first.params[:3]
    assert second.recommendation == pytest.approx((a / 2 + b / 2 + c) / 2)


# Evolution strategy ----------------------------------------------------------------------------------


def test_centred_ranks_lie_between_minus_a_half_and_a_half_and_ties_share_theirs() -> None:
    # sorted 1 2 2 5: ranks 0, (1 + 2)/2, (1 + 2)/2, 3; over 3, minus a half
    assert centred_ranks(np.array([2.0, 5.0, 1.0, 2.0])) == pytest.approx([0.0, 0.5, -0.5, 0.0])


def test_the_first_step_of_the_evolution_strategy_is_adams_on_the_decayed_rank_gradient() -> None:
    optimizer = EvolutionStrategy(population_size=4, sigma=0.5, learning_rate=0.1, weight_decay=0.01)
    search = begin(optimizer, [2.0, -1.0])
    first = next(search)
    epsilon = (first.params - [2.0, -1.0]) / 0.5
    assert epsilon[2:] == pytest.approx(-epsilon[:2])  # mirrored
    second = search.send(told(first, [10.0, 20.0, 40.0, 30.0]))
    F = np.array([-1 / 2, -1 / 6, 1 / 2, 1 / 6])
    g = sum(F[i] * epsilon[i] for i in range(4)) / (4 * 0.5) - 0.01 * np.array([2.0, -1.0])
    # Adam's first step: m̂ = g, v̂ = g², so α g/(|g| + 1e-8)
    assert second.recommendation == pytest.approx([2.0, -1.0] + 0.1 * g / (np.abs(g) + 1e-8))
    third = search.send(told(second, [1.0, 2.0, 3.0, 4.0]))
    epsilon = (second.params - second.recommendation) / 0.5
    g2 = np.array([-1 / 2, -1 / 6, 1 / 6, 1 / 2]) @ epsilon / 2 - 0.01 * second.recommendation
    m_hat = (0.9 * 0.1 * g + 0.1 * g2) / (1 - 0.9**2)
    v_hat = (0.999 * 0.001 * g**2 + 0.001 * g2**2) / (1 - 0.999**2)
    expected = second.recommendation + 0.1 * m_hat / (np.sqrt(v_hat) + 1e-8)
    assert third.recommendation == pytest.approx(expected)


def test_equal_returns_do_not_even_decay_the_weights() -> None:
    search = begin(EvolutionStrategy(population_size=4, weight_decay=0.5), [3.0, -2.0])
    second = search.send(told(next(search), [7.0, 7.0, 7.0, 7.0]))
    assert second.recommendation.tolist() == [3.0, -2.0]


# ARS -------------------------------------------------------------------------------------------------


def test_ars_v1_divides_by_the_number_of_directions_and_the_spread_of_the_returns() -> None:
    search = begin(ARS(directions=2, step_size=0.5, sigma=0.1), [1.0, 1.0])
    first = next(search)
    delta = (first.params[:2] - 1.0) / 0.1
    assert first.params[2:] == pytest.approx(1.0 - 0.1 * delta)
    second = search.send(told(first, [3.0, 1.0, 1.0, 3.0]))
    # r⁺ − r⁻ = (2, −2); σ_R of (3, 1, 1, 3) is 1; α/(bσ_R) = 0.5/2
    assert second.recommendation == pytest.approx(1.0 + 0.25 * (2 * delta[0] - 2 * delta[1]))


def test_ars_t_uses_the_directions_with_the_best_of_either_sign_and_their_spread_only() -> None:
    search = begin(ARS(directions=3, top=1, step_size=0.5, sigma=0.1), [0.0, 0.0])
    first = next(search)
    delta = first.params[:3] / 0.1
    second = search.send(told(first, [3.0, 2.0, 0.0, 3.0, 0.0, 4.0]))
    # best of either sign: 3, 2, 4: direction 2, whose returns (0, 4) have spread 2; α/(bσ_R) = 0.5/2
    assert second.recommendation == pytest.approx(0.5 / 2 * (0.0 - 4.0) * delta[2])


# SPSA ------------------------------------------------------------------------------------------------


def test_spsa_follows_spalls_gain_sequences() -> None:
    optimizer = SPSA(c=0.2, first_step=0.1, expected_iterations=50, max_step=10.0)
    search = begin(optimizer, [0.0, 0.0])
    first = next(search)
    delta = np.sign(first.params[0])
    assert first.params == pytest.approx(np.array([0.2 * delta, -0.2 * delta]))
    second = search.send(told(first, [3.0, 1.0]))
    # ĝ_0 = (3 − 1)/(2·0.2 Δ) = 5Δ; a is such that the first step is 0.1 per parameter
    assert second.recommendation == pytest.approx(0.1 * delta)
    a = 0.1 * (1 + 5) ** 0.602 / 5  # A = 5
    c_1 = 0.2 / 2**0.101
    delta_1 = np.sign(second.params[0] - second.recommendation)
    assert second.params[0] == pytest.approx(second.recommendation + c_1 * delta_1)
    third = search.send(told(second, [0.0, 1.0]))
    g_1 = (0.0 - 1.0) / (2 * c_1) * delta_1
    assert third.recommendation == pytest.approx(second.recommendation + a / (1 + 1 + 5) ** 0.602 * g_1)


def test_spsa_shortens_a_step_that_is_too_long() -> None:
    search = begin(SPSA(first_step=0.1, max_step=0.15), [0.0, 0.0, 0.0])
    second = search.send(told(next(search), [1.0, 0.0]))
    third = search.send(told(second, [1e6, 0.0]))
    assert np.abs(third.recommendation - second.recommendation) == pytest.approx(0.15)


# Finite differences ----------------------------------------------------------------------------------


def test_kohl_and_stones_rule_compares_the_averages_of_three_groups() -> None:
    signs = np.array(
        [[1, 1, 0, 1], [1, 0, -1, 1], [0, 1, 1, -1], [0, -1, 0, -1], [-1, 0, -1, -1], [-1, -1, 1, 1]],
        dtype=float,
    )
    fitness = np.array([6.0, 4.0, 9.0, 9.0, 1.0, 1.0])
    # parameter 0: Avg₊ = 5, Avg₀ = 9, Avg₋ = 1: the middle is best, so 0
    # parameter 1: Avg₊ = 7.5, Avg₀ = 2.5, Avg₋ = 5: 7.5 − 5
    # parameter 2: Avg₊ = 5, Avg₀ = 7.5, Avg₋ = 2.5: the middle is best, so 0
    # parameter 3: nobody at 0: the group is empty, so 0
    assert estimate.kohl_stone(signs, fitness) == pytest.approx([0.0, 2.5, 0.0, 0.0])
    # negated, the middle of 0 and of 2 is the worst and the slopes count; the middle of 1 is now the best
    assert estimate.kohl_stone(signs, -fitness) == pytest.approx([-4.0, 0.0, -2.5, 0.0])


def test_kohl_and_stones_step_has_the_length_eta_times_epsilon() -> None:
    search = begin(FiniteDifference(epsilon=0.1, step_size=2.0), [0.0] * 6)
    first = next(search)
    assert set(np.round(first.params / 0.1, 9).ravel()) == {-1.0, 0.0, 1.0}
    second = search.send(told(first, first.params @ np.arange(6.0)))
    assert np.linalg.norm(second.recommendation) == pytest.approx(0.2)
    A = estimate.kohl_stone(np.round(first.params / 0.1), first.params @ np.arange(6.0))
    assert second.recommendation == pytest.approx(0.2 * A / np.linalg.norm(A))


class Drawn(np.random.Generator):
    """A generator whose integers are these tables, one after the other."""

    def __init__(self, *tables: Any) -> None:
        super().__init__(np.random.PCG64(1))
        self.tables = list(tables)

    def integers(self, *limits: Any, **options: Any) -> Any:
        assert (limits, options["size"]) == ((-1, 2), np.shape(self.tables[0]))
        return np.array(self.tables.pop(0))


#: Six perturbations of five parameters. Nobody has the fourth at 0, and nobody the fifth at +1.
SIGNS = [
    [1, 1, 0, 1, 0],
    [1, 0, -1, 1, 0],
    [0, 1, 1, -1, -1],
    [0, -1, 0, -1, -1],
    [-1, 0, -1, -1, 0],
    [-1, -1, 1, 1, -1],
]


def test_a_step_of_kohl_and_stone_worked_by_hand_with_both_rules_of_zero() -> None:
    start = [0.5, 0.2, -0.1, 0.0, 0.3]
    optimizer = FiniteDifference(perturbations=6, epsilon=0.125, step_size=2.0)
    search = optimizer.search(Domain.unbounded(np.array(start)), Drawn(SIGNS, SIGNS, SIGNS))
    first = next(search)
    assert first.params[0].tolist() == [0.625, 0.325, -0.1, 0.125, 0.3]  # ε = 1/8 up, up, not, up, not
    second = search.send(told(first, [-6.0, -4.0, -9.0, -9.0, -1.0, -1.0]))
    # parameter 0: Avg₊ = −(6 + 4)/2 = −5, Avg₀ = −(9 + 9)/2 = −9, Avg₋ = −(1 + 1)/2 = −1:  A₀ = −5 + 1 = −4
    # parameter 1: Avg₊ = −(6 + 9)/2 = −7.5, Avg₀ = −(4 + 1)/2 = −2.5, Avg₋ = −(9 + 1)/2 = −5: Avg₀ is best, A₁ = 0
    # parameter 2: Avg₊ = −(9 + 1)/2 = −5, Avg₀ = −(6 + 9)/2 = −7.5, Avg₋ = −(4 + 1)/2 = −2.5:  A₂ = −2.5
    # parameter 3: no Avg₀, A₃ = 0; parameter 4: no Avg₊, A₄ = 0
    # |A| = √(16 + 6.25) = √22.25; the step is η ε A/|A| = 0.25 A/√22.25, so 2 in units of ε
    step = 0.25 / np.sqrt(22.25) * np.array([-4.0, 0.0, -2.5, 0.0, 0.0])
    assert second.recommendation == pytest.approx(start + step, abs=1e-15)
    assert np.linalg.norm((second.recommendation - start) / 0.125) == pytest.approx(2.0)
    assert second.params == pytest.approx(second.recommendation + 0.125 * np.array(SIGNS))
    # equal returns: A₀ … A₄ are 0, and so is |A|: θ stays and is perturbed again
    third = search.send(told(second, [7.0] * 6))
    assert third.recommendation.tobytes() == second.recommendation.tobytes()
    assert third.params.tobytes() == second.params.tobytes()


def test_kohl_and_stones_search_draws_again_where_nothing_points_anywhere() -> None:
    search = begin(FiniteDifference(perturbations=4), [1.0, 2.0])
    first = next(search)
    second = search.send(told(first, [3.0] * 4))
    assert second.recommendation.tolist() == [1.0, 2.0]
    assert second.params.tobytes() != first.params.tobytes()


def test_central_differences_follow_the_gradient_of_a_quadratic_exactly() -> None:
    search = begin(FiniteDifference(variant="central", epsilon=0.5, step_size=1.0), [1.0, 3.0])
    first = next(search)
    assert first.params == pytest.approx(np.array([[1.5, 3.0], [1.0, 3.5], [0.5, 3.0], [1.0, 2.5]]))
    second = search.send(told(first, -(first.params**2).sum(axis=1)))
    # the gradient is (−2, −6), the step 0.5 long
    assert second.recommendation == pytest.approx([1.0, 3.0] - 0.5 * np.array([2.0, 6.0]) / np.sqrt(40.0))
    assert estimate.central(np.array([3.0]), np.array([1.0]), 0.5) == pytest.approx([2.0])


def test_the_regression_has_an_intercept() -> None:
    rng, gradient = stream(4), np.array([1.0, -2.0, 0.5, 3.0, -1.0])
    offsets = rng.choice((-1.0, 1.0), size=(10, 5))
    found = estimate.regression(offsets, offsets @ gradient + 10.0)
    assert found == pytest.approx(gradient)


# Nelder–Mead -----------------------------------------------------------------------------------------
# Two parameters, simplex (0,0), (1,0), (0,1) with values 3, 2, 1: best (0,0), worst (0,1), centroid of the
# others c = (½, 0), reflection x_r = c + (c − x_w) = (1, −1).


def simplex() -> tuple[Any, Proposal]:
    search = begin(NelderMead(edge=1.0), [0.0, 0.0])
    first = next(search)
    assert first.params == pytest.approx(np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    reflected = search.send(told(first, [3.0, 2.0, 1.0]))
    assert reflected.params == pytest.approx(np.array([[1.0, -1.0]]))
    return search, reflected


def test_nelder_mead_accepts_a_reflection_that_is_better_than_the_second_worst() -> None:
    search, reflected = simplex()
    following = search.send(told(reflected, [2.5]))
    # now (0,0), (1,−1), (1,0) with 3, 2.5, 2: c = (½, −½), x_r = (0, −1)
    assert following.params == pytest.approx(np.array([[0.0, -1.0]]))


def test_nelder_mead_expands_after_a_reflection_that_beats_the_best() -> None:
    search, reflected = simplex()
    expanded = search.send(told(reflected, [4.0]))
    assert expanded.params == pytest.approx(np.array([[1.5, -2.0]]))  # c + 2(x_r − c)
    assert expanded.recommendation == pytest.approx([1.0, -1.0])
    following = search.send(told(expanded, [5.0]))
    assert following.recommendation == pytest.approx([1.5, -2.0])
    # (1.5,−2), (0,0), (1,0): c = (0.75, −1), x_r = (0.5, −2)
    assert following.params == pytest.approx(np.array([[0.5, -2.0]]))


def test_nelder_mead_keeps_the_reflection_when_the_expansion_is_no_better() -> None:
    search, reflected = simplex()
    following = search.send(told(search.send(told(reflected, [4.0])), [4.0]))
    assert following.recommendation == pytest.approx([1.0, -1.0])


def test_nelder_mead_contracts_outside_towards_a_reflection_better_than_the_worst() -> None:
    search, reflected = simplex()
    contracted = search.send(told(reflected, [1.5]))
    assert contracted.params == pytest.approx(np.array([[0.75, -0.5]]))  # c + ½(x_r − c)
    following = search.send(told(contracted, [2.5]))
    # (0,0), (0.75,−0.5), (1,0): c = (0.375, −0.25), x_r = (−0.25, −0.5)
    assert following.params == pytest.approx(np.array([[-0.25, -0.5]]))


def test_nelder_mead_contracts_inside_after_a_reflection_worse_than_all() -> None:
    search, reflected = simplex()
    contracted = search.send(told(reflected, [0.5]))
    assert contracted.params == pytest.approx(np.array([[0.25, 0.5]]))  # c + ½(x_w − c)
    following = search.send(told(contracted, [1.5]))
    # (0,0), (1,0), (0.25,0.5) with 3, 2, 1.5: c = (½, 0), x_r = (0.75, −0.5)
    assert following.params == pytest.approx(np.array([[0.75, -0.5]]))


def test_nelder_mead_shrinks_towards_the_best_when_the_contraction_fails() -> None:
    search, reflected = simplex()
    shrunk = search.send(told(search.send(told(reflected, [0.5])), [0.9]))
    assert shrunk.params == pytest.approx(np.array([[0.5, 0.0], [0.0, 0.5]]))
    following = search.send(told(shrunk, [2.0, 1.0]))
    assert following.params == pytest.approx(np.array([[0.5, -0.5]]))


@pytest.mark.parametrize("corner", list(itertools.product((0.0, 1.0), repeat=3)))
@pytest.mark.parametrize("reach", [math.inf, 0.1])
def test_nelder_mead_leaves_every_corner_of_the_bounds_and_of_what_is_safe(
    corner: tuple[float, ...], reach: float
) -> None:
    best = np.array([0.3, 0.4, 0.2])
    domain = Domain(np.array(corner), np.zeros(3), np.ones(3))
    method = NelderMead() if reach == math.inf else Trusted(NelderMead(), reach)
    evaluator = Values(lambda x: -((x - best) ** 2).sum(axis=1))
    *_, last = generations(method, evaluator, domain, budget=Budget(150), seed=0)
    assert last.recommendation == pytest.approx(best, abs=0.02)


def test_the_first_simplex_of_nelder_mead_is_not_flat_where_the_bounds_are_nearer_than_its_edge() -> None:
    domain = Domain(np.array([0.0, 0.2, 0.3]), np.zeros(3), np.full(3, 0.3))
    corners = next(NelderMead().search(domain, stream(0))).params
    assert corners[1:] - corners[0] == pytest.approx(np.diag([0.3, -0.2, -0.3]))


def test_the_simplex_keeps_its_order_and_its_centroid_while_corners_are_replaced() -> None:
    rng = stream("simplex")
    simplex = _Simplex(rng.standard_normal((5, 4)), rng.integers(3, size=5).astype(float))
    for _ in range(200):
        simplex.replace_worst(rng.standard_normal(4), float(rng.integers(3)))
        values = [simplex._f[i] for i in simplex.order]
        assert values == sorted(values, reverse=True)
        assert (simplex.best[1], simplex.second_worst, simplex.worst[1]) == (values[0], *values[-2:])
        others = simplex.corners[simplex.order[:-1]]
        assert simplex.centroid() == pytest.approx(others.mean(axis=0), abs=1e-12)
    i = simplex.order[-1]
    simplex.replace_worst(np.zeros(4), simplex.second_worst)
    assert simplex.order[-1] == i  # of equal ones the newer comes last


def test_nelder_mead_shrinks_towards_a_best_point_that_is_not_the_origin() -> None:
    search = begin(NelderMead(edge=1.0), [2.0, 1.0])
    reflected = search.send(told(next(search), [3.0, 2.0, 1.0]))  # (2,1), (3,1), (2,2): x_r = (3, 0)
    assert reflected.params == pytest.approx(np.array([[3.0, 0.0]]))
    shrunk = search.send(told(search.send(told(reflected, [0.5])), [0.9]))
    assert shrunk.params == pytest.approx(np.array([[2.5, 1.0], [2.0, 1.5]]))


# Hill climbing, genetic, random search ---------------------------------------------------------------


def test_a_lucky_incumbent_is_dethroned_when_it_is_measured_again() -> None:
    search = begin(HillClimbing(neighbours=2), [0.0])
    first = next(search)
    second = search.send(told(first, [0.0, 100.0, 1.0]))  # a lucky neighbour
    assert second.recommendation.tobytes() == first.params[1].tobytes() == second.params[0].tobytes()
    third = search.send(told(second, [1.0, 2.0, 3.0]))
    assert third.recommendation.tobytes() == second.params[2].tobytes()


def test_without_measuring_again_a_lucky_incumbent_stays() -> None:
    search = begin(HillClimbing(neighbours=2, reevaluate=False), [0.0])
    first = next(search)
    second = search.send(told(first, [0.0, 100.0, 1.0]))
    assert len(second.params) == 2
    third = search.send(told(second, [50.0, 99.0]))
    assert third.recommendation.tobytes() == first.params[1].tobytes()
    fourth = search.send(told(third, [101.0, 99.0]))
    assert fourth.recommendation.tobytes() == third.params[0].tobytes()


def test_the_one_fifth_rule_widens_after_a_success_and_narrows_after_a_failure() -> None:
    search = begin(HillClimbing(neighbours=1, sigma=1.0, adapt=True), [0.0] * 3)
    second = search.send(told(next(search), [0.0, 1.0]))
    assert second.diagnostics["sigma"] == pytest.approx(np.exp(0.8 / 2))  # √(d + 1) = 2
    third = search.send(told(second, [1.0, 0.0]))
    assert third.diagnostics["sigma"] == pytest.approx(np.exp(0.8 / 2 - 0.2 / 2))


def test_the_one_fifth_rule_counts_every_neighbour() -> None:
    search = begin(HillClimbing(neighbours=5, sigma=1.0, adapt=True), [0.0] * 3)
    second = search.send(told(next(search), [0.0, 1.0, 2.0, -1.0, -1.0, 0.0]))  # two of five are better
    assert second.diagnostics["sigma"] == pytest.approx(np.exp(5 * (2 / 5 - 1 / 5) / 2))
    third = search.send(told(second, [2.0, 1.0, 1.0, 1.0, 1.0, 2.0]))
    assert third.diagnostics["sigma"] == pytest.approx(1.0)
    unmeasured = HillClimbing(neighbours=5, sigma=1.0, adapt=True, reevaluate=False)
    search = begin(unmeasured, [0.0] * 3)
    second = search.send(told(next(search), [0.0, 1.0, 2.0, -1.0, -1.0, 0.0]))
    third = search.send(told(second, [1.0, 2.5, 2.5, 2.5, 0.0]))  # the incumbent, 2, is not among them
    assert third.diagnostics["sigma"] == pytest.approx(np.exp(1 / 2) * np.exp((3 - 1) / 2))


def test_the_elite_of_a_genetic_algorithm_survives_unchanged_and_is_measured_again() -> None:
    search = begin(Genetic(population_size=6, elites=2), [0.0] * 3)
    first = next(search)
    assert (first.params[0] == 0).all()  # the start is in the first population
    second = search.send(told(first, [1.0, 5.0, 2.0, 6.0, 3.0, 4.0]))
    assert second.params[0].tobytes() == first.params[3].tobytes() == second.recommendation.tobytes()
    assert second.params[1].tobytes() == first.params[1].tobytes()
    third = search.send(told(second, [0.0, 0.0, 9.0, 0.0, 0.0, 0.0]))
    assert third.recommendation.tobytes() == second.params[2].tobytes()


def test_truncation_breeds_from_the_best_fraction_only() -> None:
    optimizer = Genetic(
        population_size=40, elites=0, selection="truncation", truncation=0.1, mutation_rate=0.0
    )
    search = begin(optimizer, [0.0] * 3)
    first = next(search)
    second = search.send(told(first, np.arange(40.0)))
    for gene in range(3):  # the best tenth are the last four
        assert set(second.params[:, gene]) == set(first.params[36:, gene])


def test_a_tournament_prefers_the_better_and_still_lets_others_win() -> None:
    search = begin(
        Genetic(population_size=2000, elites=0, crossover_rate=0.0, mutation_rate=0.0, tournament_size=2),
        [0.0],
    )
    first = next(search)
    children = search.send(told(first, np.arange(2000.0))).params[:, 0]
    rank = {value: i for i, value in enumerate(first.params[:, 0])}
    mean_rank = np.mean([rank[value] for value in children])
    # the larger of two uniform numbers has mean 2/3 and standard deviation √(1/18)
    assert abs(mean_rank / 2000 - 2 / 3) < 4 * np.sqrt(1 / 18 / 2000)


def test_uniform_crossover_takes_genes_from_both_parents_at_the_given_rate() -> None:
    optimizer = Genetic(population_size=2000, elites=0, crossover_rate=0.6, mutation_rate=0.0)
    search = begin(optimizer, [0.0, 0.0])
    first = next(search)
    children = search.send(told(first, np.arange(2000.0))).params
    whole = {tuple(row) for row in first.params}
    mixed = np.mean([tuple(row) not in whole for row in children])
    # crossed (0.6) and the two genes from different parents (½), save rare equal parents
    assert abs(mixed - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 2000) + 0.002


def test_random_search_recommends_the_best_candidate_ever_seen() -> None:
    search = begin(RandomSearch(population_size=3), [0.0])
    first = next(search)
    second = search.send(told(first, [1.0, 7.0, 3.0]))
    third = search.send(told(second, [6.0, 7.0, 5.0]))  # equal is not better
    assert third.recommendation.tobytes() == first.params[1].tobytes()


def partly_told(proposal: Proposal, returns: Sequence[float]) -> Evaluation:
    """Those who have no return were not measured."""
    unmeasured = tuple(np.flatnonzero(np.isnan(returns)).tolist())
    return dataclasses.replace(told(proposal, returns), unmeasured=unmeasured)


def test_of_two_candidates_the_one_that_was_measured_is_recommended() -> None:
    for optimizer in (RandomSearch(population_size=2), HillClimbing(neighbours=2, reevaluate=False)):
        search = begin(optimizer, [0.0, 0.0])
        proposal = next(search)
        if len(proposal.params) == 3:
            proposal = search.send(told(proposal, [1.0, 0.0, 0.0]))  # the start, and two neighbours
        after = search.send(partly_told(proposal, [np.nan, 5.0]))
        assert after.recommendation.tobytes() == proposal.params[1].tobytes()


def test_cma_es_learns_nothing_from_a_single_candidate_and_does_not_take_it_for_convergence() -> None:
    search = begin(CMAES(), [0.0, 0.0, 0.0])
    proposal = next(search)
    for _ in range(5):
        after = search.send(partly_told(proposal, [np.nan, 5.0] + [np.nan] * (len(proposal.params) - 2)))
        assert after.diagnostics == proposal.diagnostics
        assert after.recommendation.tolist() == [0.0, 0.0, 0.0]
        assert after.params.tobytes() != proposal.params.tobytes()
        proposal = after


def test_noise_handling_measures_again_only_who_was_measured_and_not_the_medians_of_too_few() -> None:
    search = begin(CMAES(noise_handling=True), [0.0, 0.0, 0.0])
    first = next(search)
    n = len(first.params)
    returns = np.where(np.arange(n) < 2, np.nan, np.arange(float(n)))
    again = search.send(partly_told(first, returns.tolist()))
    # λ_reev = 2 + 5/20 is 2 or 3: the first one or two of those that were measured, and the best of the others
    assert again.purpose == "re-evaluation"
    assert again.params.tobytes() in (
        first.params[[2, n - 1]].tobytes(),
        first.params[[2, 3, n - 1]].tobytes(),
    )
    second = search.send(partly_told(again, [2.0] + [np.nan] * (len(again.params) - 1)))
    again = search.send(told(second, returns=np.arange(float(n)).tolist()))
    third = search.send(partly_told(again, [np.nan] * len(again.params)))
    assert third.diagnostics["episodes"] == second.diagnostics["episodes"]
    few = search.send(partly_told(third, [1.0, 2.0] + [np.nan] * (n - 2)))
    assert few.purpose == "search"


def test_random_search_is_uniform_between_two_bounds() -> None:
    domain = Domain(np.array([1.0]), np.array([0.0]), np.array([10.0]))
    search = RandomSearch(population_size=4000).search(domain, stream(3))
    x = next(search).params[:, 0]
    assert abs(x.mean() - 5.0) < 4 * np.sqrt(100 / 12 / 4000)
    assert x.min() < 0.01
    assert x.max() > 9.99


# Noise handling of CMA-ES ----------------------------------------------------------------------------


def test_noise_handling_measures_rank_changes_as_hansen_and_others_define_them() -> None:
    noise = _NoiseHandling(10, max_episodes=30)
    alpha = 1 + 2 / (10 + 10)
    steady = np.arange(8.0)[::-1]
    # nothing changes rank: s = 0 − max(1, limits) < 0, so fewer episodes (never below 1), σ as it is
    assert noise.update(steady, steady[:2], [0, 1]) == 1.0
    assert noise.episodes == 1
    # best and worst change places: |Δ| is near 2λ − 2, far over its limit
    disturbed = _NoiseHandling(10, max_episodes=30)
    for turn in range(1, 9):
        assert disturbed.update(steady, np.array([-1.0, 9.0]), [0, 7]) == pytest.approx(alpha)
        assert disturbed.episodes == int(alpha**turn)
    assert disturbed.episodes == 2


def test_noise_handling_repeats_the_earliest_and_the_best_of_the_others() -> None:
    noise = _NoiseHandling(10, max_episodes=30)
    fitness = np.array([0.0, 9.0, 1.0, 5.0, 8.0, 2.0])
    seen = {tuple(noise.indices(fitness, stream(i))) for i in range(40)}
    # λ_reev = 2 + 6/20 is 2 or 3: the first one or two, and the best of the rest
    assert seen == {(0, 1), (0, 1, 4)}


@pytest.mark.parametrize("unit", [2.0**-40, 1.0, 2.0**40])
def test_the_unit_of_returns_changes_nothing_in_cma_es_and_ends_no_search(unit: float) -> None:
    searches = [begin(CMAES(), [3.0, -2.0, 1.0]) for _ in range(2)]
    pairs = [next(search) for search in searches]
    for _ in range(60):
        assert pairs[0].params.tobytes() == pairs[1].params.tobytes()
        returns = -np.sum(pairs[0].params ** 2, axis=1)
        pairs = [
            search.send(told(proposal, (scale * returns).tolist()))
            for search, proposal, scale in zip(searches, pairs, (1.0, unit), strict=True)
        ]
    with pytest.raises(StopIteration):  # it does end where nothing is left to be found
        for _ in range(200):
            pairs[1] = searches[1].send(
                told(pairs[1], (-unit * np.sum(pairs[1].params ** 2, axis=1)).tolist())
            )


def test_equal_returns_widen_cma_es_up_to_the_ranges_and_do_not_end_it() -> None:
    for domain, widest in [
        (Domain(np.full(2, 0.4), np.zeros(2), np.ones(2)), 1.0),
        (Domain.unbounded(np.full(2, 0.4)), 1e6),
    ]:
        search = CMAES(sigma=0.3).search(domain, stream(1))
        proposal = next(search)
        for turn in range(50):
            assert proposal.diagnostics["sigma"] == pytest.approx(min(0.3 * 1.5**turn, widest))
            assert (proposal.recommendation == 0.4).all()
            proposal = search.send(told(proposal, [7.0] * len(proposal.params)))


def test_equal_returns_end_a_search_whose_steps_have_become_small() -> None:
    search = begin(CMAES(), [3.0, -2.0, 1.0])
    proposal = next(search)
    with pytest.raises(StopIteration) as end:  # 1 + x² is 1 where x is below 1e-8
        for _ in range(200):
            proposal = search.send(told(proposal, (-1 - np.sum(proposal.params**2, axis=1)).tolist()))
    assert proposal.diagnostics["sigma"] > 1e-9 * 0.3
    assert np.abs(end.value.value).max() < 1e-7


def test_a_first_generation_with_huge_returns_does_not_end_the_search() -> None:
    search = begin(CMAES(), [3.0, -2.0, 1.0])
    proposal = search.send(told(next(search), [-1e43, -1.0, -2.0, -3.0, -4.0, -5.0, -6.0]))
    for _ in range(40):
        proposal = search.send(told(proposal, (-np.sum(proposal.params**2, axis=1)).tolist()))
    assert np.abs(proposal.recommendation).max() < 0.1


def test_a_restarted_cma_es_keeps_its_old_mean_only_until_the_new_run_does_better() -> None:
    def plateau(
        x: Array,
    ) -> Array:  # flat around the start: the first, small population takes it for convergence
        far = np.abs(x).max(axis=1) > 0.75
        return np.where(far, 1.0 + x[:, 0], 0.0)

    search = begin(CMAES(sigma=0.3, population_size=4, restarts=9), [0.0, 0.0, 0.0])
    proposal, sizes, values = next(search), [], []
    for _ in range(60):
        sizes.append(len(proposal.params))
        values.append(float(plateau(proposal.recommendation[None])[0]))
        proposal = search.send(told(proposal, plateau(proposal.params).tolist()))
    assert sizes[0] == 4
    assert set(sizes) <= {4 * 2**i for i in range(10)}
    assert max(sizes) > 4  # it did start again
    assert values[0] == 0.0
    assert values[-1] > 1.0  # and what the new run found is recommended while that run goes on


# Whitened --------------------------------------------------------------------------------------------


class Spy:
    """A random search that remembers what it is told."""

    needs = Needs(scores=True)

    def __init__(self) -> None:
        self.asked: list[Proposal] = []
        self.told: list[Evaluation] = []

    def search(self, domain: Domain, rng: np.random.Generator) -> Any:
        while True:
            params = domain.start + rng.standard_normal((2, domain.start.size))
            self.asked.append(Proposal(params, params[0], episodes=3, sample=True, record=True))
            self.told.append((yield self.asked[-1]))


def test_the_inner_optimizer_sees_its_own_parameters_and_normalised_observations() -> None:
    spy, evaluator = Spy(), walk()
    search = Whitened(spy, WALKER).search(Domain.unbounded(np.zeros(4)), stream(1))
    proposal, moments = next(search), Moments.empty(2)
    for turn in range(3):
        evaluation = evaluator.evaluate(proposal, (turn,))
        mean, std = moments.mean, moments.std
        proposal = search.send(evaluation)
        asked, told = spy.asked[turn], spy.told[turn]
        assert told.params.tobytes() == asked.params.tobytes()
        assert told.returns.tobytes() == evaluation.returns.tobytes()
        for inner, outer in zip(told.rollouts, evaluation.rollouts, strict=True):
            for ours, raw in zip(inner, outer, strict=True):
                expected = raw.obs if turn == 0 else (raw.obs - mean) / std
                assert ours.obs == pytest.approx(expected)
                drawn = WALKER.log_prob(raw.params, raw.obs, raw.actions)
                assert WALKER.log_prob(ours.params, ours.obs, ours.actions) == pytest.approx(drawn)
        seen = np.concatenate([r.obs for rollouts in evaluation.rollouts for r in rollouts])
        moments = moments + Moments(
            len(seen), seen.mean(axis=0), ((seen - seen.mean(axis=0)) ** 2).sum(axis=0)
        )


def test_ars_v2_steps_in_normalised_coordinates_as_in_algorithm_2() -> None:
    policy = Linear(2, 1)
    search = Whitened(ARS(directions=1, step_size=0.5, sigma=0.1), policy).search(
        Domain.unbounded(np.zeros(3)), stream(1)
    )
    first = next(search)
    delta = first.params[0] / 0.1
    assert first.moments
    seen = Moments(100, np.array([1.0, -2.0]), 100 * np.array([4.0, 0.25]))  # μ = (1, −2), σ = (2, ½)
    values = np.array([[3.0], [1.0]])
    second = search.send(Evaluation(first.params, values, np.ones((2, 1), dtype=int), moments=seen))
    M = 0.5 / 1.0 * 2.0 * delta  # α/(bσ_R) (r⁺ − r⁻) δ, in normalised coordinates
    # W/σ and b − W μ/σ act on s as W, b act on (s − μ)/σ
    expected = [M[0] / 2, M[1] / 0.5, M[2] - M[0] / 2 * 1.0 + M[1] / 0.5 * 2.0]
    assert second.recommendation == pytest.approx(expected)


def test_a_whitened_search_that_ends_recommends_folded_parameters_and_survives_failures() -> None:
    policy = Linear(2, 1)
    search = Whitened(CMAES(), policy).search(Domain.unbounded(np.zeros(3)), stream(1))
    proposal = next(search)
    nothing = Evaluation(
        proposal.params, np.full((7, 1), np.nan), np.zeros((7, 1), dtype=int), moments=Moments.empty(2)
    )
    proposal = search.send(nothing)  # not a single observation: nothing to normalise by
    assert np.isfinite(proposal.params).all()
    seen, end = Moments(10, np.array([1.0, 2.0]), 10 * np.array([4.0, 9.0])), None
    while end is None:  # cma stops by itself
        values = -np.sum(proposal.params**2, axis=1)[:, None]
        kept = proposal
        try:
            proposal = search.send(
                Evaluation(proposal.params, values, np.ones(values.shape, dtype=int), moments=seen)
            )
        except StopIteration as stop:
            end = stop.value
    assert end.shape == (3,)
    assert np.abs(end - kept.recommendation).max() < 1.0


def test_an_observation_that_never_changes_is_ignored() -> None:
    search = Whitened(ARS(directions=1), Linear(2, 1)).search(Domain.unbounded(np.zeros(3)), stream(1))
    first = next(search)
    seen = Moments(10, np.array([1.0, 5.0]), np.array([10.0, 1e-9]))
    values = np.array([[3.0], [1.0]])
    second = search.send(Evaluation(first.params, values, np.ones((2, 1), dtype=int), moments=seen))
    assert second.params[0, 1] == 0.0
    assert second.params[0, 0] != 0.0


# REINFORCE -------------------------------------------------------------------------------------------


def test_a_plain_step_of_reinforce_is_the_learning_rate_times_the_estimate() -> None:
    optimizer = Reinforce(
        episodes=3, learning_rate=0.01, ascent="plain", discount=1.0, baseline="none", reward_to_go=False
    )
    evaluator, search = walk(), begin(optimizer, [0.1, 0.0, 0.0, 0.0])
    first = next(search)
    evaluation = evaluator.evaluate(first, (1,))
    second = search.send(evaluation)
    g: Array = np.zeros(4)
    for rollout in evaluation.rollouts[0]:  # 1/N Σ_i R_i Σ_t ∇ log π
        z = (rollout.actions - 0.1 * rollout.obs[:, :1]) / 1.0  # σ = exp 0 = 1
        score = np.concatenate([(z * rollout.obs).sum(axis=0), z.sum(axis=0), (z**2 - 1).sum(axis=0)])
        g += rollout.rewards.sum() * score / 3
    assert second.recommendation == pytest.approx(first.recommendation + 0.01 * g)
