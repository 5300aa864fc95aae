"""Functions of one parameter: smooth, skewed, of several optima, with plateaus, free, with starts at an edge."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from policysearch.core import Array, Domain, Evaluation, Proposal
from policysearch.seeding import Key, stream
from policysearch.space import Parameter, Space


@dataclass(frozen=True)
class Problem:
    """A function to maximise."""

    name: str
    parameter: Parameter
    function: Callable[[Array], Array]
    high: float  # the largest value lies between the start, or the lower bound, and this number

    @cached_property
    def space(self) -> Space:
        """The one parameter."""
        return Space((self.parameter,))

    @property
    def domain(self) -> Domain:
        """What a method is given."""
        return self.space.domain

    def values(self, params: Array) -> Array:
        """The function without noise, of rows of coordinates."""
        return self.function(self.space.decode(params)[:, 0])

    @cached_property
    def best(self) -> float:
        """The largest value."""
        low = max(self.parameter.lower, min(self.parameter.start, self.high))
        return float(self.function(np.linspace(low, self.high, 1_000_001)).max())

    @cached_property
    def gain(self) -> float:
        """How much better the best value is than the start."""
        return self.best - float(self.function(np.array([self.parameter.start]))[0])

    def regret(self, recommendation: Array) -> float:
        """0 at the best value, 1 at the start."""
        return (self.best - float(self.values(recommendation[None])[0])) / self.gain


@dataclass(frozen=True)
class Noisy:
    """The evaluator of a problem, whose returns have normal noise of `noise` times the gain."""

    problem: Problem
    noise: float

    def evaluate(self, proposal: Proposal, key: Key) -> Evaluation:
        """A row per candidate."""
        shape = (len(proposal.params), proposal.episodes)
        noise = self.noise * self.problem.gain * stream(*key).standard_normal(shape)
        return Evaluation(
            proposal.params, self.problem.values(proposal.params)[:, None] + noise, np.ones(shape, dtype=int)
        )


def unstable(x: Array) -> Array:
    """A loop that settles faster with the gain and soon after its best gain is unstable."""
    return -(4.0 / x + np.exp(np.minimum(4.0 * (x - 8.0), 6.0)))


def forrester(x: Array) -> Array:
    """Forrester, Sobester & Keane 2008: a global and a local optimum."""
    return -((6 * x - 2) ** 2) * np.sin(12 * x - 4)


PROBLEMS = (
    Problem("quadratic", Parameter("x", 1.0, 0.0, 10.0), lambda x: -((x - 7.3) ** 2), 10.0),
    Problem("start at an edge", Parameter("x", 0.0, 0.0, 10.0), lambda x: -((x - 6.1) ** 2), 10.0),
    Problem("best at a bound", Parameter("x", 2.0, 0.0, 10.0), np.sqrt, 10.0),
    Problem("kink", Parameter("x", 1.0, 0.0, 10.0), lambda x: -np.maximum(3.7 - x, 4 * (x - 3.7)), 10.0),
    Problem("unstable, log scale", Parameter("x", 0.5, 0.01, 100.0, scale="log"), unstable, 10.0),
    Problem("unstable, linear scale", Parameter("x", 0.5, 0.01, 100.0), unstable, 10.0),
    Problem("two optima", Parameter("x", 0.2, 0.0, 1.0), forrester, 1.0),
    Problem("many optima", Parameter("x", 3.0, 2.7, 7.5), lambda x: -np.sin(x) - np.sin(10 * x / 3), 7.5),
    Problem(
        "plateau", Parameter("x", 0.1, 0.0, 1.0), lambda x: np.maximum(0.0, 1 - 25 * (x - 0.7) ** 2), 1.0
    ),
    Problem("whole steps", Parameter("x", 1.0, 0.0, 10.0), lambda x: np.floor(10.5 - np.abs(x - 6.3)), 10.0),
    Problem("peak", Parameter("x", 1.0, 0.0, 10.0), lambda x: np.exp(-8 * (x - 6) ** 2) + 0.02 * x, 10.0),
    Problem("free", Parameter("x", 8000.0, step=8000.0), lambda x: -((x / 4000 - 3) ** 2), 20000.0),
    Problem("free and far", Parameter("x", 1.0), lambda x: -(np.abs(x - 30.0) ** 1.5), 60.0),
    Problem("one bound", Parameter("x", 0.004, 0.0, step=0.004), lambda x: -((x - 0.01) ** 2), 0.02),
)
