"""Constraints on what else a rollout reports, for any optimizer: `Constrained(optimizer, constraints)`.

An augmented Lagrangian (Hestenes 1969; Powell 1969; Rockafellar 1973 for inequalities): with the gaps g <= 0 of
inequalities and h = 0 of equalities, in means over the episodes of a candidate, the inner optimizer is told

    return − Σ λ h + μ h²/2 − Σ { λ g + μ g²/2   where λ + μ g >= 0,  else  −λ²/(2μ) }

After each generation, with ḡ the mean gap of the best quarter of its candidates by what was told of them,

    λ ← λ + μ ḡ / DAMPING,   at least 0 for inequalities
    μ ← GROWTH · μ           where ḡ breaks the constraint by more than half as much as one generation before

The first μ makes a typical gap of the first generation cost as much as the spread of its returns. The damping is from
Atamna, Auger & Hansen 2017, "Linearly convergent evolution strategies via augmented Lagrangian constraint handling".

What is told changes from generation to generation, so methods that compare returns of one generation only (CMA-ES,
cross-entropy, SNES, …) suit it. Those that keep returns (local regression, a Gaussian process) mix several penalties.

Invariant to: constants added to returns and positive factors on returns, positive factors on gaps.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float

from policysearch.constraints import Constraint
from policysearch.core import Array, Domain, Evaluation, Needs, Optimizer, Search, needs_of
from policysearch.optimizers.passing_on import passed_on
from policysearch.optimizers.robust import over_scenarios

DAMPING, GROWTH = 5.0, 1.5
#: The share of the best candidates of a generation by which multipliers are changed (choice).
ELITE = 0.25


@dataclass(frozen=True)
class Outputs:
    """Constraints on metrics, each of which may have been measured on several scenarios (`Robust`)."""

    texts: tuple[str, ...]
    scenarios: int = 1
    objective: str = "mean"

    @cached_property
    def constraints(self) -> list[Constraint]:
        """The constraints, read.

        Raises:
            ValueError: for one that makes no sense.
        """
        return [Constraint.of_outputs(text) for text in self.texts]

    def gaps(self, metrics: Mapping[str, Float[Array, "n e"]], n: int) -> Float[Array, "n m"]:
        """How far each constraint is from its border: above 0 it is broken, an equality in either sense.

        Raises:
            ValueError: for a metric that was not reported.
        """
        found = [self._gap(constraint, metrics, n) for constraint in self.constraints]
        return np.array(found).T if found else np.zeros((n, 0))

    def broken(self, metrics: Mapping[str, Float[Array, "n e"]], n: int) -> Float[Array, "n"]:
        """By how much each candidate breaks the constraints, in sum; 0 where all hold, NaN where nothing is known."""
        gaps = self.gaps(metrics, n)
        tolerance = np.array([constraint.tolerance for constraint in self.constraints])
        signed = np.where(self.equal, np.abs(gaps), gaps) - tolerance
        return np.maximum(signed, 0.0).sum(axis=1) if gaps.size else np.zeros(n)

    @cached_property
    def equal(self) -> Bool[Array, "m"]:
        """Which of them are equalities."""
        return np.array([constraint.equality for constraint in self.constraints], dtype=bool)

    def _gap(self, constraint: Constraint, metrics: Mapping[str, Array], n: int) -> Float[Array, "n"]:
        if missing := [name for name in constraint.names if name not in metrics]:
            known = ", ".join(metrics) or "nothing but its return"
            raise ValueError(
                f"outputs: expected {missing[0]} to be reported, as {constraint.text} needs it, got {known}"
            )
        means = {name: _by_scenario(metrics[name], self.scenarios) for name in constraint.names}
        rows = [
            [
                constraint.gap({name: float(x[i, s]) for name, x in means.items()})
                for s in range(self.scenarios)
            ]
            for i in range(n)
        ]
        gaps = np.array(rows)
        if constraint.equality and self.objective != "mean":
            return gaps[np.arange(n), np.abs(gaps).argmax(axis=1)]
        return -over_scenarios(-gaps, self.scenarios, self.objective)[:, 0]


def _by_scenario(values: Float[Array, "n e"], scenarios: int) -> Float[Array, "n s"]:
    """The mean over those repetitions of each scenario that have not failed."""
    grouped = values.reshape(len(values), -1, scenarios)
    count = np.isfinite(grouped).sum(axis=1)
    return np.where(count > 0, np.nansum(grouped, axis=1) / np.maximum(count, 1), np.nan)


@dataclass(frozen=True)
class Constrained:
    """`optimizer`, whose candidates have to meet constraints on their outputs."""

    optimizer: Optimizer
    outputs: Outputs

    def __post_init__(self) -> None:
        self.outputs.constraints  # noqa: B018 - or one is refused

    @property
    def needs(self) -> Needs:
        """What the inner optimizer needs."""
        return needs_of(self.optimizer)

    def search(self, domain: Domain, rng: np.random.Generator) -> Search:
        """The inner search, which is told an augmented Lagrangian."""
        multipliers = _Multipliers(self.outputs)

        def told(evaluation: Evaluation) -> Evaluation:
            if not np.isfinite(evaluation.returns).any():
                return evaluation
            gaps = self.outputs.gaps(evaluation.metrics, len(evaluation.returns))
            return multipliers.told(evaluation, gaps)

        return passed_on(self.optimizer.search(domain, rng), told=told)


class _Multipliers:
    """λ and μ of every constraint."""

    def __init__(self, outputs: Outputs) -> None:
        self._outputs, self._equal = outputs, outputs.equal
        self._before = np.full(self._equal.size, np.inf)
        self._lambda, self._mu = np.zeros(self._equal.size), np.zeros(self._equal.size)

    def told(self, evaluation: Evaluation, gaps: Float[Array, "n m"]) -> Evaluation:
        """The evaluation less the penalties, which are then changed for the next one."""
        returns = evaluation.returns
        sound = np.isfinite(returns).all(axis=1) & np.isfinite(gaps).all(axis=1)
        if not sound.any():
            return evaluation
        self._begin(self._values(returns[sound]), gaps[sound])
        penalties = np.where(sound, self._penalties(np.where(sound[:, None], gaps, 0.0)), 0.0)
        told = returns - penalties[:, None]
        best = np.flatnonzero(sound)[np.argsort(-self._values(told[sound]), kind="stable")]
        self._change(gaps[best[: max(1, round(ELITE * best.size))]].mean(axis=0))
        return replace(evaluation, returns=told)

    def _values(self, returns: Float[Array, "n e"]) -> Float[Array, "n"]:
        return over_scenarios(returns, self._outputs.scenarios, self._outputs.objective).mean(axis=1)

    def _begin(self, values: Float[Array, "n"], gaps: Float[Array, "n m"]) -> None:
        """The first μ of constraints that have none yet, as soon as something is broken."""
        typical = np.abs(gaps).mean(axis=0)
        wrong = np.where(self._equal, typical, gaps.max(axis=0)) > 0
        spread = float(np.ptp(values)) or abs(float(values.mean())) or 1.0
        fresh = (self._mu == 0) & wrong & (typical > 0)
        self._mu = np.where(fresh, 2 * spread / np.where(fresh, typical, 1.0) ** 2, self._mu)

    def _penalties(self, gaps: Float[Array, "n m"]) -> Float[Array, "n"]:
        mu = np.where(self._mu > 0, self._mu, 1.0)
        pushed = self._equal | (self._lambda + mu * gaps >= 0)
        full = self._lambda * gaps + mu * gaps**2 / 2
        each = np.where(pushed, full, -(self._lambda**2) / (2 * mu))
        return np.where(self._mu > 0, each, 0.0).sum(axis=1)

    def _change(self, gap: Float[Array, "m"]) -> None:
        moved = self._lambda + self._mu * gap / DAMPING
        self._lambda = np.where(self._equal, moved, np.maximum(moved, 0.0))
        wrong = np.where(self._equal, np.abs(gap), np.maximum(gap, 0.0))
        self._mu = np.where((wrong > 0) & (wrong > self._before / 2), GROWTH * self._mu, self._mu)
        self._before = wrong


def broken_in_words(outputs: Outputs, metrics: Mapping[str, Float[Array, "1 e"]]) -> Sequence[str]:
    """A line for every constraint: whether it holds, and by how much it is broken."""
    gaps, lines = outputs.gaps(metrics, 1)[0], []
    for constraint, gap in zip(outputs.constraints, gaps, strict=True):
        size = abs(gap) if constraint.equality else gap
        values = ", ".join(f"{name} {np.nanmean(metrics[name]):.4g}" for name in constraint.names)
        said = "holds" if size <= constraint.tolerance else f"is broken by {size:.3g}"
        lines.append(f"{constraint.text} {said} ({values})")
    return lines
