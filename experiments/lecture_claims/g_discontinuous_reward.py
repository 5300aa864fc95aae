"""Only the policy has to be differentiable: a reward that jumps is no obstacle to the score function.

A point is moved for five steps, x' = x + a + w, by a ~ N(k x + b, σ²); at the end it pays 1 inside a window,

    r = 1 if −c < x_T < c else 0,     x_T ~ N(m, v),     J = Φ((c − m)/√v) − Φ((−c − m)/√v)
    m = κ^T μ_0 + b Σ_{t<T} κ^t,      v = κ^{2T} s_0² + (σ² + s_w²) Σ_{t<T} κ^{2t},      κ = 1 + k

so ∇J is known for θ = (k, b, ln σ). Along a path the derivative of r is 0 almost everywhere: differentiating the
simulator gives 0. Differences with common random numbers are unbiased as ε → 0, but of two paths that differ by ε
one in about 1/ε ends on another side of an edge, and counts 1/ε: the variance grows as 1/ε.
"""

# mypy: disable-error-code="no-untyped-def"

from typing import Any

import gymnasium
import numpy as np
import pandas as pd
from claim import Claim, Measured, bootstrap_interval, mean_interval
from jaxtyping import Float
from numba import njit
from scipy.special import ndtr

from policysearch.core import Array, Domain, Proposal
from policysearch.evaluators import CompiledEvaluator
from policysearch.gradients import baselines, score_function
from policysearch.optimizers import Reinforce
from policysearch.policies import Gaussian, Linear
from policysearch.reporting.figures import COLOURS, figure_of
from policysearch.search import Budget, generations
from policysearch.seeding import stream
from policysearch.simulators import Simulator

T, WINDOW = 5, 0.3  # steps, c
MU_0, S_0, S_W = 2.0, 0.5, 0.1  # start, and noise of a step
START = np.array([0.0, 0.0, np.log(0.5)])
NAMES = ("k", "b", "ln σ")
EPISODES, PATHS, BATCHES = 100_000, 50_000, 40  # of the score function; of each of the differences' batches
EPSILONS = np.array([1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3])
ROLLOUTS, SEEDS = 6000, 20  # of the searches


@njit
def reset(world, noise):
    """The start; the noise of every step is kept."""
    world[0], world[1] = MU_0 + S_0 * noise[0], 0.0
    world[2:] = noise[1:]


@njit
def observe(world, obs):
    """Where the point is."""
    obs[0] = world[0]


@njit
def step(world, action):
    """It is moved; the last step pays."""
    t = int(world[1])
    world[0] += action[0] + S_W * world[2 + t]
    world[1] += 1
    return 1.0 if t + 1 == T and abs(world[0]) < WINDOW else 0.0, t + 1 == T


POINT = Simulator(
    observation_space=gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float64),
    action_space=gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float64),
    make_world=lambda: np.zeros(2 + T),
    draw=lambda rng: rng.standard_normal(1 + T),
    reset=reset,
    observe=observe,
    step=step,
)


def final_moments(theta: Float[Array, "3"]) -> tuple[float, float]:
    """m and v."""
    powers = (1 + theta[0]) ** np.arange(T + 1)
    sums, squares = powers[:-1].sum(), (powers[:-1] ** 2).sum()
    variance = powers[-1] ** 2 * S_0**2 + (np.exp(2 * theta[2]) + S_W**2) * squares
    return float(powers[-1] * MU_0 + theta[1] * sums), float(variance)


def expected(theta: Float[Array, "3"], *, smooth: bool = False) -> float:
    """J(θ); smooth: of the reward exp(−x²/2c²) instead."""
    m, v = final_moments(theta)
    if smooth:
        return float(np.sqrt(WINDOW**2 / (WINDOW**2 + v)) * np.exp(-0.5 * m**2 / (WINDOW**2 + v)))
    return float(ndtr((WINDOW - m) / np.sqrt(v)) - ndtr((-WINDOW - m) / np.sqrt(v)))


def gradient(theta: Float[Array, "3"], *, smooth: bool = False) -> Float[Array, "3"]:
    """∇J(θ), by central differences of the closed form."""
    h = 1e-5 * np.eye(3)
    return (
        np.array([expected(theta + e, smooth=smooth) - expected(theta - e, smooth=smooth) for e in h]) / 2e-5
    )


