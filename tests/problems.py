"""Problems with known answers, and every optimizer of the registry with its variants, for the tests."""

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np

from policysearch.core import Array, Domain, Optimizer, Proposal, needs_of
from policysearch.models.lqr import LQR
from policysearch.optimizers import (
    ARS,
    CMAES,
    OPTIMIZERS,
    PPO,
    TRPO,
    BayesianOptimization,
    CrossEntropy,
    FiniteDifference,
    Genetic,
    HillClimbing,
    NaturalGradient,
    OffPolicyReinforce,
    OnePlusOneCMAES,
    RandomSearch,
    Reinforce,
    Repeated,
    Whitened,
)
from policysearch.optimizers.reinforce import Baseline
from policysearch.policies import Gaussian, Softmax
from policysearch.seeding import stream
from policysearch.testing.problems import BOX, FREE, WALKER, D, Values, Walk, sphere, walk

__all__ = [
    "ALL",
    "BOUNDED",
    "BOX",
    "DIRECT",
    "EPISODIC",
    "FREE",
    "WALKER",
    "D",
    "Values",
    "Walk",
    "sphere",
    "walk",
]

Function = Callable[[Array], Array]


class PlainGaussian(Gaussian):
    """One that acts in NumPy: to compile a policy takes longer than most of what is tried with it."""

    kernel = None  # type: ignore[assignment]


class PlainSoftmax(Softmax):
    """One that acts in NumPy, as `PlainGaussian`."""

    kernel = None  # type: ignore[assignment]


def proposals(
    optimizer: Optimizer,
    generations: int,
    function: Function = sphere,
    domain: Domain | None = None,
    seed: int = 1,
    noise: float = 0.0,
) -> list[Proposal]:
    """The first proposals of a search on a function, one more than the generations that are told."""
    search = optimizer.search(domain or Domain.unbounded(np.zeros(D)), stream(seed))
    evaluator = Values(function, noise)
    out = [next(search)]
    for generation in range(generations):
        out.append(search.send(evaluator.evaluate(out[-1], (seed, "values", generation))))
    return out


#: The methods of the registry that need no bounds.
ANYWHERE = [name for name, cls in OPTIMIZERS.items() if not needs_of(cls).bounds]

#: Those of them, and their variants, that search a function.
DIRECT: dict[str, Optimizer] = {
    **{name: OPTIMIZERS[name]() for name in ANYWHERE if not needs_of(OPTIMIZERS[name]).scores},
    "ars top": ARS(top=4),
    "cma-es passive": CMAES(active=False),
    "cma-es noise handling": CMAES(noise_handling=True),
    "cma-es restarts": CMAES(restarts=2),
    "cross-entropy full": CrossEntropy(covariance="full"),
    "finite-difference central": FiniteDifference(variant="central"),
    "finite-difference regression": FiniteDifference(variant="regression"),
    "genetic truncation": Genetic(selection="truncation"),
    "hill-climbing adapt": HillClimbing(adapt=True),
    "hill-climbing remembering": HillClimbing(reevaluate=False),
    "one-plus-one-cma-es again": OnePlusOneCMAES(reevaluate=True),
    "repeated random-search": Repeated(RandomSearch(), 3),
}

FURTHER_BASELINES: tuple[Baseline, ...] = ("optimal", "network")

#: Those that need episodes of a policy: scores, or observations.
EPISODIC: dict[str, Optimizer] = {
    "reinforce": Reinforce(episodes=4),
    "reinforce plain": Reinforce(
        episodes=4, ascent="plain", learning_rate=1e-3, baseline="mean", discount=1.0
    ),
    **{f"reinforce {b}": Reinforce(episodes=4, baseline=b) for b in FURTHER_BASELINES},
    "off-policy-reinforce": OffPolicyReinforce(episodes=4),
    "natural-gradient": NaturalGradient(episodes=4, entropy=0.01),
    "natural-gradient enac": NaturalGradient(episodes=8, solver="enac"),
    "trpo": TRPO(episodes=4),
    "ppo": PPO(episodes=4, entropy=0.01),
    "whitened ars": Whitened(ARS(), WALKER),
    "whitened cma-es": Whitened(CMAES(), WALKER),
    "whitened reinforce": Whitened(Reinforce(episodes=4), WALKER),
}

ALL: dict[str, Optimizer] = DIRECT | EPISODIC

#: Those that search a function within bounds only, where their extras are installed.
BOUNDED: dict[str, Optimizer] = {"bayesian": BayesianOptimization(startup=4)}
if any(importlib.util.find_spec(module) is None for module in BayesianOptimization.needs.modules):
    BOUNDED = {}


def domain_of(name: str) -> Domain:
    """One that suits the optimizer."""
    return BOX if name in BOUNDED else FREE


def evaluator_of(name: str) -> Any:
    """An evaluator that suits an optimizer of `ALL`."""
    return walk() if name in EPISODIC else Values(noise=0.1)


def covariance(seed: int, size: int) -> Array:
    root = stream("covariance", seed).standard_normal((size, size))
    return root @ root.T / size


#: Three states, two inputs, and no matrix diagonal.
FULL = LQR(
    A=np.array([[0.9, 0.3, 0.0], [-0.2, 0.8, 0.1], [0.1, 0.0, 1.05]]),
    B=np.array([[0.5, 0.0], [0.1, 1.0], [0.3, -0.4]]),
    Q=covariance(1, 3), R=covariance(2, 2), Q_f=covariance(3, 3), W=0.1 * covariance(4, 3),
    mu_0=np.array([1.0, -0.5, 0.7]), S_0=covariance(5, 3), horizon=6, discount=0.9,
)  # fmt: skip
