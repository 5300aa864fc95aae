"""The step size of a policy gradient is hard to choose; Adam, steps of a given divergence and larger batches help.

Every method runs on a grid of step sizes, half a decade apart, and with batches of three sizes, for the same number
of rollouts. For the natural gradient and TRPO a step size is √δ, δ being the divergence that a step may have: its
length goes with √δ. Returns are normalised, 0 for doing nothing (lqr) or no reward (CartPole-v1) and 1 for the
optimum, and cut at 0, which is what a search gets that fails. The regulator's are exact, of the mode; CartPole's
are means of 20 fresh episodes of the mode.

A setting is usable if its mean over runs is within TOLERANCE of the best that its method has at any step size and
batch; the usable range is half a decade for every such step size.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from claim import Claim, Measured, bootstrap_interval, mean_interval
from jaxtyping import Float

from policysearch.core import Array, Domain, Optimizer, Proposal
from policysearch.evaluators import CompiledEvaluator
from policysearch.optimizers import TRPO, NaturalGradient, Reinforce
from policysearch.policies import Gaussian, Linear, Softmax
from policysearch.reporting.figures import COLOURS, figure_of
from policysearch.search import Budget, SearchFailed, generations
from policysearch.simulators.cart_pole import CartPoleEnv
from policysearch.simulators.lqr import LQREnv, chain

BATCHES, ROLLOUTS, RUNS, TOLERANCE, WORST = (5, 20, 80), 400, 10, 0.1, 0.0
PLAIN = "plain ascent"
METHODS: dict[str, Callable[[int, float], Optimizer]] = {
    PLAIN: lambda n, step: Reinforce(episodes=n, learning_rate=step, ascent="plain"),
    "Adam": lambda n, step: Reinforce(episodes=n, learning_rate=step),
    "natural gradient": lambda n, step: NaturalGradient(episodes=n, max_kl=step**2),
    "TRPO": lambda n, step: TRPO(episodes=n, max_kl=step**2),
}
TRUST, PLAIN_RANGE, LARGER = ("natural gradient", "TRPO"), "plain", "larger"
HARD = 1.0  # decades
#: The parts of the claim.
NAMES = {
    PLAIN_RANGE: "plain ascent hard",
    **{name: f"{name} easier" for name in list(METHODS)[1:]},
    LARGER: "larger batches easier",
}
#: The smallest and largest step size, log10, by method.
GRIDS = {
    "lqr": {PLAIN: (-7.0, -2.0), "Adam": (-4.0, -1.0), "natural gradient": (-2.5, 0.5), "TRPO": (-2.5, 0.5)},
    "CartPole-v1": {PLAIN: (-4.0, 0.5), "Adam": (-2.5, 0.5), "natural gradient": (-2.5, 0.5), "TRPO": (-2.5, 0.5)},
}  # fmt: skip


def regulator() -> tuple[CompiledEvaluator, Callable[[Float[Array, "d"], int], float]]:
    """The task lqr, and the normalised return of K."""
    problem, quiet = chain(), np.full(3, -np.inf)
    nothing, best = problem.expected_return(np.zeros((3, 3)), quiet), problem.optimal_return()
    policy = Gaussian(Linear(3, 3, bias=False), initial_std=0.1)

    def value(params: Float[Array, "d"], _: int) -> float:
        return (problem.expected_return(params[:9].reshape(3, 3), quiet) - nothing) / (best - nothing)

    return CompiledEvaluator(LQREnv.simulator, policy, max_episode_steps=101, threads=1), value


def cart_pole() -> tuple[CompiledEvaluator, Callable[[Float[Array, "d"], int], float]]:
    """The task CartPole-v1, and the normalised return of a policy."""
    evaluator = CompiledEvaluator(
        CartPoleEnv.simulator, Softmax(Linear(4, 2), (2,)), max_episode_steps=500, threads=1
    )

    def value(params: Float[Array, "d"], run: int) -> float:
        return float(evaluator.evaluate(Proposal(params[None], params, 20), (run, "final")).fitness[0]) / 500

    return evaluator, value


TASKS = {"lqr": regulator, "CartPole-v1": cart_pole}


def final(task: Any, optimizer: Optimizer, run: int) -> float:
    """The normalised return at the end of a run."""
    evaluator, value = task
    start = evaluator.policy.start(np.random.default_rng(run))
    params = start
    try:
        for generation in generations(
            optimizer, evaluator, Domain.unbounded(start), budget=Budget(ROLLOUTS), seed=run
        ):
            params = generation.recommendation
    except SearchFailed:
        return WORST
    if not np.isfinite(params).all():
        return WORST
    reached = value(params, run)
    return max(reached, WORST) if np.isfinite(reached) else WORST


def step_sizes(task: str, method: str) -> Float[Array, "s"]:
    """The grid."""
    low, high = GRIDS[task][method]
    return np.asarray(10.0 ** np.arange(low, high + 0.1, 0.5))


def usable_decades(finals: Float[Array, "runs b s"]) -> Float[Array, "b"]:
    """The usable range for each batch, in decades of the step size."""
    mean = finals.mean(axis=0)
    return 0.5 * (mean >= mean.max() - TOLERANCE).sum(axis=1)


def gain(mine: Float[Array, "runs b s"], plain: Float[Array, "runs b t"]) -> tuple[float, float, float]:
    """How much wider a method's usable range is than that of plain ascent, mean over batches."""
    cut = plain.shape[2]
    return bootstrap_interval(
        np.concatenate([plain, mine], axis=2),
        lambda x: (usable_decades(x[..., cut:]) - usable_decades(x[..., :cut])).mean(),
    )


