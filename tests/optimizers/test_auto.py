"""What `auto` chooses."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from policysearch.core import Domain, Evaluation, Proposal
from policysearch.optimizers import Auto, LocalRegression, NelderMead, QuadraticModel, SeparableCMAES
from policysearch.optimizers.multi_start import Best
from policysearch.search import Budget, Generation, generations
from policysearch.seeding import Key, stream
from policysearch.testing.problems import Values


class Noisy(Values):
    """Values with noise of their own for every rollout."""

    def evaluate(self, proposal: Proposal, key: Key) -> Evaluation:
        """The values, disturbed."""
        found = super().evaluate(proposal, key)
        found.returns[:] += 0.01 * stream("noise", *key).standard_normal(found.returns.shape)
        return found


DOMAIN = Domain(np.full(3, 0.3), np.zeros(3), np.ones(3))


def turns(evaluator: Values, domain: Domain = DOMAIN, rollouts: int = 90) -> list[Generation]:
    return list(generations(Auto(), evaluator, domain, budget=Budget(rollouts), seed=4))


def unbounded(d: int) -> Domain:
    return Domain.unbounded(np.full(d, 0.3))


def looks(made: list[Generation]) -> list[int]:
    """The turns in which the best point so far is measured once more."""
    best = Best(made[0].proposal.params[0])
    found = []
    for i, turn in enumerate(made):
        if turn.proposal.params.tolist() == [best.params.tolist()]:
            found.append(i)
        best.learn(turn.evaluation)
    return found


def first_sigma(made: list[Generation]) -> tuple[int, float]:
    """The turn in which `sep-cma-es` begins, and its step size."""
    turn = next(i for i, g in enumerate(made) if "sigma" in g.proposal.diagnostics)
    return turn, made[turn].proposal.diagnostics["sigma"]


@pytest.mark.parametrize("evaluator", [Values(), Noisy()])
def test_the_start_is_measured_twice(evaluator: Values) -> None:
    made = turns(evaluator)
    assert [g.proposal.params.tolist() for g in made[:2]] == [[DOMAIN.start.tolist()]] * 2


def test_without_noise_a_quadratic_model_continues_from_it() -> None:
    made = turns(Values())
    known = Values().evaluate(made[0].proposal, (1,))
    search = QuadraticModel(radius=0.15).search(replace(DOMAIN, known=known), stream(1))
    proposal = next(search)
    assert len(proposal.params) == 3
    once = looks(made)[-1]
    assert made[once - 1].rollouts <= 30 < made[once + 1].rollouts
    for g in [*made[2:once], made[once + 1]]:  # as if nothing had been measured again
        assert g.proposal.params.tolist() == proposal.params.tolist()
        proposal = search.send(Values().evaluate(proposal, (1,)))


def test_with_noise_and_bounds_a_diagonal_cma_es_begins_at_the_start_with_small_steps() -> None:
    made = turns(Noisy())
    assert first_sigma(made) == (2, 0.1)
    assert made[2].proposal.recommendation.tolist() == DOMAIN.start.tolist()


def test_with_noise_and_without_bounds_a_simplex_finds_where_it_begins() -> None:
    made = turns(Noisy(), unbounded(3))
    simplex = next(NelderMead(edge=0.15).search(unbounded(3), stream(1)))
    assert made[2].proposal.params.tolist() == simplex.params.tolist()
    turn, sigma = first_sigma(made)
    assert sigma == 0.1
    assert made[turn - 1].rollouts <= 32
    assert len(made[turn].proposal.params) == 7  # 4 + ⌊3 log 3⌋
    best = Best(unbounded(3).start)
    for g in made[2:turn]:
        best.learn(g.evaluation)
    assert made[turn].proposal.recommendation.tolist() == best.params.tolist() != [0.3] * 3


def test_noise_that_shows_only_later_is_seen_then() -> None:
    class Late(Noisy):
        def evaluate(self, proposal: Proposal, key: Key) -> Evaluation:
            early = self.episodes < 7
            return Values.evaluate(self, proposal, key) if early else super().evaluate(proposal, key)

    made = turns(Late())
    turn, sigma = first_sigma(made)
    assert turn == looks(made)[2] + 1
    assert sigma == 0.1
    assert made[turn].proposal.recommendation.tolist() == made[turn - 1].proposal.params[0].tolist()


def test_a_failure_of_a_point_that_had_a_return_is_noise() -> None:
    class Fails(Values):
        def evaluate(self, proposal: Proposal, key: Key) -> Evaluation:
            found = super().evaluate(proposal, key)
            if self.episodes == 2:
                found.returns[0, 0] = np.nan
            return found

    assert first_sigma(turns(Fails()))[0] == 2


@pytest.mark.parametrize("domain", [unbounded(1), Domain(np.full(1, 0.3), np.zeros(1), np.ones(1))])
def test_one_noisy_parameter_is_left_to_local_regression(domain: Domain) -> None:
    made = turns(Noisy(), domain)
    first = next(LocalRegression().search(domain, stream(1)))
    assert made[2].proposal.params.shape == first.params.shape == (8, 1)


@pytest.mark.parametrize(("d", "first"), [(100, 1), (101, 17)])
def test_many_parameters_are_left_to_a_diagonal_cma_es(d: int, first: int) -> None:
    search = Auto().search(Domain.unbounded(np.zeros(d)), stream(1))
    assert len(next(search).params) == first
    assert len(next(SeparableCMAES().search(Domain.unbounded(np.zeros(101)), stream(1))).params) == 17


def test_earlier_tries_are_the_first_points_of_the_model_and_the_first_distribution_of_the_strategy() -> None:
    tries = Values().evaluate(Proposal(0.3 + 0.1 * stream("tries").random((40, 3)), DOMAIN.start), (1,))
    known = replace(DOMAIN, known=tries, start=tries.params[tries.fitness.argmax()])
    assert turns(Values(), known)[2].proposal.params.shape == (
        1,
        3,
    )  # a step; nothing is measured on the axes
    search, noisy = Auto().search(known, stream(1)), Noisy()
    proposal = next(search)
    for key in ((1,), (2,)):
        proposal = search.send(noisy.evaluate(proposal, key))
    alone = next(SeparableCMAES(sigma=0.1).search(known, stream(1)))
    assert proposal.params.tolist() == alone.params.tolist()
    assert alone.params.tolist() != next(SeparableCMAES(sigma=0.1).search(DOMAIN, stream(1))).params.tolist()


def test_the_rule_is_the_best_of_the_table_that_it_was_chosen_from_on_the_mean_of_all_budgets() -> None:
    folder = Path(__file__).parents[2] / "experiments/choosing_a_method"
    means = pd.read_csv(folder / "auto_rule.csv").groupby("method")["all"].mean()
    assert means["cma-es alone"] + 0.05 < means["auto"]  # which is `tune`'s default
    assert means.idxmax() == "auto"
