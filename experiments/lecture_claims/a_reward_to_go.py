"""Reward-to-go lowers the variance of the score-function gradient, without bias: when?

    whole return   Σ_t (R − b) ∇ log π(a_t|s_t),        reward-to-go   Σ_t (G_t − b_t) ∇ log π(a_t|s_t)

Both with the same kind of baseline, on a regulator (LQG) and on a chain of choices at several horizons; and
exactly, over all pairs of episodes, on a short chain and on a loan: money now that has to be paid back.
"""

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from claim import Claim, Measured, bootstrap_interval
from jaxtyping import Float

from policysearch.core import Array, Proposal, Rollout
from policysearch.estimates.report import BIASED_BEYOND
from policysearch.evaluators import CompiledEvaluator
from policysearch.gradients.estimators import FROM_ROLLOUTS
from policysearch.models.lqr import LQR
from policysearch.models.mdp import MDP
from policysearch.policies import Gaussian, Linear, Softmax
from policysearch.reporting.figures import COLOURS, figure_of
from policysearch.simulators import lqr, problems, tabular

#: Baselines, and the two estimators that have them.
PAIRS = {
    "no baseline": ("whole return", "reward-to-go"),
    "average per step": ("whole return, others' average", "reward-to-go, average per step"),
    "average return": ("whole return, others' average", "reward-to-go, others' average"),
    "optimal constant": ("whole return, optimal baseline", "reward-to-go, optimal baseline"),
}
KNOWS_THE_STATE = ("whole return, others' average", "reward-to-go, linear value")
HORIZONS = (2, 5, 10, 20, 40, 80)
N, M = 10, 1200  # rollouts per estimate, estimates


def policy_of(problem: LQR | MDP) -> Gaussian | Softmax:
    """The linear-Gaussian policy without bias, or the tabular one."""
    if isinstance(problem, LQR):
        return Gaussian(Linear(len(problem.A), len(problem.R), bias=False))
    observations, actions = problem.table
    return Softmax(Linear(observations, actions, bias=False), (actions,))


def episodes(problem: LQR | MDP, theta: Float[Array, "d"], n: int, *key: int | str) -> list[Rollout]:
    """n episodes of the policy at θ."""
    simulator = tabular.make_simulator(problem) if isinstance(problem, MDP) else lqr.make_simulator(problem)
    steps = (problem.horizon or 0) + 1  # the horizon ends the episode before the limit does
    evaluator = CompiledEvaluator(simulator, policy_of(problem), max_episode_steps=steps, threads=1)
    return list(
        evaluator.evaluate(Proposal(theta[None], theta, n, sample=True, record=True), key).rollouts[0]
    )


def start_and_gradient(problem: LQR | MDP) -> tuple[Float[Array, "d"], Float[Array, "d"]]:
    """θ = 0 (with σ = 1/2 if it is Gaussian), and the exact ∇J there."""
    if isinstance(problem, MDP):
        table = np.zeros(problem.table)
        return table.T.ravel(), problem.gradient(table).T.ravel()
    K, log_std = np.zeros(problem.B.T.shape), np.full(problem.B.shape[1], np.log(0.5))
    grad_K, grad_log_std = problem.gradient(K, log_std)
    return np.concatenate([K.ravel(), log_std]), np.concatenate([grad_K.ravel(), grad_log_std])


def loan(size: float = 4.0) -> MDP:
    """Three choices; the first may borrow `size`, which the third step pays back; the others may earn 1."""
    P, r = np.zeros((5, 2, 5)), np.zeros((5, 2))
    P[0, [0, 1], [1, 2]] = P[[1, 2], :, [3, 4]] = P[[3, 4], :, [3, 4]] = 1.0
    r[:, 1], r[0, 1] = 1.0, size
    r[4] -= size
    return MDP(P=P, r=r, mu=np.eye(5)[0], horizon=3)


