"""REINFORCE ends in a local optimum that depends on where it starts; does gradient-free search as well?

A bandit of one step whose action a, a point of the plane, pays f(a) = Σ_k h_k exp(−‖a − c_k‖²/2s²) and some noise.
The policy is a ~ N(θ, σ² I) with σ fixed, so what REINFORCE climbs is f, smoothed, with v = s² + σ²:

    J(θ) = Σ_k h_k (s²/v) exp(−‖θ − c_k‖²/2v)

Methods without scores see f(θ) itself, with the same noise on the reward. A run counts for the optimum to which
exact ascent of J, at σ = 0.2, leads from its last recommendation; so does its start.
"""

# mypy: disable-error-code="no-untyped-def"

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from claim import Claim, Measured
from gymnasium.spaces import Box
from jaxtyping import Float, Int
from numba import njit

from policysearch.core import Array, Domain, Optimizer
from policysearch.evaluators import CompiledEvaluator
from policysearch.optimizers import CMAES, HillClimbing, Reinforce
from policysearch.policies import Gaussian, Linear
from policysearch.reporting.figures import COLOURS, figure_of
from policysearch.search import Budget, generations
from policysearch.simulators import Simulator

C = np.array([[-1.1, -0.9], [1.2, 0.9], [-1.3, 1.5]])  # c_k
H = np.array([1.0, 0.75, 0.5])  # h_k; the first is the global optimum
S, NOISE, SMALL = 0.8, 0.05, 0.2  # s; sd of the noise of the reward; the small exploration
ROLLOUTS, SIDE, HALF = 1000, 12, 2.5  # of a run; starts along each side of the square; half its width
GLOBAL_AT_LEAST = 0.95


@njit
def reset(world, noise):
    """The noise of the reward."""
    world[:] = noise


@njit
def observe(world, obs):
    """Nothing: the only observation there is."""
    obs[0] = 1.0


@njit
def step(world, action):
    """The one step there is."""
    total = world[0]
    for k in range(len(H)):
        distance2 = (action[0] - C[k, 0]) ** 2 + (action[1] - C[k, 1]) ** 2
        total += H[k] * np.exp(-0.5 * distance2 / S**2)
    return total, True


BANDIT = Simulator(
    observation_space=Box(1.0, 1.0, (1,), np.float64),
    action_space=Box(-np.inf, np.inf, (2,), np.float64),
    make_world=lambda: np.zeros(1),
    draw=lambda rng: NOISE * rng.standard_normal(1),
    reset=reset,
    observe=observe,
    step=step,
)


@dataclass(frozen=True)
class Method:
    """An optimizer, and the exploration of its policy; None for the mode."""

    optimizer: Optimizer
    exploration: float | None = None

    def evaluator(self) -> CompiledEvaluator:
        """What runs its policy, without common random numbers: a lucky return stays lucky."""
        policy = Gaussian(Linear(1, 2, bias=False))
        return CompiledEvaluator(
            BANDIT, policy.mode if self.exploration is None else policy, max_episode_steps=2,
            common_random_numbers=False, threads=1,
        )  # fmt: skip

    def last(self, evaluator: CompiledEvaluator, start: Float[Array, "2"], seed: int) -> Float[Array, "2"]:
        """θ at the end of a run."""
        domain = Domain.unbounded(start)
        if self.exploration is not None:  # bounds that leave ℓ no room fix it
            fixed, free = np.full(2, np.log(self.exploration)), np.full(2, np.inf)
            domain = Domain(*(np.concatenate([place, fixed]) for place in (start, -free, free)))
        recommendation = domain.start
        for generation in generations(self.optimizer, evaluator, domain, budget=Budget(ROLLOUTS), seed=seed):
            recommendation = generation.recommendation
        return recommendation[:2]


METHODS = {
    "REINFORCE, σ = 0.2": Method(Reinforce(learning_rate=0.05), SMALL),
    "hill climbing, σ = 0.2": Method(HillClimbing(sigma=0.2)),
    "CMA-ES, σ₀ = 0.2": Method(CMAES(sigma=0.2)),
    "REINFORCE, σ = 1.5": Method(Reinforce(learning_rate=0.05), 1.5),
    "hill climbing, σ = 1.5": Method(HillClimbing(sigma=1.5)),
    "CMA-ES, σ₀ = 1.5": Method(CMAES(sigma=1.5)),
}


def J(theta: Float[Array, "*n 2"], sigma: float) -> Float[Array, "*n"]:  # noqa: N802 - the symbol
    """The exact return of N(θ, σ² I)."""
    v = S**2 + sigma**2
    distances2 = ((theta[..., None, :] - C) ** 2).sum(axis=-1)
    return np.exp(-distances2 / (2 * v)) @ H * S**2 / v


def ascended(theta: Float[Array, "n 2"], steps: int = 800, length: float = 0.01) -> Float[Array, "n 2"]:
    """Where ascent of J at the small exploration leads, to within `length`."""
    v = S**2 + SMALL**2
    for _ in range(steps):
        towards = C - theta[:, None]
        pull = H * np.exp(-(towards**2).sum(axis=-1) / (2 * v))
        g = (pull[..., None] * towards).sum(axis=1)
        theta = theta + length * g / np.maximum(np.linalg.norm(g, axis=1, keepdims=True), 1e-12)
    return theta


def basin(theta: Float[Array, "n 2"]) -> Int[Array, "n"]:
    """The number of the optimum to which they lead."""
    optima = ascended(C)
    return ((ascended(theta)[:, None] - optima) ** 2).sum(axis=-1).argmin(axis=1)


