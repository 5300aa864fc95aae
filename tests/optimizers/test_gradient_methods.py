"""The methods on top of the score function and of parameter distributions, worked by hand or by another formula."""

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest
from problems import WALKER, Walk, proposals, walk

from policysearch.core import Array, Domain, Evaluation, Optimizer, Proposal, Rollout
from policysearch.evaluators import EpisodeEvaluator
from policysearch.gradients import baselines, natural, off_policy, score_function, values
from policysearch.optimizers import (
    PGPE,
    PPO,
    SNES,
    TRPO,
    CrossEntropy,
    NaturalGradient,
    OffPolicyReinforce,
    Reinforce,
    Whitened,
)
from policysearch.optimizers.adam import Adam
from policysearch.optimizers.ppo import _Ascent, _Steps
from policysearch.optimizers.snes import shared_by_ties, utilities
from policysearch.policies import MLP, Gaussian, Linear
from policysearch.seeding import stream

START = Domain.unbounded(np.array([0.1, -0.05, 0.0, np.log(0.5)]))


def turns(optimizer: Optimizer, n: int, evaluator: Any = None) -> list[tuple[Proposal, Evaluation]]:
    """The first proposals of a search on `Walk`, with their evaluations."""
    evaluator, search = evaluator or walk(), optimizer.search(START, stream(1))
    out, proposal = [], next(search)
    for turn in range(n):
        out.append((proposal, evaluator.evaluate(proposal, (turn,))))
        proposal = search.send(out[-1][1])
    return [*out, (proposal, evaluator.evaluate(proposal, (n,)))]


# REINFORCE -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("baseline", ["optimal", "optimal-scalar"])
def test_reinforce_takes_the_optimal_baseline_that_it_is_told(baseline: Any) -> None:
    optimizer = Reinforce(episodes=6, baseline=baseline, ascent="plain", learning_rate=0.01)
    (first, evaluation), (second, _) = turns(optimizer, 1)
    rollouts = evaluation.rollouts[0]
    w = baselines.weights(rollouts, discount=0.99, baseline="none")
    g = baselines.optimal_gradients(rollouts, w, per_component=baseline == "optimal").mean(axis=0)
    assert second.params[0] == pytest.approx(first.params[0] + 0.01 * g)


@pytest.mark.parametrize("kind", ["linear", "network"])
def test_a_fitted_baseline_comes_from_the_batch_before_and_first_from_the_average_per_step(kind: Any) -> None:
    optimizer = Reinforce(episodes=6, baseline=kind, ascent="plain", learning_rate=0.01)
    (p0, e0), (p1, e1), (p2, _) = turns(optimizer, 2)
    first, second = e0.rollouts[0], e1.rollouts[0]
    w = baselines.weights(first, discount=0.99, baseline="step")
    assert p1.params[0] == pytest.approx(p0.params[0] + 0.01 * score_function.gradient(first, w))
    value = values.refitted(kind, None, first, 0.99, stream(1))
    A = values.advantages(second, value, discount=0.99)
    assert p2.params[0] == pytest.approx(p1.params[0] + 0.01 * score_function.gradient(second, A))


def test_an_entropy_bonus_keeps_the_policy_more_random() -> None:
    spreads = []
    for entropy in (0.0, 20.0):
        optimizer = Reinforce(episodes=10, learning_rate=0.03, entropy=entropy)
        spreads.append(turns(optimizer, 15)[-1][0].params[0, -1])
    assert spreads[1] > spreads[0] + 0.2


# Off policy ------------------------------------------------------------------------------------------


def test_with_a_single_batch_and_no_normalisation_it_is_plain_reinforce() -> None:
    new = turns(OffPolicyReinforce(episodes=5, batches=1, self_normalised=False), 4)
    old = turns(Reinforce(episodes=5), 4)
    for (a, _), (b, _) in zip(new, old, strict=True):
        assert a.params == pytest.approx(b.params, rel=1e-9)