def gain_of_batches(finals: dict[str, Float[Array, "runs b s"]]) -> tuple[float, float, float]:
    """How much wider the usable range is with the largest batch than with the smallest, mean over methods."""
    cuts = np.cumsum([x.shape[2] for x in finals.values()])[:-1]

    def of(x: Float[Array, "runs b _"]) -> float:
        widths = [usable_decades(part) for part in np.split(x, cuts, axis=2)]
        return float(np.mean([width[-1] - width[0] for width in widths]))

    return bootstrap_interval(np.concatenate(list(finals.values()), axis=2), of)


def parts(measured: Mapping[str, Measured]) -> dict[str, bool]:
    """What the claim says, and whether it is so: plain ascent usable over a decade at most, the others wider."""
    by_name = {what: m.high <= HARD if what == PLAIN_RANGE else m.low > 0 for what, m in measured.items()}
    return {NAMES[what]: holds for what, holds in by_name.items()}


def verdict(tasks: Mapping[str, Mapping[str, Measured]]) -> str:
    """It holds if all of its parts do, on both tasks."""
    found = {task: parts(measured) for task, measured in tasks.items()}
    failing = {task: [name for name, holds in of.items() if not holds] for task, of in found.items()}
    if not any(failing.values()):
        return "holds"
    told = "; ".join(f"on {task} {', '.join(names) or 'none'}" for task, names in failing.items())
    everything = all(len(names) == len(NAMES) for names in failing.values())
    return "does not hold" if everything else f"holds in part. Not seen: {told}"


def picture(finals: Mapping[str, Mapping[str, Float[Array, "runs b s"]]]) -> Any:
    """Final returns against the step size: a row per task, a column per method, a colour per batch."""
    with figure_of(2, 4, 11.0, 5.4, sharey="row") as (figure, axes):
        for row, (task, methods) in zip(axes, finals.items(), strict=True):
            for axis, (name, values) in zip(row, methods.items(), strict=True):
                best = values.mean(axis=0).max()
                axis.axhspan(best - TOLERANCE, best, color="0.9", linewidth=0)
                for k, batch in enumerate(BATCHES):
                    columns = values[:, k].T
                    mean, low, high = np.transpose([mean_interval(column) for column in columns])
                    steps = step_sizes(task, name)
                    axis.plot(steps, mean, color=COLOURS[k], marker="o", ms=3, label=f"batches of {batch}")
                    axis.fill_between(steps, low, high, color=COLOURS[k], alpha=0.15, linewidth=0)
                axis.set(xscale="log", ylim=(-0.05, 1.05))
                axis.set_title(f"{task}, {name}", fontsize=9)
                axis.set_xlabel("√δ" if name in TRUST else "learning rate")
            row[0].set_ylabel("normalised final return")
        axes[1, 0].legend(frameon=False, fontsize=7.5, loc="upper right")
    return figure


