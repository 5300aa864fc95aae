"""Bayesian optimization: a Gaussian process of the returns selects the next candidate.

    f ~ GP(0, k),   y_i = f(θ_i) + noise,   next: argmax_θ E[max(f(θ) − max_i y_i, 0)]

Source: Jones, Schonlau & Welch 1998 (expected improvement), through optuna's `GPSampler`: its logarithm (Ament et
al. 2023), a Matern 5/2 kernel and a length per parameter. It is told the returns in units of a power of two, since it
takes small ones for equal. One candidate per proposal, after a startup design: the
start and a Latin hypercube (McKay, Beckman & Conover 1979). Every parameter needs two bounds.

The recommendation is not the candidate with the highest return but the one with the highest posterior mean, of a
process of our own:

    k(r) = s² (1 + √5 r + 5r²/3) exp(−√5 r),   r = ‖u − u'‖/ℓ in the unit cube of the bounds
    ln p(y) = −n/2 ln(yᵀA⁻¹y) − 1/2 ln|A| + const,   A = K/s² + g I,   with the best s² for ℓ and g put in

(Rasmussen & Williams 2006, eqs. 4.17 and 2.30). ℓ and the noise g, in units of s², maximise the likelihood; one
ℓ serves all parameters, whose ranges are assumed to matter equally. Failed candidates count with their fitness; those
that were not measured, or that failed before any return was known, do not.

Earlier tries are told to both processes, and take the place of the startup design.

Defaults: eight candidates at the start are our choice.

Invariant to: constants added to returns and positive factors on returns, up to rounding; units, through the bounds.

When to use it: for up to about ten bounded parameters, and rollouts so expensive that seconds of computing for
each do not matter.
When not: with more than about 200 rollouts: the time for a candidate grows with the cube of their number.
"""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float
from threadpoolctl import threadpool_limits

from policysearch.core import NO_FITNESS_YET, Array, Domain, Evaluation, Needs, Proposal, Ranges, Search
from policysearch.optimizers.checks import within

#: A value whose square is finite.
MAX_VALUE = 1e100
#: Between which values ℓ, in units of the ranges, and g are looked for, and from where.
LOWER, UPPER, GUESS = (0.05, 1e-4), (20.0, 1e3), (0.5, 0.3)


@dataclass(frozen=True)
class BayesianOptimization:
    """Expected improvement under a Gaussian process; needs bounds and the extra `bo`."""

    needs: ClassVar[Needs] = Needs(bounds=True, uses_known=True, extra="bo", modules=("optuna", "torch"))
    tunable: ClassVar[Ranges] = {"startup": (4, 24)}

    startup: int = 8  # candidates of the startup design, the start among them

    def __post_init__(self) -> None:
        within(self, 2, np.inf, "startup")

    def search(self, domain: Domain, rng: np.random.Generator) -> Search:
        """A design, then the most promising candidate in every generation."""
        if not domain.enclosed:
            raise ValueError(
                "bayesian: expected two finite bounds for every parameter; use another optimizer"
            )
        trials, best = _Trials(domain, int(rng.integers(2**31))), domain.start
        if domain.known is not None and np.isfinite(domain.known.returns).any():
            trials.tell(domain.known.params, domain.known)
            best = trials.best()
        while True:
            candidates = trials.ask()[None] if trials.values else self._design(domain, rng)
            evaluation = yield Proposal(candidates, recommendation=best)
            trials.tell(candidates, evaluation)
            best = trials.best() if trials.values else best

    def _design(self, domain: Domain, rng: np.random.Generator) -> Float[Array, "n d"]:
        """The start, and one candidate in each of n − 1 slices of every parameter's range."""
        n, d = self.startup - 1, domain.start.size
        slices = rng.permuted(np.tile(np.arange(n), (d, 1)), axis=1).T
        u = (slices + rng.random((n, d))) / n
        return np.vstack([domain.start, domain.clip(domain.lower + (domain.upper - domain.lower) * u)])


