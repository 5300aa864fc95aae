"""Problems with known answers, and every optimizer of the registry with its variants, for the tests."""

import importlib.util
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np

from policysearch.core import Array, Domain, Evaluation, Optimizer, Proposal, needs_of
from policysearch.evaluators import EpisodeEvaluator
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
    RandomSearch,
    Reinforce,
    Repeated,
    Whitened,
)
from policysearch.optimizers.reinforce import Baseline
from policysearch.policies import Gaussian, Linear
from policysearch.seeding import Key, stream

Function = Callable[[Array], Array]

D = 4


def sphere(params: Array) -> Array:
    """−‖x − 1‖², a row per candidate: the optimum is at one."""
    return -np.sum((params - 1.0) ** 2, axis=1)


class Values:
    """An evaluator of a function of the candidates, with optional noise and failures."""

    def __init__(self, function: Function = sphere, noise: float = 0.0, failing: float = 0.0) -> None:
        self.function, self.noise, self.failing = function, noise, failing
        self.episodes = 0

    def evaluate(self, proposal: Proposal, key: Key) -> Evaluation:
        rng = stream(*key)
        shape = (len(proposal.params), proposal.episodes)
        self.episodes += shape[0] * shape[1]
        returns = self.function(proposal.params)[:, None] + self.noise * rng.standard_normal(shape)
        returns[rng.random(shape) < self.failing] = np.nan
        return Evaluation(proposal.params, returns, np.ones(shape, dtype=int))


class Walk(gym.Env[Any, Any]):
    """Five steps of x' = x + u + noise, rewarded by −x² − u²/10, and a bonus on the last step."""

    def __init__(self, bonus: float = 0.0, factor: float = 1.0, units: Array | None = None) -> None:
        self.bonus, self.factor = bonus, factor
        self.units = np.ones(2) if units is None else units
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float64)
        self.action_space = gym.spaces.Box(-np.inf, np.inf, (1,), np.float64)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.x, self.t = float(self.np_random.standard_normal()), 0
        return self.units * np.array([self.x, 5.0 + 2.0 * self.x]), {}

    def step(self, action: Array) -> Any:
        reward = -(self.x**2) - 0.1 * float(action[0]) ** 2
        self.x += float(action[0]) + 0.1 * float(self.np_random.standard_normal())
        self.t += 1
        last = self.t == 5
        obs = self.units * np.array([self.x, 5.0 + 2.0 * self.x])
        return obs, self.factor * reward + self.bonus * last, last, False, {}


WALKER = Gaussian(Linear(2, 1))


def walk(bonus: float = 0.0, factor: float = 1.0, units: Array | None = None) -> EpisodeEvaluator:
    """Episodes of `Walk` under a linear-Gaussian policy with four parameters."""
    return EpisodeEvaluator(lambda: Walk(bonus, factor, units), WALKER)


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

FREE, BOX = Domain.unbounded(np.zeros(D)), Domain(np.zeros(D), np.full(D, -2.0), np.full(D, 3.0))


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
