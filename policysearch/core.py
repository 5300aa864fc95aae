"""The nouns of a policy search: policy, rollout, domain, proposal, evaluation, optimizer, evaluator.

A search is a conversation. An optimizer proposes parameter vectors, an evaluator runs them:

    Optimizer ──Proposal──▶ Evaluator ──Evaluation──▶ Optimizer ──▶ …

Axis letters in the signatures: n candidates, k episodes per candidate, d parameters, T steps of an
episode, m rows of a batch, o observation, a action, h policy state, z noise.
Returns are maximised. Randomness enters only through an explicit `numpy.random.Generator`.
"""

import hashlib
import math
import sys
from collections.abc import Generator, Mapping
from dataclasses import InitVar, dataclass, field
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from policysearch.policy import Array, Moments, Policy, PolicyKernel, Rollout, StochasticPolicy, kernel_of
from policysearch.seeding import Key

__all__ = [
    "NO_FITNESS_YET",
    "Array",
    "Domain",
    "Evaluation",
    "Evaluator",
    "Failure",
    "Moments",
    "Needs",
    "Optimizer",
    "Policy",
    "PolicyKernel",
    "Proposal",
    "Ranges",
    "Rollout",
    "Search",
    "StochasticPolicy",
    "just_below",
    "kernel_of",
    "needs_of",
    "tunable_of",
]

#: Fitness of a failed candidate while a search has not seen a single finite return: below anything
#: real, and small enough that its square is still finite.
NO_FITNESS_YET = -1e100


@dataclass(frozen=True, eq=False)
class Domain:
    """What an optimizer may know about its parameters: where to start, the bounds, and what was tried before.

    Coordinates are scaled: one unit is a step that matters, equally in every direction (see
    `policysearch.space`). Bounds may be infinite. The arrays are copied, and cannot be changed in place.

    Raises:
        ValueError: for a start that is not a finite vector, or bounds that do not contain it.
    """

    start: Float[Array, "d"]
    lower: Float[Array, "d"]
    upper: Float[Array, "d"]
    known: "Evaluation | None" = field(default=None, kw_only=True)  # earlier tries; a method may ignore them

    def __post_init__(self) -> None:
        if self.start.ndim != 1 or self.start.size == 0 or not np.isfinite(self.start).all():
            raise ValueError(f"start: expected a finite, non-empty vector, got {self.start!r}")
        inside = (self.lower <= self.start) & (self.start <= self.upper)
        if not inside.all():
            i = int(np.flatnonzero(~inside)[0])
            raise ValueError(
                f"start[{i}]: expected {self.lower[i]:g} <= start <= {self.upper[i]:g}, got {self.start[i]:g}"
            )
        for name in ("start", "lower", "upper"):
            object.__setattr__(self, name, getattr(self, name).copy())
            getattr(self, name).flags.writeable = False

    @classmethod
    def unbounded(cls, start: Float[Array, "d"]) -> "Domain":
        """All of R^d, starting at `start`."""
        start = np.asarray(start, dtype=float)
        return cls(start, np.full(start.shape, -np.inf), np.full(start.shape, np.inf))

    @cached_property
    def bounded(self) -> bool:
        """Whether any coordinate has a finite bound."""
        return bool(np.isfinite(self.lower).any() or np.isfinite(self.upper).any())

    @cached_property
    def enclosed(self) -> bool:
        """Whether every coordinate has two finite bounds."""
        return bool(np.isfinite(self.lower).all() and np.isfinite(self.upper).all())

    def clip(self, params: Float[Array, "*n d"]) -> Float[Array, "*n d"]:
        """`params` projected onto the bounds."""
        return np.clip(params, self.lower, self.upper) if self.bounded else params