def wilson(hits: Any, z: float = 1.96) -> tuple[float, float, float]:
    """A fraction and its 95 % interval (Wilson 1927)."""
    n, p = len(hits), float(np.mean(hits))
    centre, spread = p + z**2 / (2 * n), z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return p, (centre - spread) / (1 + z**2 / n), (centre + spread) / (1 + z**2 / n)


def is_local(reached: Int[Array, "n"], own: Int[Array, "n"]) -> bool:
    """Whether a method misses the basin of the global optimum, and does so by where it starts.

    That is, the interval of the fraction that ends there lies below 95 %, and that of starts within its basin above
    that of other starts.
    """
    best = reached == 0
    inside, outside = wilson(best[own == 0]), wilson(best[own != 0])
    return wilson(best)[2] < GLOBAL_AT_LEAST and inside[1] > outside[2]


def verdict(local: dict[str, bool]) -> str:
    """The methods for which it holds."""
    holding, others = [n for n in local if local[n]], [n for n in local if not local[n]]
    if not others:
        return "holds"
    return f"holds for {'; '.join(holding)}. Not for {'; '.join(others)}" if holding else "does not hold"


def picture(starts: Float[Array, "n 2"], ends: dict[str, Float[Array, "n 2"]]) -> Any:
    """The landscape, every start in the colour of the basin where its run ends, and a cross at each end."""
    line = np.linspace(-HALF - 0.2, HALF + 0.2, 121)
    plane = np.stack(np.meshgrid(line, line), axis=-1)
    optima, colours = ascended(C), np.array(COLOURS)
    with figure_of(2, 3, 9.0, 6.4, sharex=True, sharey=True) as (figure, axes):
        for axis, (name, places) in zip(axes.ravel(), ends.items(), strict=True):
            numbers, seen = basin(places), METHODS[name].exploration or 0.0
            axis.contour(
                line, line, J(plane, seen), levels=np.arange(0.05, 1.0, 0.1), colors="0.75", linewidths=0.7
            )
            axis.scatter(*starts.T, c=colours[numbers], s=14, linewidths=0)
            axis.scatter(*places.T, c="black", marker="x", s=10, linewidths=0.6, alpha=0.5, zorder=2)
            for k, (x, y) in enumerate(optima):
                axis.plot(x, y, "*", zorder=3, color=colours[k], markersize=15, markeredgecolor="black")
            share = wilson(numbers == 0)[0]
            axis.set_title(f"{name}\n{share:.0%} end in the blue basin", fontsize=9)
            axis.set(aspect="equal", xlim=line[[0, -1]], ylim=line[[0, -1]])
    return figure


def measure() -> Claim:
    """A grid of starts, one run of each method from each."""
    line = np.linspace(-HALF, HALF, SIDE)
    starts = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    own = basin(starts)
    reached, local, paid, all_ends = {}, {}, {}, {}
    measured, tables = [], []
    for name, method in METHODS.items():
        evaluator = method.evaluator()
        ends = np.array([method.last(evaluator, start, seed) for seed, start in enumerate(starts)])
        paid[name] = float(J(ends, method.exploration or 0.0).mean()), float(J(ends, 0.0).mean())
        all_ends[name], reached[name] = ends, basin(ends)
        local[name] = is_local(reached[name], own)
        best = reached[name] == 0
        measured += [
            Measured(f"{name}: end in the basin of the global optimum", *wilson(best)),
            Measured(f"{name}: of starts in its basin", *wilson(best[own == 0])),
            Measured(f"{name}: of other starts", *wilson(best[own != 0])),
        ]
        columns = {"start_x": starts[:, 0], "start_y": starts[:, 1], "end_x": ends[:, 0], "end_y": ends[:, 1]}
        tables.append(pd.DataFrame({"method": name, **columns, "of_start": own, "reached": reached[name]}))
    places = np.concatenate(list(all_ends.values()))
    outside, ends_in_all = int((np.abs(places) > HALF + 0.2).any(axis=1).sum()), len(places)
    wide, names = "REINFORCE, σ = 1.5", list(METHODS)
    share = {name: f"{np.mean(numbers == 0):.0%}" for name, numbers in reached.items()}
    pairs = zip(names[:3], names[3:], strict=True)
    steps = ", ".join(
        f"from {share[small]} to {share[large]} ({large.split(',')[0]})" for small, large in pairs
    )
    return Claim(
        claim="REINFORCE converges to a local optimum that depends on the start; so does gradient-free search",
        verdict=verdict(local),
        measured=measured,
        setting=(
            "A one-step bandit in the plane with optima of height "
            f"{', '.join(f'{y:.2f}' for y in J(ascended(C), 0.0))}; {SIDE * SIDE} starts on a grid, one run "
            f"of {ROLLOUTS:,} rollouts from each, noise of sd {NOISE:g} on the reward. It holds for a method "
            "if the Wilson interval of the fraction that ends in the basin of the global optimum lies below "
            f"{GLOBAL_AT_LEAST:.0%}, and that of starts in its basin above that of the others."
        ),
        table=pd.concat(tables),
        picture=picture(starts, all_ends),
        remarks=[
            "What matters is the size of the steps next to the distance of the optima, with a gradient and "
            "without: from small to large, the fraction that ends in the basin of the global optimum changes "
            f"{steps}. In the plane a large step still finds it; that does not carry over to many dimensions.",
            f"Wide exploration has its price: J at σ = 1.5 is another function than f. {wide} ends where it gets "
            f"{paid[wide][0]:.2f} on average while it explores, and {paid[wide][1]:.2f} by its mode, out of "
            f"{J(ascended(C), 0.0).max():.2f}.",
            f"Crosses are where runs end, {outside} of {ends_in_all} outside the frame. The contours are "
            "those of what the method sees: f, or J at its own exploration, which at σ = 1.5 has a single "
            "optimum.",
        ],
    )