def rewards(theta: Float[Array, "3"], noise: Float[Array, "n z"], *, smooth: bool) -> Float[Array, "n"]:
    """What paths pay, as functions of θ with their noise held."""
    x = MU_0 + S_0 * noise[:, 0]
    for t in range(T):
        x = x + theta[0] * x + theta[1] + np.exp(theta[2]) * noise[:, 1 + t] + S_W * noise[:, 1 + T + t]
    return np.exp(-0.5 * (x / WINDOW) ** 2) if smooth else (np.abs(x) < WINDOW).astype(float)


def evaluator() -> CompiledEvaluator:
    """Runs the point's episodes under the linear-Gaussian policy."""
    return CompiledEvaluator(POINT, Gaussian(Linear(1, 1)), max_episode_steps=T + 1, threads=1)


def differences(*, smooth: bool) -> Float[Array, "batches eps"]:
    """Mean square of central differences in b along single paths with their noise held, for every ε."""
    out, e = np.empty((BATCHES, EPSILONS.size)), np.eye(3)[1]
    for i in range(BATCHES):
        noise = stream("g", "differences", i).standard_normal((PATHS, 1 + 2 * T))
        for j, eps in enumerate(EPSILONS):
            ends = (rewards(START + sign * eps * e, noise, smooth=smooth) for sign in (1, -1))
            out[i, j] = (np.subtract(*ends) ** 2).mean() / (2 * eps) ** 2
    return out


def slope(squares: Float[Array, "batches eps"]) -> float:
    """The exponent with which they grow with ε, where ε is small."""
    small = EPSILONS <= 0.03
    return float(np.polyfit(np.log(EPSILONS[small]), np.log(squares[:, small].mean(axis=0)), 1)[0])


def searches(learning_rate: float) -> Float[Array, "seeds generations 3"]:
    """What REINFORCE holds after every step."""
    method = Reinforce(episodes=20, learning_rate=learning_rate, discount=1.0)
    runner, domain, budget = evaluator(), Domain.unbounded(START), Budget(rollouts=ROLLOUTS)
    runs = (generations(method, runner, domain, budget=budget, seed=seed) for seed in range(SEEDS))
    return np.array([[generation.recommendation for generation in run] for run in runs])