@dataclass(frozen=True, eq=False)
class Proposal:
    """What an optimizer asks an evaluator to run next. Its arrays are copies of those that it is made of.

    Raises:
        ValueError: if `params` is not an n × d matrix with n >= 1, or `episodes` is below 1.
    """

    params: Float[Array, "n d"]
    recommendation: Float[Array, "d"]  # what to deploy if the search stopped now
    episodes: int = 1  # k, per candidate
    sample: bool = False  # draw actions from π instead of taking its mode
    record: bool = False  # keep the rollouts
    moments: bool = False  # accumulate the moments of the observations
    purpose: str = "search"  # or "re-evaluation": rollouts are booked by purpose
    cutoff: float = -np.inf  # a return below which an episode may be stopped early
    diagnostics: Mapping[str, float] = field(default_factory=dict)  # for people; never read back
    origin: str = ""  # generation and search of `search.AskTell`, for its token
    rule: str = ""  # of a method that chooses among others: what it has seen and taken, in words for a report
    hopeless: InitVar[float | None] = None  # the old name of `cutoff`, removed in 0.3

    def __post_init__(self, hopeless: float | None) -> None:
        if hopeless is not None:
            object.__setattr__(self, "cutoff", hopeless)
        if self.params.ndim != 2 or self.params.shape[0] < 1:
            raise ValueError(f"params: expected n >= 1 rows of d numbers, got shape {self.params.shape}")
        if self.episodes < 1:
            raise ValueError(f"episodes: expected at least 1, got {self.episodes}")
        object.__setattr__(self, "params", self.params.copy())
        object.__setattr__(self, "recommendation", self.recommendation.copy())

    @property
    def cost(self) -> int:
        """Rollouts that running this proposal takes: n·k."""
        return int(self.params.shape[0]) * self.episodes

    @property
    def token(self) -> str:
        """A short text by which `search.AskTell.tell` knows the proposal again: generation, search, parameters."""
        return f"{self.origin}-{hashlib.sha256(self.params.tobytes()).hexdigest()[:8]}"

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Those rollouts as (candidate, episode), in order."""
        return [(i, j) for i in range(len(self.params)) for j in range(self.episodes)]


@dataclass(frozen=True)
class Failure:
    """Why one episode has no return."""

    candidate: int
    episode: int
    seed: int  # the environment seed that reproduces it
    reason: str  # in one line
    traceback: str = ""  # of the environment's own exception, if there was one


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What happened when a proposal was run. A failed episode has a NaN return and still counts.

    Where people are measured, a candidate may be left out (a mask that leaks, a tired person): its returns are NaN
    too, but it is `unmeasured` and has not failed.

    Raises:
        ValueError: if one of `unmeasured` is no candidate, or has a return.
    """

    params: Float[Array, "n d"]
    returns: Float[Array, "n k"]
    steps: Int[Array, "n k"]
    failures: tuple[Failure, ...] = ()
    rollouts: tuple[tuple[Rollout, ...], ...] = ()  # per candidate, the successful episodes, if recorded
    moments: Moments | None = None
    clipped_steps: int = 0  # steps whose action lay outside the action space
    retried_rollouts: int = 0  # run again because their process was lost; not part of the budget
    unmeasured: tuple[int, ...] = ()  # candidates that were not measured
    failed_fitness: float = NO_FITNESS_YET  # when this generation alone cannot tell; set by the search loop
    #: Other measurements by name; NaN where there is none.
    metrics: Mapping[str, Float[Array, "n k"]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n = len(self.returns)
        for i in self.unmeasured:
            if not (0 <= i < n and np.isnan(self.returns[i]).all()):
                raise ValueError(f"unmeasured: expected candidates below {n} whose returns are NaN, got {i}")

    @cached_property
    def measured(self) -> Int[Array, "m"]:
        """Indices of the candidates that were measured or tried to be: all but the unmeasured ones."""
        return np.delete(np.arange(len(self.returns)), self.unmeasured)

    @cached_property
    def means(self) -> Float[Array, "n"]:
        """Mean return of each candidate: NaN where an episode failed, infinite where no float holds it."""
        if self.returns.shape[1] == 1:
            return self.returns[:, 0]
        with np.errstate(over="ignore", invalid="ignore"):  # a mean that no float holds is that of a failure
            return self.returns.mean(axis=1)

    @cached_property
    def extremes(self) -> tuple[float, float]:
        """The smallest and the largest mean return; NaN where a candidate has no mean."""
        return float(self.means.min(initial=np.inf)), float(self.means.max(initial=-np.inf))

    @property
    def complete(self) -> bool:
        """Whether every candidate has a finite mean return."""
        worst, best = self.extremes
        return math.isfinite(worst) and math.isfinite(best)

    @cached_property
    def total_steps(self) -> int:
        """Steps of all episodes."""
        return int(self.steps.sum())

    @cached_property
    def fitness(self) -> Float[Array, "n"]:
        """Mean return of each candidate, always finite.

        A candidate with a failed episode gets the worst finite value of its generation minus the
        generation's range; where the generation has no range, the value known to the search loop. An unmeasured
        one gets the median of the finite values, which is neutral; where there are none, that of a failure.
        """
        mean = self.means
        if self.complete:
            return mean
        finite = np.isfinite(mean)
        if not finite.any():
            return np.full(mean.shape, self.failed_fitness)
        worst, best = float(mean[finite].min()), float(mean[finite].max())
        failed = worst - (best - worst) if best > worst else min(self.failed_fitness, worst - 1.0)
        fitness = np.where(finite, mean, just_below(worst, failed))
        fitness[list(self.unmeasured)] = 2 * np.median(mean[finite] / 2)  # halves, whose sums stay finite
        return fitness

    def ranking(self) -> Int[Array, "n"]:
        """Candidate indices from best to worst; equal fitness keeps the proposal's order, the unmeasured last."""
        if self.unmeasured:
            return np.lexsort((~np.isin(np.arange(len(self.returns)), self.measured), -self.fitness))
        return np.argsort(-self.fitness, kind="stable")


def just_below(worst: float, failed: float) -> float:
    """`failed`, kept finite and, against rounding, below `worst`."""
    return max(min(failed, math.nextafter(worst, -math.inf)), -sys.float_info.max)


@dataclass(frozen=True)
class Needs:
    """What a method needs of the policy, of its parameters and of the installation.

    A method that needs scores searches all parameters of a stochastic policy, where others search those of its mode.
    """

    scores: bool = False  # of the policy: the gradients of its log-probabilities
    bounds: bool = False  # two finite ones for every parameter
    kept_rollouts: bool = False  # over generations, so their observations must keep their meaning
    uses_known: bool = False  # whether it learns from `Domain.known`; others only start at the best of it
    extra: str = ""  # of the package, which installs `modules`
    modules: tuple[str, ...] = ()


#: A running optimizer: yields proposals, is sent evaluations, and returns its final recommendation if
#: it ever ends by itself.
Search = Generator[Proposal, Evaluation, Float[Array, "d"]]


#: Hyperparameters that are worth tuning, and between which values: whole numbers where the default is one.
#: Sensible values differ by factors, so tuning draws their logarithm uniformly.
Ranges = Mapping[str, tuple[float, float]]


@runtime_checkable
class Optimizer(Protocol):
    """A frozen dataclass of hyperparameters whose `search` is the method, as a coroutine.

    The class may have `tunable` (`Ranges`), those that are worth tuning, `source`, the source's values where they are
    not the defaults, and `needs` (`Needs`), what it needs. One around another method has the needs of the inner one.
    """

    def search(self, domain: Domain, rng: np.random.Generator) -> Search:
        """The search itself. It draws randomness from `rng` only and never ends unless it must."""


def needs_of(optimizer: Optimizer | type[Optimizer]) -> Needs:
    """What a method needs: its `needs`, or nothing where it has no such attribute.

    Raises:
        TypeError: for `needs` of another type.
    """
    needs = getattr(optimizer, "needs", Needs())
    if not isinstance(needs, Needs):
        raise TypeError(f"needs: expected Needs(...), got {needs!r}, of {optimizer!r}")
    return needs


def memory_of(optimizer: Optimizer, d: int, o: int) -> int:
    """Bytes that a search of d parameters holds at once; 0 where the method does not say.

    A method whose matrices grow with the square of a number has a method `memory(d, o)`, with o the numbers of an
    observation. A method around another one holds what the inner one does.
    """
    inner = getattr(optimizer, "optimizer", None)
    if inner is not None:
        return memory_of(inner, d, o)
    held = getattr(optimizer, "memory", lambda *_: 0)
    return int(held(d, o))


def tunable_of(method: type[Optimizer]) -> Ranges:
    """The hyperparameters of a method that are worth tuning: its `tunable`, or none where it has none."""
    ranges: Ranges = getattr(method, "tunable", {})
    return ranges


@runtime_checkable
class Evaluator(Protocol):
    """Runs proposals: a pure function of the proposal and the key.

    The seed of episode j is a function of (*key, j), the same for all candidates (common random numbers);
    the action noise depends on the candidate too.
    """

    def evaluate(self, proposal: Proposal, key: Key) -> Evaluation:
        """The evaluation of `proposal`, its random streams named by `key`."""