def measure() -> Claim:
    """All settings on both tasks."""
    finals: dict[str, dict[str, Any]] = {}
    for task, make in TASKS.items():
        there = make()
        with np.errstate(all="ignore"):  # steps that are far too long overflow
            finals[task] = {
                name: np.array([
                    [[final(there, method(n, step), run) for step in step_sizes(task, name)] for n in BATCHES]
                    for run in range(RUNS)
                ])
                for name, method in METHODS.items()
            }  # fmt: skip
    found: dict[str, dict[str, Measured]] = {}
    widths, rows = [], []
    for task, methods in finals.items():
        plain = methods[PLAIN]
        found[task] = {PLAIN_RANGE: Measured(
            f"{task}: usable range of {PLAIN}, decades, mean over batches",
            *bootstrap_interval(plain, lambda x: usable_decades(x).mean()), f"at most {HARD:g}",
        )}  # fmt: skip
        for name in list(METHODS)[1:]:
            found[task][name] = Measured(f"{task}: {name}, decades more", *gain(methods[name], plain), "> 0")
        found[task][LARGER] = Measured(
            f"{task}: batches of {BATCHES[-1]} next to {BATCHES[0]}, decades more",
            *gain_of_batches(methods),
            "> 0",
        )
        for name, values in methods.items():
            usable = ", ".join(f"{w:g}" for w in usable_decades(values))
            widths.append(f"{usable} ({task}, {name}, best mean {values.mean(axis=0).max():.2f})")
            for (run, k, j), value in np.ndenumerate(values):
                step = step_sizes(task, name)[j]
                rows.append(
                    {
                        "task": task,
                        "method": name,
                        "batch": BATCHES[k],
                        "step": step,
                        "run": run,
                        "final": value,
                    }
                )
    sizes = ", ".join(str(n) for n in BATCHES)
    return Claim(
        claim=(
            "Step sizes of policy gradients are hard to choose: a plain one is usable within a decade at most; "
            "Adam, steps of a given divergence and larger batches widen the range"
        ),
        verdict=verdict(found),
        measured=[m for of in found.values() for m in of.values()],
        setting=(
            f"{RUNS} runs of {ROLLOUTS} rollouts at every step size (half-decades) and batch ({sizes}). A "
            f"step size is usable if the mean final return, normalised and cut at 0, is within {TOLERANCE:g} "
            "of the best that its method has at any setting. For natural gradient and TRPO it is √δ. The "
            f"claim has five parts for each task: the upper end of the plain range is at most {HARD:g} "
            "decade, and the lower ends of all differences are above 0."
        ),
        table=pd.DataFrame(rows),
        picture=picture(finals),
        remarks=[
            f"Usable decades at batches of {sizes}: {'; '.join(widths)}.",
            "Batches share a budget: large ones leave few steps, which has to be made up for by longer ones. "
            "Where they cannot be, as where a method does not arrive in the steps that it has, large batches "
            "are worse.",
            "A method's range is measured against its own best, over a grid of half-decades: ranges are "
            "multiples of 0.5, and end where the grid does. They say how careful one has to be, not which "
            "method is best, nor that the same step size suits another task: between the two tasks here, the "
            f"best one of plain ascent with batches of {BATCHES[0]} moves by {_shift(finals, PLAIN):.1f} "
            f"decades, that of Adam by {_shift(finals, 'Adam'):.1f}, of TRPO by {_shift(finals, 'TRPO'):.1f}.",
        ],
    )


def _shift(finals: Mapping[str, Mapping[str, Float[Array, "runs b s"]]], name: str) -> float:
    """How far apart the best step sizes of the two tasks are, in decades."""
    best = [
        np.log10(step_sizes(task, name)[of[name][:, 0].mean(axis=0).argmax()]) for task, of in finals.items()
    ]
    return float(abs(best[0] - best[1]))