class _Trials:
    """What is known of the candidates, and optuna's sampler, whose parameters are those of the unit cube."""

    def __init__(self, domain: Domain, seed: int) -> None:
        with _quiet_optuna() as optuna:
            self._sampler = optuna.samplers.GPSampler(seed=seed, n_startup_trials=1)
            unit = optuna.distributions.FloatDistribution(0.0, 1.0)
        self._ranges = {str(i): unit for i in range(domain.start.size)}
        self._domain, self._span = domain, np.maximum(domain.upper - domain.lower, sys.float_info.min)
        self.params: list[Array] = []
        self.points: list[Array] = []
        self.values: list[float] = []

    def ask(self) -> Float[Array, "d"]:
        """The most promising candidate."""
        with _quiet_optuna() as optuna:
            study = optuna.create_study(sampler=self._sampler, direction="maximize")
            exponent = np.frexp(np.ptp(self.values))[1]
            for u, value in zip(self.points, np.ldexp(self.values, -exponent).tolist(), strict=True):
                params = dict(zip(self._ranges, u.tolist(), strict=True))
                study.add_trial(
                    optuna.trial.create_trial(params=params, distributions=self._ranges, value=value)
                )
            trial = study.ask(self._ranges)
        u = np.array([trial.params[name] for name in self._ranges])
        return self._domain.clip(self._domain.lower + self._span * u)

    def tell(self, candidates: Float[Array, "n d"], evaluation: Evaluation) -> None:
        """Take note of candidates that were measured, or that failed when the fitness of a failure is known."""
        for i in evaluation.measured:
            if evaluation.fitness[i] != NO_FITNESS_YET:
                self.params.append(candidates[i])
                self.points.append(np.clip((candidates[i] - self._domain.lower) / self._span, 0.0, 1.0))
                self.values.append(float(np.clip(evaluation.fitness[i], -MAX_VALUE, MAX_VALUE)))

    def best(self) -> Float[Array, "d"]:
        """The candidate with the highest posterior mean."""
        with _quiet_optuna():
            mean = posterior_mean(np.array(self.points), np.array(self.values))
        return self.params[int(mean.argmax())]


@contextmanager
def _quiet_optuna() -> Iterator[Any]:
    """optuna, without its log and its warnings of what is experimental, and one thread for all algebra.

    One is several times faster on matrices this small, and the last digits may depend on the number.

    Raises:
        ImportError: if it is not installed.
    """
    try:
        import optuna  # noqa: PLC0415 - an extra
        import torch  # noqa: PLC0415 - an extra, and takes over a second
    except ImportError as error:
        raise ImportError("bayesian: needs optuna and PyTorch: pip install 'policysearch[bo]'") from error
    verbosity, threads = optuna.logging.get_verbosity(), torch.get_num_threads()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1), warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield optuna
    finally:
        optuna.logging.set_verbosity(verbosity)
        torch.set_num_threads(threads)


def posterior_mean(u: Float[Array, "n d"], y: Float[Array, "n"]) -> Float[Array, "n"]:
    """E[f(u_i) | y] of a Gaussian process whose ℓ and g maximise the likelihood of y."""
    from scipy.optimize import Bounds, minimize  # noqa: PLC0415 - takes a while

    if y.min() == y.max():
        return y
    z, distances = (y - y.mean()) / y.std(), np.sqrt(((u[:, None] - u) ** 2).sum(axis=-1))
    bounds = Bounds(np.log(LOWER), np.log(UPPER))
    found = minimize(_cost, np.log(GUESS), (distances, z), jac=True, method="L-BFGS-B", bounds=bounds)
    length, noise = np.exp(found.x)
    K = _matern(distances / length)[0]
    return y.mean() + y.std() * K @ np.linalg.solve(K + noise * np.eye(y.size), z)


def _cost(
    log: Float[Array, "2"], distances: Float[Array, "n n"], z: Float[Array, "n"]
) -> tuple[float, Float[Array, "2"]]:
    """−ln p(z) at ln ℓ and ln g, less a constant, and its derivatives, ½ tr((A⁻¹ − n ααᵀ/zᵀα) ∂A) with α = A⁻¹z."""
    from scipy.linalg import cho_factor, cho_solve  # noqa: PLC0415 - takes a while

    n, (length, noise) = z.size, np.exp(log)
    K, slope = _matern(distances / length)
    factor = cho_factor(K + noise * np.eye(n), lower=True)
    inverse = cho_solve(factor, np.eye(n))
    alpha = inverse @ z
    cost = n / 2 * np.log(z @ alpha) + np.log(np.diag(factor[0])).sum()
    W = inverse - n / (z @ alpha) * np.outer(alpha, alpha)
    return float(cost), np.array([(W * slope).sum() / 2, np.trace(W) * noise / 2])


def _matern(r: Float[Array, "n n"]) -> tuple[Float[Array, "n n"], Float[Array, "n n"]]:
    """k(r)/s², and its derivative in ln ℓ."""
    decay = np.exp(-np.sqrt(5) * r)
    return (1 + np.sqrt(5) * r + 5 * r**2 / 3) * decay, 5 * r**2 / 3 * (1 + np.sqrt(5) * r) * decay