def all_episodes(problem: MDP) -> list[Rollout]:
    """Every episode, where all actions are as likely and nothing else is left to chance."""
    (states, actions), theta, found = problem.table, start_and_gradient(problem)[0], []
    for choice in itertools.product(range(actions), repeat=problem.horizon or 0):
        path = [int(problem.mu.argmax())]
        for a in choice:
            path.append(int(problem.P[path[-1], a].argmax()))
        obs, acts = np.eye(states)[path], np.array(choice, dtype=float)[:, None]
        paid = problem.r[path[:-1], choice]
        found.append(Rollout(policy_of(problem), theta, obs[:-1], acts, paid, obs[-1], True, False))
    return found


def compared(estimates: list[Float[Array, "M d"]], g: Float[Array, "d"], *, exact: bool) -> dict[str, Any]:
    """Variance of the second set over that of the first, and the larger bias of the two."""
    gaps = [float(np.linalg.norm(x.mean(axis=0) - g)) for x in estimates]
    squares = np.stack([((x - x.mean(axis=0)) ** 2).sum(axis=1) for x in estimates], axis=1)
    noise = np.sqrt(squares.mean(axis=0) / len(squares))  # how far off the means are without a bias

    def ratio_of(rows: Float[Array, "M 2"]) -> float:
        return float(rows[:, 1].mean() / rows[:, 0].mean())

    ratio = (ratio_of(squares),) * 3 if exact else bootstrap_interval(squares, ratio_of, resamples=1000)
    out = dict(zip(("ratio", "low", "high"), ratio, strict=True)) | {"bias": max(gaps) / np.linalg.norm(g)}
    return out if exact else out | {"z": float(max(gaps / noise)), "noise": max(noise) / np.linalg.norm(g)}


def rows_of(
    name: str, problem: LQR | MDP, pairs: dict[str, Any], *, exact: bool = False
) -> list[dict[str, Any]]:
    """A row per baseline: over all pairs of episodes, or M estimates from N each."""
    theta, g = start_and_gradient(problem)
    past = all_episodes(problem) if exact and isinstance(problem, MDP) else []
    batches: Any = itertools.product(past, repeat=2)
    if not exact:
        pool = episodes(problem, theta, N * M, "a", name, problem.horizon or 0)
        batches = (pool[i : i + N] for i in range(0, N * M, N))
    names = sorted({estimator for pair in pairs.values() for estimator in pair})
    each = [[FROM_ROLLOUTS[k].estimate(batch, past, 1.0) for k in names] for batch in batches]
    found = dict(zip(names, np.array(each).swapaxes(0, 1), strict=True))
    head = {"problem": name, "horizon": problem.horizon}
    return [
        head | {"baseline": baseline} | compared([found[k] for k in pair], g, exact=exact)
        for baseline, pair in pairs.items()
    ]


def losses(rows: pd.DataFrame) -> list[str]:
    """Where reward-to-go certainly has the larger variance: baseline, problem, and from which horizon on."""
    found = []
    for baseline, mine in rows[rows["low"] > 1].groupby("baseline", sort=False):
        firsts = mine.groupby("problem", sort=False)["horizon"].min()
        found.append(f"{baseline} ({', '.join(f'{p} from {h} steps on' for p, h in firsts.items())})")
    return found