def test_old_batches_are_used_while_their_effective_sample_is_large_and_then_forgotten() -> None:
    slow = turns(OffPolicyReinforce(episodes=5, batches=3, learning_rate=1e-4), 5)
    assert [proposal.diagnostics.get("batches") for proposal, _ in slow[1:]] == [1, 2, 3, 3, 3]
    fast = turns(OffPolicyReinforce(episodes=5, batches=3, learning_rate=1.0, weighting="trajectory"), 5)
    assert [proposal.diagnostics.get("batches") for proposal, _ in fast[1:]] == [1, 1, 1, 1, 1]


def test_a_batch_of_which_one_weight_counts_has_nothing_more_to_say() -> None:
    _, evaluation = turns(OffPolicyReinforce(episodes=2), 0)[0]
    rollouts = evaluation.rollouts[0]
    optimizer = OffPolicyReinforce(weighting="trajectory")
    theta = rollouts[0].params
    same, other = (off_policy.log_ratios(rollouts, theta + shift) for shift in (0.0, 1.5))
    assert optimizer._effective(same) == pytest.approx(1.0)
    assert optimizer._effective(other) < 0.1
    assert optimizer._effective(other[:1]) == 0.0
    assert optimizer._effective(same[:1]) == 1.0


def test_rollouts_of_earlier_generations_and_whitening_do_not_go_together() -> None:
    with pytest.raises(ValueError, match="the method uses rollouts of earlier generations again"):
        Whitened(OffPolicyReinforce(), WALKER)


# Natural gradient and trust region -------------------------------------------------------------------


def batch_kl(rollouts: Any, old: Array, new: Array) -> float:
    obs = np.concatenate([r.obs for r in rollouts])
    return float(WALKER.kl(old, new, obs).mean())


@pytest.mark.parametrize("solver", ["cg", "enac"])
def test_a_natural_step_has_the_divergence_it_was_given_to_second_order(solver: Any) -> None:
    optimizer = NaturalGradient(episodes=300, max_kl=1e-4, damping=0.0, solver=solver)
    for (before, evaluation), (after, _) in itertools.pairwise(turns(optimizer, 2)):
        rollouts = evaluation.rollouts[0]
        step = after.params[0] - before.params[0]
        steps = sum(r.rewards.size for r in rollouts)
        quadratic = 0.5 * step @ natural.fisher_product(rollouts)(step) * len(rollouts) / steps
        assert quadratic == pytest.approx(1e-4, rel=1e-6)
        assert batch_kl(rollouts, before.params[0], after.params[0]) == pytest.approx(1e-4, rel=0.15)


def test_the_natural_direction_solves_the_damped_fisher_system() -> None:
    optimizer = NaturalGradient(episodes=10, max_kl=0.01, damping=0.5, iterations=50)
    (first, evaluation), (second, _) = turns(optimizer, 1)
    rollouts = evaluation.rollouts[0]
    scores = np.concatenate([score_function.step_scores(r) for r in rollouts])
    F = scores.T @ scores / len(scores) + 0.5 * np.eye(4)  # per step, as the damping counts
    A = values.standardised(values.advantages(rollouts, None, discount=0.99, lam=0.97))
    g = scores.T @ np.concatenate(A) / len(scores)
    x = np.linalg.solve(F, g)
    expected = x * np.sqrt(2 * 0.01 / (x @ F @ x))
    assert second.params[0] - first.params[0] == pytest.approx(expected, rel=1e-6)


def test_no_step_of_trpo_exceeds_its_divergence_and_some_come_close() -> None:
    told = turns(TRPO(episodes=10, max_kl=0.05), 12)
    found = [batch_kl(e.rollouts[0], a.params[0], b.params[0]) for (a, e), (b, _) in itertools.pairwise(told)]
    assert max(found) <= 0.05 * (1 + 1e-9)
    assert max(found) > 0.02


