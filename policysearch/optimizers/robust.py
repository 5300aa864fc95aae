"""Several plants for any optimizer: `Robust(optimizer, scenarios, objective)`.

Every candidate is run on each of S scenarios, such as three masses of a load, with the same seeds. Where the inner
optimizer asks for k episodes, k · S are run and charged: episode j is repetition j // S on scenario j % S. What the
inner optimizer is told of a repetition is

    mean       the mean over the scenarios
    worst      the smallest return
    cvar:q     the mean of the worst share q of the scenarios, 0 < q <= 1 (conditional value at risk; Rockafellar &
               Uryasev 2000, "Optimization of conditional value-at-risk"): cvar:1 is the mean, and a small q the worst

A repetition has failed where any of its scenarios has.

Invariant to: what the inner optimizer is invariant to, in parameters; of returns, constants and positive factors, and
for `worst` every monotone transformation.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from policysearch.core import Array, Domain, Evaluation, Needs, Optimizer, Proposal, Search, needs_of
from policysearch.optimizers.checks import within
from policysearch.optimizers.passing_on import passed_on


@dataclass(frozen=True)
class Robust:
    """`optimizer`, every candidate run on several scenarios."""

    optimizer: Optimizer
    scenarios: int
    objective: str = "mean"  # or "worst", or "cvar:q"

    def __post_init__(self) -> None:
        within(self, 1, np.inf, "scenarios")
        share_of(self.objective)

    @property
    def needs(self) -> Needs:
        """What the inner optimizer needs."""
        return needs_of(self.optimizer)

    def search(self, domain: Domain, rng: np.random.Generator) -> Search:
        """The inner search, its proposals run on all scenarios."""

        def asked(proposal: Proposal) -> Proposal:
            return replace(proposal, episodes=proposal.episodes * self.scenarios)

        def told(evaluation: Evaluation) -> Evaluation:
            return of_repetitions(evaluation, self.scenarios, self.objective)

        return passed_on(self.optimizer.search(domain, rng), asked, told)


def of_repetitions(evaluation: Evaluation, scenarios: int, objective: str) -> Evaluation:
    """An evaluation of k · S episodes as one of k repetitions: their objective, and means of the metrics."""
    if scenarios == 1:
        return evaluation
    n = len(evaluation.returns)
    metrics = {name: x.reshape(n, -1, scenarios).mean(axis=2) for name, x in evaluation.metrics.items()}
    steps = evaluation.steps.reshape(n, -1, scenarios).sum(axis=2)
    returns = over_scenarios(evaluation.returns, scenarios, objective)
    return replace(evaluation, returns=returns, steps=steps, metrics=metrics)


def share_of(objective: str) -> float:
    """The share of the worst scenarios that counts: 1 for the mean, 0 for the worst alone.

    Raises:
        ValueError: for another objective.
    """
    name, colon, text = objective.partition(":")
    if not colon and name in ("mean", "worst"):
        return 1.0 if name == "mean" else 0.0
    try:
        share = float(text) if name == "cvar" else np.nan
    except ValueError:
        share = np.nan
    if not 0 < share <= 1:
        raise ValueError(f"objective: expected mean, worst, or cvar:q with 0 < q <= 1, got {objective}")
    return share


def over_scenarios(values: Float[Array, "n e"], scenarios: int, objective: str) -> Float[Array, "n k"]:
    """What the returns of k repetitions of all scenarios are worth; NaN where one of a repetition is."""
    ordered = np.sort(values.reshape(len(values), -1, scenarios), axis=2)  # NaN at the end
    if objective == "mean":  # in the order of the scenarios
        return values.reshape(len(values), -1, scenarios).mean(axis=2)
    count = max(share_of(objective) * scenarios, 1.0)  # of the worst, the last of them in part
    weights = np.clip(count - np.arange(scenarios), 0.0, 1.0) / count
    worst = np.where(weights > 0, ordered * weights, 0.0).sum(axis=2)
    return np.where(np.isnan(ordered[:, :, -1]), np.nan, worst)
