"""CMA-ES (Hansen 2016, "The CMA evolution strategy: a tutorial"), through Hansen's own `cma` package.

The update is `cma`'s, with its default strategy parameters and active (negative) weights; its random
numbers come from our generator. Bounds are handled by `cma` too: it is given the points that it sampled.
Candidates that were not measured are not passed to it, unless fewer than μ (half of the population) were measured:
then all are, the unmeasured ones with the median. The recommendation is the distribution's mean.

Neither the size nor the unit of returns ends a search: `cma`'s tolerances of returns are not used, that of the
parameters is `TOLX`. A generation of equal returns says nothing of where to go: it is not passed to `cma`, and the
step size grows by `WIDER`, up to the range of the parameters where they have one. Where the step size is below `FINE`
of the first, equal returns mean that nothing is left to be found. `cma` ranks ties in the order of the candidates,
which are independent draws.

`noise_handling` adds the uncertainty handling of Hansen, Niederberger, Guzzella & Koumoutsakos 2009: a few
candidates are evaluated twice and, when their ranks disagree, the step size grows and further candidates
get more episodes. It is not reliable for populations of five or fewer. With some hundred rollouts it is worse than
none: on COCO's 30 noisy functions (d = 5, 500 rollouts, re-evaluations among them) the loss of the recommendation is
6.0 times that without it (95 %: 3.1 to 11.7), whether `max_episodes` is 1, 5 or 30, and 3.2 times with `cma`'s own
handler (1.6 to 6.3): σ grows by 1 + 2/(d + 10) at every disagreement, and so converges too late
(`experiments/coco/noise_handling.py`).
`restarts` allows restarts with a doubled population (IPOP, Auger & Hansen 2005) from the start point when
`cma` finds that it has converged; otherwise the search ends there. The mean of an earlier run stays the
recommendation until the latest generation of the running one does better, on average, than its last one.

Earlier tries give the first distribution, up to its correlations (`warm_start`).

Defaults: those of `cma`; σ = 0.3 of a range is its author's advice.

Invariant to: constants added to returns, monotone transformations of returns, rotation and, after
adaptation, any affine transformation of the parameters.

When to use it: for 2 to about 100 parameters, where a whole generation is run at a time or there are hundreds of
rollouts or more. With 30 to 100 rollouts smaller first steps are better: σ = 0.1, with which `tune` begins it.
When not: for one parameter; for thousands, since C has d² numbers: `sep-cma-es` has d.
"""

import warnings
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float

from policysearch.core import Array, Domain, Evaluation, Needs, Proposal, Ranges, Search
from policysearch.optimizers.checks import positive, within
from policysearch.optimizers.pycma import pycma
from policysearch.optimizers.warm_start import first_gaussian

#: The factor by which the step size grows after a generation of equal returns (choice), and its limit without bounds.
WIDER, WIDEST = 1.5, 1e6
#: Shares of the first step size (choices): where steps in all parameters end a search, and where equal returns do.
TOLX, FINE = 1e-9, 1e-3