def test_trpo_halves_a_step_that_diverges_too_far_and_the_natural_gradient_does_not() -> None:
    # a large limit: to second order the step is allowed, and the true divergence is more
    def divergence(optimizer: Optimizer) -> float:
        told = turns(optimizer, 1)
        return batch_kl(told[0][1].rollouts[0], told[0][0].params[0], told[1][0].params[0])

    natural_step = divergence(NaturalGradient(episodes=10, max_kl=2.0, damping=0.01))
    assert natural_step > 2.0
    assert 0 < divergence(TRPO(episodes=10, max_kl=2.0, damping=0.01)) <= 2.0


def test_trpo_stays_where_nothing_promises_to_be_better() -> None:
    first, evaluation = turns(TRPO(episodes=4), 0)[0]
    flat = tuple(dataclasses.replace(r, rewards=np.zeros_like(r.rewards)) for r in evaluation.rollouts[0])
    search = TRPO(episodes=4).search(START, stream(1))
    next(search)
    second = search.send(dataclasses.replace(evaluation, rollouts=(flat,)))
    assert second.params.tobytes() == first.params.tobytes()


def test_a_policy_that_has_stopped_exploring_leaves_the_search_finite() -> None:
    saturated = Domain.unbounded(np.array([0.1, 0.0, 0.0, -30.0]))
    for optimizer in (NaturalGradient(episodes=3), TRPO(episodes=3), PPO(episodes=3)):
        search, proposal = optimizer.search(saturated, stream(1)), None
        proposal = next(search)
        for turn in range(3):
            proposal = search.send(walk().evaluate(proposal, (turn,)))
            assert np.isfinite(proposal.params).all()


def test_what_is_reported_of_a_step_is_what_was_moved() -> None:
    for optimizer in (
        TRPO(episodes=4, max_kl=50.0, backtracks=0),
        NaturalGradient(episodes=4),
        TRPO(episodes=4),
    ):
        told = turns(optimizer, 3)
        for (before, _), (after, _) in itertools.pairwise(told):
            moved = np.linalg.norm(after.params - before.params)
            assert after.diagnostics["step"] == pytest.approx(moved, abs=1e-12)


def test_the_natural_actor_critic_has_no_place_for_an_entropy_bonus() -> None:
    with pytest.raises(
        ValueError, match=r"entropy: the solver 'enac' knows returns only, expected 0, got 0\.1"
    ):
        NaturalGradient(solver="enac", entropy=0.1)


class _Equal:
    """Walks in which every step costs the same, so that all returns are equal but for rounding."""

    def __init__(self) -> None:
        self.walk = walk()

    def evaluate(self, proposal: Proposal, key: Any) -> Evaluation:
        evaluation = self.walk.evaluate(proposal, key)
        rollouts = tuple(
            tuple(dataclasses.replace(each, rewards=np.full_like(each.rewards, -0.1)) for each in of_one)
            for of_one in evaluation.rollouts
        )
        return dataclasses.replace(evaluation, rollouts=rollouts)


@pytest.mark.parametrize("method", [Reinforce(episodes=7), OffPolicyReinforce(episodes=7, batches=2)])
def test_what_rounding_leaves_of_equal_returns_is_no_gradient(method: Optimizer) -> None:
    made = turns(method, 2, _Equal())
    w = baselines.weights(made[0][1].rollouts[0], discount=0.99)
    assert 0.0 < max(np.abs(w_i).max() for w_i in w) < 1e-12  # Adam would make whole steps of that
    assert [proposal.params[0].tolist() for proposal, _ in made] == [START.start.tolist()] * 3