def measure() -> Claim:
    """It holds for a baseline if the whole interval of the ratio is below 1 at every horizon."""
    sampled = pd.DataFrame(
        row
        for H in HORIZONS
        for name, problem in (("LQG", replace(lqr.chain(), horizon=H)), ("chain", problems.chain(H)))
        for row in rows_of(name, problem, PAIRS)
    )
    short = rows_of("chain, all pairs", problems.chain(4, reward_std=0.0), PAIRS, exact=True)
    borrowed = rows_of("loan, all pairs", loan(), PAIRS | {"linear value": KNOWS_THE_STATE}, exact=True)
    exact = pd.DataFrame([*short, *borrowed])
    bias, z = float(exact["bias"].max()), float(sampled["z"].max())
    unbiased = bias < 1e-9 and z < BIASED_BEYOND
    always = [str(b) for b, mine in sampled.groupby("baseline", sort=False) if mine["high"].max() < 1]
    lost, of_loan = losses(sampled), {row["baseline"]: float(row["ratio"]) for row in borrowed}
    if not (unbiased and always):
        verdict = "does not hold: " + (
            "more variance somewhere with every baseline" if unbiased else "biased"
        )
    elif not lost and len(always) == len(PAIRS) and max(of_loan.values()) < 1:
        verdict = "holds"
    else:
        verdict = f"holds when there is {' or an '.join(always)}, at every horizon; never biased"
        verdict += f"; more variance, not less, with a constant: {'; '.join(lost)}" if lost else ""
        worst = min(of_loan[b] for b in PAIRS)
        verdict += (
            f"; and ×{worst:.1f} or more with each of these where debts are paid back" if worst > 1 else ""
        )
    measured = [
        Measured("largest bias over all pairs of episodes, share of the gradient", bias, bias, bias, "0"),
        Measured(
            f"largest of {2 * len(sampled)} deviations of a mean from ∇J, in its standard errors", z, z, z,
            f"near 1; {BIASED_BEYOND:g} would be a bias",
        ),
    ]  # fmt: skip
    for row in sampled[sampled["horizon"] == 20].to_dict("records"):
        what = f"variance, reward-to-go over whole return: {row['problem']}, 20 steps, {row['baseline']}"
        measured.append(Measured(what, row["ratio"], row["low"], row["high"], "below 1, if the claim holds"))
    measured += [Measured(f"the same on the loan, {b}", r, r, r, "exact") for b, r in of_loan.items()]
    noise = sampled.groupby("baseline", sort=False)["noise"].agg(["median", "max"]).to_dict("index")
    return Claim(
        claim="Reward-to-go lowers the variance of the gradient, and does not bias it",
        verdict=verdict,
        measured=measured,
        setting=f"LQG (12 parameters) and the chain (10) at θ = 0, {HORIZONS[0]} to {HORIZONS[-1]} steps; {M} "
        f"estimates from {N} rollouts each, both estimators from the same. Exactly, by enumeration: four steps of "
        "the chain, and a loan: the first of three steps may borrow 4, which the last pays back; the others may earn "
        "1.",
        table=pd.concat([sampled, exact], ignore_index=True),
        picture=picture(sampled),
        remarks=[
            "Where a constant loses: reward-to-go shrinks with the step, so that a constant which suits the first "
            "steps is wrong for the last ones, while the whole return is as large before every score. With "
            "reward-to-go a baseline has to be an average per step.",
            "The loan shows that this is no theorem: what is paid back is in no whole return, but in every "
            "reward-to-go after the first. A value function that sees the debt restores the claim (ratio "
            f"{of_loan['linear value']:.2f}). Rewards that are differences of a potential are such loans.",
            f"Power: a bias of {BIASED_BEYOND:g} standard errors of a mean would show. They are, in shares of ‖∇J‖, "
            + "; ".join(f"{b}: {n['median']:.0%} (at most {n['max']:.0%})" for b, n in noise.items())
            + ". On LQG without a baseline that is little power; the enumeration needs none.",
        ],
    )


def picture(rows: pd.DataFrame) -> Any:
    """Ratio of the variances against the horizon."""
    with figure_of(1, 2, 9.0, 3.4, sharey=True) as (figure, axes):
        for axis, (problem, mine) in zip(axes[0], rows.groupby("problem", sort=False), strict=True):
            for colour, (baseline, line) in zip(COLOURS, mine.groupby("baseline", sort=False), strict=False):
                axis.plot(line["horizon"], line["ratio"], "o-", color=colour, label=baseline, markersize=3.5)
                axis.fill_between(line["horizon"], line["low"], line["high"], color=colour, alpha=0.2, lw=0)
            axis.axhline(1.0, color="0.5", lw=0.8)
            axis.set(xscale="log", yscale="log", xlabel="steps of an episode", title=problem)
            axis.set_xticks(HORIZONS, [str(H) for H in HORIZONS])
            axis.set_yticks([0.2, 0.5, 1, 2, 5, 10, 20], ["0.2", "0.5", "1", "2", "5", "10", "20"])
            axis.minorticks_off()
        axes[0, 0].set_ylabel("variance of reward-to-go\n/ variance of whole return")
        axes[0, 0].legend(title="both with", frameon=False, fontsize=8)
        return figure
