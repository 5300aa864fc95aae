"""What `auto` chooses."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from policysearch.core import Domain, Evaluation, Proposal
from policysearch.optimizers import Auto, HillClimbing, NelderMead, QuadraticModel, SeparableCMAES
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


def turns(evaluator: Values, d: int, rollouts: int = 90) -> list[Generation]:
    domain = Domain(np.full(d, 0.3), np.zeros(d), np.ones(d))
    return list(generations(Auto(), evaluator, domain, budget=Budget(rollouts), seed=4))


def measured_again(made: list[Generation]) -> list[int]:
    """The turns in which the best point so far is measured once more."""
    return [
        i
        for i, g in enumerate(made)
        if len(g.proposal.params) == 1 and g.proposal.params[0].tolist() == g.proposal.recommendation.tolist()
    ]


def test_the_best_of_the_first_points_is_measured_again() -> None:
    made = turns(Values(), 3)
    first = made[0].proposal.params
    assert first.tolist() == next(NelderMead(edge=0.15).search(DOMAIN, stream(1))).params.tolist()
    assert measured_again(made)[0] == 1
    assert made[1].proposal.params[0].tolist() == first[Values().function(first).argmax()].tolist()


def test_without_noise_a_quadratic_model_continues_from_these_points() -> None:
    made = turns(Values(), 3)
    known = Values().evaluate(made[0].proposal, (1,))
    search = QuadraticModel(radius=0.15).search(replace(DOMAIN, known=known), stream(1))
    proposal = next(search)
    once = measured_again(made)[1]
    assert made[once - 1].rollouts <= 31 < made[once + 1].rollouts
    assert all(len(g.proposal.params) == 1 for g in made[1 : once + 2])
    for g in [*made[2:once], made[once + 1]]:  # it goes on as if nothing had been measured again
        assert g.proposal.params.tolist() == proposal.params.tolist()
        proposal = search.send(Values().evaluate(proposal, (1,)))


def test_with_noise_a_simplex_continues_from_them_and_a_diagonal_cma_es_from_its_best_point() -> None:
    made = turns(Noisy(), 3)
    simplex = NelderMead(edge=0.15).search(DOMAIN, stream(1))
    told = next(simplex)
    second = simplex.send(Noisy().evaluate(told, ("of", "no", "matter")))
    assert len(second.params) == len(made[2].proposal.params) == 1
    turn = next(i for i, g in enumerate(made) if g.proposal.diagnostics.get("sigma") == 0.17)
    assert made[turn - 1].rollouts <= 31
    assert len(made[turn].proposal.params) == 7  # 4 + ⌊3 log 3⌋
    assert made[turn].proposal.recommendation.tolist() == made[turn - 1].recommendation.tolist()


def test_noise_that_shows_only_later_is_seen_then() -> None:
    class Late(Noisy):
        def evaluate(self, proposal: Proposal, key: Key) -> Evaluation:
            early = self.episodes < 6
            return Values.evaluate(self, proposal, key) if early else super().evaluate(proposal, key)

    made = turns(Late(), 3)
    turn = measured_again(made)[1]
    assert len(made[turn + 1].proposal.params) == 7


def test_a_failure_of_a_point_that_had_a_return_is_noise() -> None:
    class Fails(Values):
        def evaluate(self, proposal: Proposal, key: Key) -> Evaluation:
            found = super().evaluate(proposal, key)
            if self.episodes == 5:
                found.returns[0, 0] = np.nan
            return found

    made = turns(Fails(), 3)
    assert any(g.proposal.diagnostics.get("sigma") == 0.17 for g in made)


def test_one_noisy_parameter_is_left_to_hill_climbing() -> None:
    made = turns(Noisy(), 1)
    assert made[-1].proposal.params.shape == (HillClimbing().neighbours + 1, 1)


@pytest.mark.parametrize(("d", "first"), [(10, 11), (100, 11), (101, 17)])
def test_the_first_points_are_eleven_at_most_and_many_parameters_have_none(d: int, first: int) -> None:
    search = Auto().search(Domain.unbounded(np.zeros(d)), stream(1))
    assert len(next(search).params) == first
    assert len(next(SeparableCMAES().search(Domain.unbounded(np.zeros(101)), stream(1))).params) == 17


def test_the_rule_is_the_best_of_the_table_that_it_was_chosen_from_on_the_mean_of_all_budgets() -> None:
    folder = Path(__file__).parents[2] / "experiments/choosing_a_method"
    means = pd.read_csv(folder / "auto_rule.csv").groupby("method")["all"].mean()
    assert means["cma-es alone"] + 0.05 < means["auto"]  # which is `tune`'s default
    assert means.idxmax() == "auto"