@dataclass(frozen=True)
class CMAES:
    """Covariance matrix adaptation, with `cma`'s defaults."""

    needs: ClassVar[Needs] = Needs(uses_known=True)
    revision: ClassVar[int] = 2  # 2: equal returns widen the search, and no unit of returns ends it
    tunable: ClassVar[Ranges] = {"sigma": (0.03, 3.0)}
    diagonal: ClassVar[bool] = False  # whether C is diagonal, as in `sep-cma-es`

    sigma: float = 0.3  # initial step size, in scaled parameter units
    population_size: int | None = None  # λ; None: 4 + ⌊3 ln d⌋
    active: bool = True  # negative weights for the worse half
    noise_handling: bool = False  # UH-CMA-ES
    max_episodes: int = 30  # the most episodes per candidate that noise handling may ask for
    restarts: int = 0  # IPOP restarts

    def __post_init__(self) -> None:
        positive(self, "sigma")
        within(self, 3, np.inf, "population_size")
        within(self, 1, np.inf, "max_episodes")
        within(self, 0, np.inf, "restarts")

    def memory(self, d: int, o: int) -> int:
        """Bytes of C, its roots and eigenvectors, and of what computing these takes."""
        return 9 * 8 * d**2  # as measured

    def search(self, domain: Domain, rng: np.random.Generator) -> Search:
        """Runs of `cma`, each with twice the population of the one before."""
        if domain.start.size < 2:
            raise ValueError("cma-es: expected at least 2 parameters, got 1; use another optimizer")
        es = self._strategy(domain, rng, self.population_size)
        kept = yield from self._run(es, domain, rng, _Kept(domain.start, -np.inf))
        for _ in range(self.restarts):
            es = self._strategy(domain, rng, 2 * es.popsize)
            kept = yield from self._run(es, domain, rng, kept)
        return kept.mean

    def _strategy(self, domain: Domain, rng: np.random.Generator, population_size: int | None) -> Any:
        options: dict[str, Any] = {
            "randn": lambda *shape: rng.standard_normal(shape),
            "seed": np.nan,
            "CMA_active": self.active,
            "verbose": -9,
            "verb_log": 0,
            "bounds": [domain.lower, domain.upper] if domain.bounded else [None, None],
            "tolx": TOLX,
            "tolfun": 0,
            "tolfunhist": 0,
            "tolflatfitness": np.inf,
        }
        if self.diagonal:
            options["CMA_diagonal"] = True
        if population_size is not None:
            options["popsize"] = population_size
        mean, sigma = domain.start, self.sigma
        if domain.known is not None:
            mean, std = first_gaussian(domain, self.sigma)
            sigma = float(np.exp(np.log(std).mean()))
            options["CMA_stds"] = std / sigma
        return pycma().CMAEvolutionStrategy(mean, sigma, options)

    def _run(
        self, es: Any, domain: Domain, rng: np.random.Generator, kept: "_Kept"
    ) -> Generator[Proposal, Evaluation, "_Kept"]:
        """One run until `cma` stops it; returns the better of its mean and what was kept before."""
        noise = _NoiseHandling(domain.start.size, self.max_episodes) if self.noise_handling else None
        episodes, own, widest = 1, _Kept(domain.start, -np.inf), 1.0 if domain.enclosed else WIDEST
        while not es.stop():
            sampled = es.ask()
            recommendation = own.mean if own.value >= kept.value else kept.mean
            diagnostics = {"sigma": float(es.sigma), "episodes": float(episodes)}
            evaluation = yield Proposal(np.array(sampled), recommendation, episodes, diagnostics=diagnostics)
            fitness = evaluation.fitness[evaluation.measured]
            if evaluation.measured.size < 2 or not np.isfinite(evaluation.returns).any():
                continue  # nothing to learn from, and `cma` would take equal values for convergence
            if fitness.min() == fitness.max():
                if es.sigma < FINE * self.sigma:
                    break
                es.sigma = max(es.sigma, min(WIDER * es.sigma, widest))
                continue
            enough = evaluation.measured.size >= es.sp.weights.mu
            told = evaluation.measured if enough else np.arange(len(sampled))
            points, fitness = [sampled[i] for i in told], evaluation.fitness[told]
            if noise and enough:
                repeated = np.array(noise.indices(fitness, rng))
                chosen = np.array([points[i] for i in repeated])
                again = yield Proposal(chosen, recommendation, episodes, purpose="re-evaluation")
                if again.measured.size:
                    twice = repeated[again.measured].tolist()
                    es.sigma *= noise.update(fitness, again.fitness[again.measured], twice)
                    episodes = noise.episodes
            _tell(es, points, fitness)
            with np.errstate(over="ignore"):  # of returns like −1e308
                own = _Kept(_mean(es), float(fitness.mean()))
        return own if own.value >= kept.value else kept


def _tell(es: Any, sampled: Sequence[Float[Array, "d"]], fitness: Float[Array, "m"]) -> None:
    """Tell `cma`, which takes fewer points than it was asked for, but warns."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The number of solutions passed to `tell`")
        es.tell(sampled, (-fitness).tolist())


@dataclass(frozen=True, eq=False)
class _Kept:
    """The mean of a run, and the mean fitness of the generation that led to it."""

    mean: Float[Array, "d"]
    value: float


class _NoiseHandling:
    """The rank-change measure of UH-CMA-ES (Hansen et al. 2009, section III), computed by `cma`."""

    def __init__(self, d: int, max_episodes: int) -> None:
        self._handler = pycma().NoiseHandler(d, maxevals=max_episodes)
        self.episodes = 1

    def indices(self, fitness: Float[Array, "n"], rng: np.random.Generator) -> list[int]:
        """λ_reev = 2 + λ/20 candidates: half of them the earliest, the rest the best of the others."""
        count = 2 + len(fitness) / 20
        count = int(count) + int(rng.random() < count % 1)
        first = count - count // 2
        best = first + np.argsort(-fitness[first:], kind="stable")
        return [*range(first), *best[: count - first].tolist()]

    def update(self, fitness: Float[Array, "n"], again: Float[Array, "r"], indices: list[int]) -> float:
        """The factor for σ; also sets the number of episodes for the next generation."""
        repeated = fitness.copy()
        repeated[indices] = again
        handler = self._handler
        handler.fit, handler.fitre, handler.idx = (-fitness).tolist(), (-repeated).tolist(), indices
        handler.update_measure()
        factor = float(handler.treat())
        self.episodes = int(handler.evaluations)
        return factor


def _mean(es: Any) -> Float[Array, "d"]:
    """The mean of the distribution, in the coordinates of the candidates."""
    return np.array(es.gp.pheno(es.mean, into_bounds=es.boundary_handler.repair))