@pytest.mark.parametrize("size", [1e30, 1e160, 1e300])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_enormous_returns_never_make_a_recommendation_that_is_not_finite(size: float) -> None:
    optimizers = (
        *(Reinforce(episodes=4, baseline=b) for b in ("step", "optimal", "linear", "network")),
        *(Reinforce(episodes=4, ascent="plain"), OffPolicyReinforce(episodes=4)),
        *(
            NaturalGradient(episodes=4),
            NaturalGradient(episodes=4, solver="enac"),
            TRPO(episodes=4),
            PPO(episodes=4),
        ),
    )
    for optimizer in optimizers:
        search = optimizer.search(START, stream(1))
        proposal = next(search)
        for turn in range(3):
            evaluation = walk(factor=size).evaluate(
                dataclasses.replace(proposal, params=START.start[None]), (turn,)
            )
            proposal = search.send(evaluation)
            assert np.isfinite(proposal.recommendation).all(), optimizer


# PPO -------------------------------------------------------------------------------------------------


def ppo_batch() -> tuple[_Steps, Array]:
    theta = START.start
    asked = Proposal(theta[None], theta, 12, sample=True, record=True)
    rollouts = walk().evaluate(asked, (3,)).rollouts[0]
    value = values.NetworkValue.unfitted(rollouts, 0.99, stream(1))
    return _Steps.of(rollouts, value, 0.99, 0.95), theta


def clipped_objective(theta: Array, batch: _Steps, rows: slice, epsilon: float) -> float:
    ratio = np.exp(WALKER.log_prob(theta, batch.obs[rows], batch.actions[rows]) - batch.log_prob[rows])
    A = (batch.A[rows] - batch.A[rows].mean()) / (batch.A[rows].std() + 1e-8)
    return float(np.minimum(ratio * A, np.clip(ratio, 1 - epsilon, 1 + epsilon) * A).mean())


@pytest.mark.parametrize("away", [0.0, 0.15])
def test_the_gradient_of_ppo_is_the_derivative_of_the_clipped_objective(away: float) -> None:
    batch, theta = ppo_batch()
    rows, moved = slice(0, 60, 2), theta + away * np.array([1.0, -0.3, 0.5, 0.2])
    g, silent = PPO(clip=0.2)._gradient(WALKER, moved, batch, rows)
    h = 1e-6
    numeric = [
        (
            clipped_objective(moved + h * e, batch, rows, 0.2)
            - clipped_objective(moved - h * e, batch, rows, 0.2)
        )
        / (2 * h)
        for e in np.eye(4)
    ]
    assert g == pytest.approx(np.array(numeric), abs=1e-6)
    assert (silent == 0.0) == (away == 0.0)


def test_the_clip_only_silences_what_would_move_further_away() -> None:
    policy = Gaussian(Linear(1, 1, bias=False))
    # two steps, actions to the right of the mean; the new policy likes both 3 times more or so
    old, new = np.array([0.0, 0.0]), np.array([1.0, 0.0])
    obs, actions = np.ones((2, 1)), np.array([[1.5], [1.5]])
    batch = _Steps(
        obs, actions, policy.log_prob(old, obs, actions), np.array([1.0, -1.0]), np.zeros(2), np.zeros((2, 2))
    )
    g, silent = PPO()._gradient(policy, new, batch, slice(0, 2))
    ratio = np.exp(policy.log_prob(new, obs, actions) - batch.log_prob)[0]
    assert ratio > 1.2
    # the good one has been raised enough; the bad one is still lowered, with A = −1 after standardising
    assert silent == 0.5
    assert g == pytest.approx(policy.score(new, obs[:1], actions[:1], np.array([-ratio / 2])), rel=1e-6)


def test_the_value_network_of_ppo_descends_its_squared_error_in_each_minibatch() -> None:
    batch, _ = ppo_batch()
    network, ends = MLP(batch.inputs.shape[1], 1, values.HIDDEN), np.array([25, len(batch.A)])
    start, infinity = network.start(stream(2)), np.full(network.num_params, np.inf)
    options = (1e-3, 0.5, -infinity, infinity)
    found, expected = _Ascent(start.copy(), options), _Ascent(start.copy(), options)
    found.fit(network, batch, ends)
    for rows in (slice(0, 25), slice(25, None)):
        error = batch.targets[rows] - network.forward(expected.params, batch.inputs[rows])[:, 0]
        expected.step(network.vjp(expected.params, batch.inputs[rows], error[:, None] / error.size))
    assert found.params == pytest.approx(expected.params, rel=1e-12)
    assert not np.array_equal(found.params, start)


