"""What `auto` chooses."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from policysearch.core import Array, Domain, Evaluation, Proposal
from policysearch.optimizers import Auto, HillClimbing, SeparableCMAES
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


def turns(evaluator: Values, d: int, rollouts: int = 90) -> list[Generation]:
    domain = Domain(np.full(d, 0.3), np.zeros(d), np.ones(d))
    return list(generations(Auto(), evaluator, domain, budget=Budget(rollouts), seed=4))


def measured_twice(made: list[Generation]) -> int:
    """The turn in which a point is measured twice, after at most 30 rollouts of a simplex."""
    turn = next(i for i, g in enumerate(made) if g.proposal.episodes == 2)
    assert made[turn - 1].rollouts <= 30 < made[turn].rollouts
    assert len(made[turn].proposal.params) == 1
    return turn


def test_without_noise_the_best_point_of_the_simplex_starts_a_design() -> None:
    made = turns(Values(), 3)
    turn = measured_twice(made)
    tried = np.vstack([g.proposal.params for g in made[:turn]])
    best = tried[Values().function(tried).argmax()]
    assert made[turn].proposal.params[0].tolist() == best.tolist()
    assert made[turn + 1].proposal.params.shape == (6, 3)
    assert made[turn + 1].proposal.params[0].tolist() == best.tolist()


def test_with_noise_a_diagonal_cma_es_starts_there() -> None:
    made = turns(Noisy(), 3)
    turn = measured_twice(made)
    assert len(made[turn + 1].proposal.params) == 7  # 4 + ⌊3 log 3⌋
    assert made[turn + 1].proposal.diagnostics["sigma"] == 0.17
    assert made[turn + 1].proposal.recommendation.tolist() == made[turn].proposal.params[0].tolist()


def test_a_failure_of_a_point_that_had_a_return_is_noise() -> None:
    class Fails(Values):
        def evaluate(self, proposal: Proposal, key: Key) -> Evaluation:
            found = super().evaluate(proposal, key)
            if proposal.episodes == 2:
                found.returns[0, 1] = np.nan
            return found

    made = turns(Fails(), 3)
    assert len(made[measured_twice(made) + 1].proposal.params) == 7


def test_one_noisy_parameter_is_left_to_hill_climbing() -> None:
    made = turns(Noisy(), 1)
    turn = measured_twice(made)
    assert made[turn + 1].proposal.params.shape == (HillClimbing().neighbours + 1, 1)


@pytest.mark.parametrize(("d", "first"), [(100, 101), (101, 17)])
def test_many_parameters_have_no_simplex(d: int, first: int) -> None:
    search = Auto().search(Domain.unbounded(np.zeros(d)), stream(1))
    assert len(next(search).params) == first
    assert len(next(SeparableCMAES().search(Domain.unbounded(np.zeros(101)), stream(1))).params) == 17


def test_the_rule_is_the_best_of_the_table_that_it_was_chosen_from_on_the_mean_of_all_budgets() -> None:
    folder = Path(__file__).parents[2] / "experiments/choosing_a_method"
    means: Array = pd.read_csv(folder / "auto_rule.csv").groupby("method")["all"].mean()
    assert means["auto"] > means["no first stage, cma-es"] + 0.05  # which is `tune`'s default