def measure() -> Claim:
    """It holds if the score function is right within 4 errors of 3 %, paths are flat, and REINFORCE learns."""
    exact, start = gradient(START), expected(START)
    drawn = evaluator().evaluate(Proposal(START[None], START, EPISODES, sample=True, record=True), ("g",))
    rollouts = drawn.rollouts[0]
    w = baselines.weights(rollouts, discount=1.0, baseline="step")
    each = score_function.episode_gradients(rollouts, w)
    errors = each.std(axis=0) / np.sqrt(EPISODES)
    power = float(np.linalg.norm(errors) / np.linalg.norm(exact))
    right = power < 0.03 and bool((np.abs(each.mean(axis=0) - exact) < 4 * errors).all())
    noise = stream("g", "paths").standard_normal((1_000_000, 1 + 2 * T))
    ends = [
        [rewards(START + h * np.eye(3)[1], noise, smooth=s) for h in (1e-9, -1e-9)] for s in (False, True)
    ]
    moved = float(np.mean(ends[0][0] != ends[0][1]))
    along = mean_interval((ends[1][0] - ends[1][1]) / 2e-9)
    jumps, curves = differences(smooth=False), differences(smooth=True)
    exponent = bootstrap_interval(jumps, slope)
    flat = bootstrap_interval(curves, slope)
    found = [searches(rate) for rate in (0.03, 0.1)]
    calm, hasty = (np.apply_along_axis(expected, 2, params) for params in found)
    final = mean_interval(calm[:, -1])
    lost, narrow = float((hasty[:, -1] < start).mean()), float(np.exp(np.median(found[1][:, -1, 2])))
    holds = right and moved < 1e-5 and abs(exponent[0] + 1) < 0.1 and final[1] > start
    measured = []
    for name, column, value in zip(NAMES, each.T, exact, strict=True):
        mean, low, high = mean_interval(column)
        measured.append(
            Measured(f"∂J/∂{name}, score function, {EPISODES} episodes", mean, low, high, f"{value:.4f}")
        )
    upper = 3 / len(noise)
    bound = upper if moved == 0 else moved + 2 * np.sqrt(moved / len(noise))
    value, low, high = along
    measured += [
        Measured(
            "share of paths whose reward moves with b ± 1e-9: the pathwise ∂J/∂b", moved, 0.0, bound, "0"
        ),
        Measured(
            "pathwise ∂J/∂b of the smooth reward", value, low, high, f"{gradient(START, smooth=True)[1]:.4f}"
        ),
        Measured("mean square of differences ∝ ε to the", *exponent[:2], exponent[2], "−1"),
        Measured("the same, smooth reward", *flat[:2], flat[2], "0"),
        Measured(
            f"J after {ROLLOUTS} rollouts of REINFORCE, learning rate 0.03",
            *final[:2],
            final[2],
            f"{start:.3f} at the start",
        ),
    ]
    variances = pd.DataFrame({"epsilon": EPSILONS, "jump": jumps.mean(axis=0), "smooth": curves.mean(axis=0)})
    learning = pd.DataFrame({"rollouts": 20.0 * np.arange(1, calm.shape[1] + 1), "J calm": calm.mean(axis=0),
                             "J hasty": hasty.mean(axis=0)})  # fmt: skip
    return Claim(
        claim="Only the policy has to be differentiable: REINFORCE works with discontinuous rewards",
        verdict=("holds" if holds else "does not hold")
        + f": the score function is {'right' if right else 'wrong'} (standard error {power:.1%} of ‖∇J‖) where the "
        f"pathwise gradient is {moved:g} and differences have a variance growing as ε to the {exponent[0]:.2f}; "
        f"REINFORCE goes from J = {start:.3f} to {final[0]:.3f}",
        measured=measured,
        setting=f"A point, {T} steps, pays 1 if it ends within ±{WINDOW:g}; policy N(k x + b, σ²) from k = b = 0, "
        f"σ = ½. Differences in b with common random numbers from {BATCHES} × {PATHS} pairs of paths, ε up to 0.03 "
        f"for the exponent; {SEEDS} searches of {ROLLOUTS} rollouts, 20 per step. The smooth reward is exp(−x²/2c²).",
        table=pd.concat([variances, learning], ignore_index=True),
        picture=picture(variances, float((each[:, 1] ** 2).mean()), {"0.03": calm, "0.1": hasty}, start),
        remarks=[
            "The jump does not bias differences with common random numbers; they are only noisier the smaller ε is, "
            "while for a smooth reward small steps cost nothing. A large ε trades variance for bias.",
            "The score function has to have seen the reward: the estimate is 0 where no episode of a batch pays. "
            f"With learning rate 0.1 {lost:.0%} of the searches end below the start, their median σ {narrow:.2f}: "
            "once exploration is narrow, a step too far leaves the window, and nothing shows the way back.",
        ],
    )


def picture(variances: pd.DataFrame, score: float, runs: dict[str, Array], start: float) -> Any:
    """Mean square against the step of differences; J against rollouts."""
    with figure_of(1, 2, 9.5, 3.6) as (figure, axes):
        left, right = axes[0]
        for colour, name in zip(COLOURS, ("jump", "smooth"), strict=False):
            left.plot(variances["epsilon"], variances[name], "o-", color=colour, label=f"differences, {name}")
        left.axhline(score, color=COLOURS[2], label="score function, jump")
        left.set(xscale="log", yscale="log", xlabel="step ε", ylabel="mean square of one estimate of ∂J/∂b")
        left.legend(frameon=False)
        for colour, (rate, J) in zip(COLOURS[2:], runs.items(), strict=False):
            rollouts = 20 * np.arange(1, J.shape[1] + 1)
            right.plot(rollouts, J.T, color=colour, lw=0.4, alpha=0.35)
            right.plot(rollouts, J.mean(axis=0), color=colour, lw=2, label=f"REINFORCE, learning rate {rate}")
        right.axhline(start, color=COLOURS[0], label="pathwise gradient: stays")
        right.set(xlabel="rollouts", ylabel="J: chance to end in the window", ylim=(-0.02, 1.02))
        right.legend(frameon=False, fontsize=8, loc="center right")
        return figure
