"""CMA-ES with learning-rate adaptation (LRA-CMA-ES), for noisy or multimodal returns; through the `cmaes` package.

Source: Nomura, Akimoto & Ono 2023, "CMA-ES with learning rate adaptation: can CMA-ES with default population size
solve multimodal and noisy problems?". The steps of m and of Σ = σ²C are multiplied by learning rates η ≤ 1, which
rise or fall so that the estimated signal-to-noise ratio of the steps stays near αη, α = 1.4.

The update is `cmaes`'s, whose random numbers have a seed from our generator; points outside the bounds are drawn
again. Its rules for the end of a search, some of which know the unit of returns, are not used: a search ends where
the points of a generation differ by less than `TOLX` of the first step. A generation of equal returns, or without a
return, is not passed to it; unmeasured candidates count with the median. The recommendation is the mean.

Defaults: those of the source; σ = 0.3, as for `cma-es`.

Invariant to: constants added to returns, monotone transformations of returns, rotation and, after
adaptation, any affine transformation of the parameters.

When to use it: with noisy returns and a thousand rollouts or more. It needs the extra `cmaes`.
When not: with small budgets: a small learning rate makes small steps. One parameter is left to other methods.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from policysearch.core import Domain, Needs, Proposal, Ranges, Search
from policysearch.optimizers.checks import positive, within

#: The share of the first step size below which the differences of a generation's points end a search (choice).
TOLX = 1e-9


@dataclass(frozen=True)
class LearningRateCMAES:
    """CMA-ES whose learning rates follow the signal-to-noise ratio of its steps."""

    needs: ClassVar[Needs] = Needs(extra="cmaes", modules=("cmaes",))
    tunable: ClassVar[Ranges] = {"sigma": (0.03, 3.0)}

    sigma: float = 0.3  # initial step size, in scaled parameter units
    population_size: int | None = None  # λ; None: 4 + ⌊3 ln d⌋

    def __post_init__(self) -> None:
        positive(self, "sigma")
        within(self, 4, np.inf, "population_size")

    def memory(self, d: int, o: int) -> int:
        """Bytes of C, its eigenvectors, and the d × d matrices of a step, one for each candidate."""
        return 8 * d**2 * (10 + (self.population_size or 4 + int(3 * np.log(d))))

    def search(self, domain: Domain, rng: np.random.Generator) -> Search:
        """The generations of one run."""
        if domain.start.size < 2:
            raise ValueError("lra-cma-es: expected at least 2 parameters, got 1; use another optimizer")
        es = self._strategy(domain, rng)
        mean = domain.start
        while True:
            points = np.array([es.ask() for _ in range(es.population_size)])
            if np.ptp(points, axis=0).max() < TOLX * self.sigma:
                return mean
            evaluation = yield Proposal(points, mean)
            fitness = evaluation.fitness
            if not np.isfinite(evaluation.returns).any() or fitness.min() == fitness.max():
                continue
            es.tell([(x, -float(f)) for x, f in zip(points, fitness, strict=True)])
            mean = domain.clip(es.mean.copy())

    def _strategy(self, domain: Domain, rng: np.random.Generator) -> Any:
        try:
            import cmaes  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise ImportError("lra-cma-es: needs cmaes: pip install 'policysearch[cmaes]'") from error
        return cmaes.CMA(
            domain.start.copy(),
            self.sigma,
            bounds=np.column_stack([domain.lower, domain.upper]) if domain.bounded else None,
            seed=int(rng.integers(2**31)),
            population_size=self.population_size,
            lr_adapt=True,
        )
