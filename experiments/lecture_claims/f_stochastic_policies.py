"""Some problems need a stochastic policy, and the likelihood ratio needs no Markov property to find it.

In the aliased gridworld two cells look alike, so that the observation is no Markov state; rock–paper–scissors is
played against an opponent that exploits a predictable player. Every value here is exact, of the policy as
deployed: J(θ) in closed form, for the gridworld with memory on the process whose state is the cell and what was seen
before it, for a table over both; the task `aliased-gridworld-history` shows the same. Searches draw actions; the mode
is that of the policy they have found.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from claim import Claim, Measured, mean_interval
from jaxtyping import Float

from policysearch.core import Array, Domain
from policysearch.evaluators import CompiledEvaluator
from policysearch.models.mdp import MDP
from policysearch.optimizers import Reinforce
from policysearch.policies import Linear, Softmax
from policysearch.reporting.figures import COLOURS, figure_of
from policysearch.search import Budget, generations
from policysearch.seeding import stream
from policysearch.simulators import Simulator
from policysearch.simulators.problems import aliased_gridworld, coin_policy
from policysearch.simulators.rock_paper_scissors import RockPaperScissorsEnv, expected_return
from policysearch.simulators.tabular import make_simulator
from policysearch.tasks import TASKS

RUNS, ROLLOUTS, STEPS = 20, 4000, 20
GRID, MEMORY, GAME = "gridworld", "gridworld with memory", "rock–paper–scissors"
REACHED = 0.9  # of the way from the best deterministic value to the best stochastic one


def with_memory(problem: MDP) -> MDP:
    """The process whose states are pairs (state, observation before it), and which shows both observations.

    At the start, the observation stands for the one before it too.
    """
    seen, states, looks = problem.shown, len(problem.r), problem.table[0]
    ends = np.zeros(states, dtype=bool) if problem.terminal is None else problem.terminal
    shown = np.eye(looks)[seen]  # what follows (s, o) is (t, u) where t follows s and u is what s shows
    P = np.einsum("sat,su,o->soatu", problem.P, shown, np.ones(looks))
    P[ends] = 0.0  # but an end stays
    for s in np.flatnonzero(ends):
        P[s, range(looks), :, s, range(looks)] = 1.0
    size = states * looks
    return MDP(
        P=P.reshape(size, -1, size),
        r=np.repeat(problem.r, looks, axis=0),
        mu=(problem.mu[:, None] * shown).ravel(),
        horizon=problem.horizon,
        observations=(looks * seen[:, None] + np.arange(looks)).ravel(),
        terminal=np.repeat(ends, looks),
    )


@dataclass(frozen=True, eq=False)
class Problem:
    """A problem with its exact returns, and where its searches start."""

    simulator: Simulator
    value: Callable[[Float[Array, "o a"]], float]  # J of a table of logits
    table: tuple[int, int]
    best: Mapping[str, float]  # the first of a deterministic policy, the last of any
    centre: tuple[float, ...] = (0.0,)  # of the logits at the start, which are drawn from N(centre, 1)

    def curves(self, run: int) -> tuple[Float[Array, "t"], Float[Array, "t"], Float[Array, "t"]]:
        """Rollouts, J of the policy that draws, and J of its mode, along one search by REINFORCE."""
        rows, actions = self.table
        policy = Softmax(Linear(rows, actions, bias=False), (actions,))
        evaluator = CompiledEvaluator(
            self.simulator, policy, max_episode_steps=STEPS + 1, deploy="sample", threads=1
        )
        start = self.centre + stream(run, "start").standard_normal(self.table)
        search = generations(
            Reinforce(episodes=20, learning_rate=0.05, discount=1.0), evaluator,
            Domain.unbounded(start.T.ravel()), budget=Budget(ROLLOUTS), seed=run,
        )  # fmt: skip
        looked_at = [
            generation
            for generation in search
            if generation.index % 8 == 0 or generation.rollouts == ROLLOUTS
        ]
        tables = [generation.recommendation.reshape(actions, rows).T for generation in looked_at]
        drawn = [self.value(theta) for theta in tables]
        by_mode = [self.value(mode_of(theta)) for theta in tables]
        return np.array([generation.rollouts for generation in looked_at]), np.array(drawn), np.array(by_mode)


def mode_of(theta: Float[Array, "o a"]) -> Float[Array, "o a"]:
    """Logits of the policy that always takes the likeliest action."""
    return np.where(theta.argmax(axis=1)[:, None] == np.arange(theta.shape[1]), 0.0, -np.inf)


@cache
def against_the_exploiter(strategy: tuple[float, ...]) -> float:
    """The return of a mixed strategy in rock–paper–scissors."""
    return expected_return(np.array(strategy))


def strategy_value(theta: Float[Array, "1 3"]) -> float:
    """The same of logits."""
    p = np.exp(theta[0] - theta.max())
    return against_the_exploiter(tuple((p / p.sum()).tolist()))


def problems() -> dict[str, Problem]:
    """The gridworld without and with memory, and the game."""
    grid = aliased_gridworld()
    memory = with_memory(grid)
    remembered = TASKS["aliased-gridworld-history"].references["best with memory"]
    coin = {
        "best deterministic": grid.best_deterministic_return(),
        "best": grid.expected_return(coin_policy()),
    }
    game = {
        "deterministic": against_the_exploiter((1.0, 0.0, 0.0)),
        "uniform": against_the_exploiter((1 / 3,) * 3),
    }
    return {
        GRID: Problem(make_simulator(grid), grid.expected_return, grid.table, coin),
        MEMORY: Problem(
            make_simulator(memory), memory.expected_return, memory.table, {"best deterministic": remembered}
        ),
        GAME: Problem(RockPaperScissorsEnv.simulator, strategy_value, (1, 3), game, centre=(1.5, 0.0, 0.0)),
    }


def verdict(found: Mapping[str, Problem], last: Mapping[str, tuple[Any, Any]]) -> str:
    """It holds if it does for both memoryless problems; see `setting`."""
    failing = []
    for name in (GRID, GAME):
        deterministic, *_, best = found[name].best.values()
        drawn, by_mode = mean_interval(last[name][0]), last[name][1]
        needed = deterministic + REACHED * (best - deterministic)
        if not (best > deterministic and drawn[1] > needed and by_mode.max() <= deterministic + 1e-9):
            failing.append(name)
    return f"does not hold in the {' and the '.join(failing)}" if failing else "holds"


def picture(found: Mapping[str, Problem], all_curves: Mapping[str, list[Any]]) -> Any:
    """J of both ways to deploy, mean and interval over runs, and the best possible."""
    with figure_of(1, 3, 10.0, 3.5) as (figure, axes):
        for axis, (name, runs) in zip(axes[0], all_curves.items(), strict=True):
            for part, label, colour in ((1, "drawn from", COLOURS[0]), (2, "by its mode", COLOURS[1])):
                columns = np.array([run[part] for run in runs]).T
                mean, low, high = np.transpose([mean_interval(column) for column in columns])
                axis.plot(runs[0][0], mean, color=colour, label=label)
                axis.fill_between(runs[0][0], low, high, color=colour, alpha=0.15, linewidth=0)
            for reference, value in found[name].best.items():
                axis.axhline(value, color="0.5", linewidth=0.8, linestyle=(0, (1, 1)))
                axis.annotate(f"{reference}: {value:.2f}", (1, value), xycoords=("axes fraction", "data"), ha="right",
                              va="bottom", fontsize=7.5, color="0.3")  # fmt: skip
            axis.set_title(name, fontsize=10)
            axis.set_xlabel("rollouts")
        axes[0, 0].set_ylabel("exact return")
        axes[0, 1].legend(frameon=False, fontsize=8, loc="center right")
    return figure


def measure() -> Claim:
    """REINFORCE from several starts, deployed in both ways."""
    found = problems()
    curves = {name: [problem.curves(run) for run in range(RUNS)] for name, problem in found.items()}
    last: dict[str, tuple[Any, Any]] = {
        name: (np.array([run[1][-1] for run in runs]), np.array([run[2][-1] for run in runs]))
        for name, runs in curves.items()
    }
    measured = [
        Measured(f"{name}: {which}", value, value, value)
        for name, problem in found.items() for which, value in problem.best.items()
    ]  # fmt: skip
    for name, (drawn, by_mode) in last.items():
        measured += [
            Measured(f"{name}: REINFORCE, actions drawn", *mean_interval(drawn), "close to the best"),
            Measured(f"{name}: the same policies by their mode", *mean_interval(by_mode),
                     "close to the best" if name == MEMORY else "no better than the best deterministic one"),
        ]  # fmt: skip
    seeing = aliased_gridworld().optimal_return()
    rows = [
        {"problem": name, "run": run, "drawn": drawn, "by_mode": by_mode}
        for name, both in last.items() for run, (drawn, by_mode) in enumerate(zip(*both, strict=True))
    ]  # fmt: skip
    optimal = int((last[MEMORY][1] > found[MEMORY].best["best deterministic"] - 1e-9).sum())
    return Claim(
        claim="Some problems need a stochastic policy, and the likelihood ratio needs no Markov property to find it",
        verdict=verdict(found, last),
        measured=measured,
        setting=(
            f"REINFORCE with reward-to-go, Adam 0.05, 20 episodes per step, {ROLLOUTS:,} rollouts, {RUNS} "
            "runs from logits drawn from N(0, 1), in the game from N((1.5, 0, 0), 1). Exact returns. It "
            "holds if in gridworld and game the best return of a stochastic memoryless policy is above that "
            f"of a deterministic one, REINFORCE gets {REACHED:.0%} of the way between them (lower end of the "
            "interval), and no run does deployed by its mode."
        ),
        table=pd.DataFrame(rows),
        picture=picture(found, curves),
        remarks=[
            "What needs a stochastic policy is not the problem alone, but the problem with a policy that has "
            f"no memory: remembering the look of the cell before, the modes of {optimal} of {RUNS} runs are "
            f"the best deterministic policy there is; seeing the cell itself, {seeing:.2f} would be possible.",
            "θ = 0, where searches start by default, is the uniform strategy, the optimum of the game; hence other "
            "starts. The learning rate is constant: policies keep moving about the optimum, and stay a little below.",
            "In the gridworld, J falls short of its best also because a softmax takes a coin's two sides and "
            "certainty elsewhere only in the limit of infinite logits.",
        ],
    )