def test_the_compiled_ascent_of_ppo_is_adam_along_the_cut_gradient_within_the_bounds() -> None:
    rng, rate, at_bound = stream(3), 0.05, False
    start, upper = np.zeros(5), np.array([np.inf, np.inf, 0.06, np.inf, np.inf])
    lower = -upper
    ascent, adam, params = _Ascent(start.copy(), (rate, 0.5, lower, upper)), Adam(rate), start
    for turn in range(6):
        g = rng.standard_normal(5) * (0.01 if turn % 2 else 10.0)
        length = np.linalg.norm(g)
        params = np.clip(params + adam.step(g * min(1.0, 0.5 / length)), lower, upper)
        ascent.step(g)
        assert ascent.params == pytest.approx(params, rel=1e-12)
        at_bound = at_bound or abs(ascent.params[2]) == 0.06
        before = ascent.params.copy()
        ascent.step(np.full(5, 1e200))  # whose square is not finite
        assert np.array_equal(ascent.params, before)
    assert at_bound


def test_ppo_uses_every_step_once_per_epoch_in_minibatches_of_about_the_size_asked_for() -> None:
    from policysearch.optimizers.ppo import _minibatches

    def minibatches(steps: int, epochs: int) -> list[list[Array]]:
        return [np.split(order, ends)[:-1] for order, ends in _minibatches(steps, epochs, 64, stream(1))]

    epochs = minibatches(200, 3)
    assert [[part.size for part in parts] for parts in epochs] == [[67, 67, 66]] * 3
    assert [[part.size for part in parts] for parts in minibatches(120, 1)] == [[60, 60]]
    for parts in epochs:
        assert sorted(np.concatenate(parts).tolist()) == list(range(200))
    assert not np.array_equal(epochs[0][0], epochs[1][0])
    assert [[part.size for part in parts] for parts in minibatches(5, 1)] == [[5]]


def test_an_epoch_of_ppo_in_one_piece_has_the_bits_of_its_minibatches_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    optimizer = PPO(episodes=12, learning_rate=0.05, entropy=0.01, minibatch=7)
    (_, _), (one_piece, _) = turns(optimizer, 1)
    monkeypatch.setattr("policysearch.optimizers.ppo.is_network", lambda policy: False)
    (_, _), (one_by_one, _) = turns(optimizer, 1)
    assert np.array_equal(one_piece.params, one_by_one.params)
    assert one_piece.diagnostics == one_by_one.diagnostics
    assert one_piece.diagnostics["clipped_fraction"] > 0


def test_ppo_refuses_a_policy_with_memory() -> None:
    class Remembering(Gaussian):
        state_size = 1

    _, evaluation = turns(PPO(episodes=2), 0)[0]
    odd = tuple(dataclasses.replace(r, policy=Remembering(Linear(2, 1))) for r in evaluation.rollouts[0])
    search = PPO(episodes=2).search(START, stream(1))
    next(search)
    with pytest.raises(ValueError, match="PPO shuffles single steps, so it needs a policy without memory"):
        search.send(dataclasses.replace(evaluation, rollouts=(odd,)))


# Distributions over parameters -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fitness", "shared"),
    [
        ([9.0, 7.0, 3.0, 1.0], [0.5, 0.3, -0.2, -0.6]),
        ([9.0, 7.0, 7.0, 1.0], [0.5, 0.05, 0.05, -0.6]),
        ([9.0, 9.0, 1.0, 1.0], [0.4, 0.4, -0.4, -0.4]),
        ([1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0]),
    ],
)
def test_candidates_of_equal_fitness_share_their_utilities(fitness: list[float], shared: list[float]) -> None:
    assert shared_by_ties(np.array([0.5, 0.3, -0.2, -0.6]), np.array(fitness)) == pytest.approx(shared)


def test_the_utilities_of_four_ranks_worked_by_hand() -> None:
    # ln 3 − ln k for k = 1, 2 (then 0): ln 3 and ln 1.5; sum ln 4.5; minus a quarter
    u = utilities(4)
    total = np.log(4.5)
    assert u == pytest.approx([np.log(3) / total - 0.25, np.log(1.5) / total - 0.25, -0.25, -0.25])
    for population_size in (3, 8, 31):
        assert utilities(population_size).sum() == pytest.approx(0.0, abs=1e-15)
        assert (np.diff(utilities(population_size)) <= 0).all()


def test_snes_moves_mean_and_spread_as_its_source_says() -> None:
    domain = Domain.unbounded(np.array([1.0, -1.0]))
    search = SNES(population_size=6, sigma=0.5).search(domain, stream(2))
    first = next(search)
    z = (first.params - domain.start) / 0.5
    returns = np.array([3.0, 1.0, 6.0, 2.0, 5.0, 4.0])[:, None]
    second = search.send(Evaluation(first.params, returns, np.ones((6, 1), dtype=int)))
    u = np.empty(6)
    u[[2, 4, 5, 0, 3, 1]] = utilities(6)
    assert second.recommendation == pytest.approx(domain.start + 0.5 * u @ z)
    eta = (3 + np.log(2)) / (5 * np.sqrt(2))
    sigma = 0.5 * np.exp(eta / 2 * (u @ (z**2 - 1)))
    assert second.diagnostics["sigma"] == pytest.approx(sigma.mean())


def test_pgpe_moves_the_mean_by_differences_and_the_spread_by_averages() -> None:
    domain = Domain.unbounded(np.array([1.0, -1.0]))
    search = PGPE(population_size=4, sigma=0.5, learning_rate=0.2, sigma_rate=0.1).search(domain, stream(2))
    first = next(search)
    z = (first.params[:2] - domain.start) / 0.5
    assert first.params[2:] == pytest.approx(domain.start - 0.5 * z)
    r = np.array([5.0, 1.0, 2.0, 4.0])  # plus, plus, minus, minus; mean 3, variance (4 + 4 + 1 + 1)/4
    second = search.send(Evaluation(first.params, r[:, None], np.ones((4, 1), dtype=int)))
    spread = np.sqrt(2.5)
    differences, averages = (
        np.array([1.5, -1.5]) / spread,
        np.array([0.5, -0.5]) / spread,
    )  # 3.5 and 2.5, minus 3
    assert second.recommendation == pytest.approx(domain.start + 0.2 * 0.5 * differences @ z / 2)
    growth = np.clip(0.1 * averages @ (z**2 - 1) / 2, -0.1, 0.1)
    assert second.diagnostics["sigma"] == pytest.approx((0.5 * np.exp(growth)).mean())
    # the running mean is 0.9·3 + 0.1·3 = 3; equal returns move nothing
    third = search.send(Evaluation(second.params, np.full((4, 1), 9.0), np.ones((4, 1), dtype=int)))
    assert third.recommendation.tobytes() == second.recommendation.tobytes()


@pytest.mark.parametrize("unit", [1e-13, 1e-100, 1e13])
def test_pgpe_takes_the_same_steps_in_any_unit_of_the_return(unit: float) -> None:
    def steps(unit: float) -> list[Proposal]:
        search = PGPE(population_size=4).search(Domain.unbounded(np.zeros(2)), stream(2))
        found = [next(search)]
        for _ in range(4):
            params = found[-1].params
            returns = -unit * np.sum((params - 1.0) ** 2, axis=1)[:, None]
            found.append(search.send(Evaluation(params, returns, np.ones((4, 1), dtype=int))))
        return found

    for one, other in zip(steps(1.0), steps(unit), strict=True):
        np.testing.assert_allclose(other.params, one.params, rtol=1e-9)


def test_a_generation_without_any_return_teaches_pgpe_nothing() -> None:
    optimizer = PGPE(population_size=4, sigma=0.5, learning_rate=0.2, sigma_rate=0.1)
    search = optimizer.search(Domain.unbounded(np.zeros(2)), stream(2))
    first = next(search)
    nothing = Evaluation(first.params, np.full((4, 1), np.nan), np.ones((4, 1), dtype=int))
    second = search.send(nothing)
    assert second.diagnostics["sigma"] == first.diagnostics["sigma"]
    third = search.send(
        Evaluation(second.params, np.array([[1.0], [2.0], [3.0], [4.0]]), np.ones((4, 1), dtype=int))
    )
    assert abs(third.diagnostics["sigma"] / 0.5 - 1) < 0.08  # b is the mean of what was seen, not a stand-in


def test_the_full_cross_entropy_refits_the_covariance_of_the_elites() -> None:
    optimizer = CrossEntropy(population_size=40, elites=20, covariance="full", noise=0.0)
    search = optimizer.search(Domain.unbounded(np.zeros(2)), stream(1))
    first = next(search)
    returns = first.params @ np.array([1.0, 1.0]) - 10 * (first.params[:, 0] - first.params[:, 1]) ** 2
    search.send(Evaluation(first.params, returns[:, None], np.ones((40, 1), dtype=int)))
    elite = first.params[np.argsort(-returns)[:20]]
    for Z in (0.0, 0.3):
        mean, root = optimizer._refitted(elite, np.ones(20), Z)
        assert mean == pytest.approx(elite.mean(axis=0))
        assert root @ root.T == pytest.approx(np.cov(elite.T, bias=True) + Z * np.eye(2))


def test_the_full_cross_entropy_learns_a_tilted_valley_that_the_diagonal_one_does_not() -> None:
    def tilted(x: Array) -> Array:
        return -100 * (x[:, 0] + x[:, 1]) ** 2 - (x[:, 0] - x[:, 1] - 1.0) ** 2 - (x[:, 2:] ** 2).sum(axis=1)

    gaps = []
    for covariance in ("full", "diagonal"):
        optimizer = CrossEntropy(population_size=100, elites=25, covariance=covariance)  # type: ignore[arg-type]
        last = proposals(optimizer, 60, tilted)[-1].recommendation
        gaps.append(-float(tilted(last[None])[0]))
    assert gaps[0] < 0.01 * gaps[1]


def test_a_deterministic_policy_is_refused_by_every_method_that_needs_scores() -> None:
    evaluator = EpisodeEvaluator(Walk, Linear(2, 1))
    for optimizer in (Reinforce(), NaturalGradient(), TRPO(), PPO(), OffPolicyReinforce()):
        proposal = next(optimizer.search(Domain.unbounded(np.zeros(3)), stream(1)))
        with pytest.raises(ValueError, match="policy: expected a stochastic one to sample from, got Linear"):
            evaluator.evaluate(proposal, (1,))


def test_rollouts_are_not_changed_by_what_is_learned_from_them() -> None:
    asked = Proposal(START.start[None], START.start, 4, sample=True, record=True)
    evaluation = walk().evaluate(asked, (1,))

    def frozen(rollout: Rollout) -> bytes:
        return rollout.obs.tobytes() + rollout.actions.tobytes() + rollout.rewards.tobytes()

    before = [frozen(r) for r in evaluation.rollouts[0]]
    for optimizer in (Reinforce(episodes=4, baseline="network"), TRPO(episodes=4), PPO(episodes=4)):
        search = optimizer.search(START, stream(1))
        next(search)
        search.send(evaluation)
    assert [frozen(r) for r in evaluation.rollouts[0]] == before
