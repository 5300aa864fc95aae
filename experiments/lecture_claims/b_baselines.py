"""A baseline leaves the score-function gradient unbiased; the average return is a good one, not the best.

    g = (R − b) S,   S = Σ_t ∇ log π(a_t|s_t):      tr Var g = E‖S‖²(R − b)² − ‖∇J‖²,  least at
    b* = E[‖S‖² R]/E[‖S‖²]          (Greensmith, Bartlett & Baxter 2004)

The average E[R] costs E‖S‖² (E[R] − b*)² more: nothing where ‖S‖² and R are not correlated. An unlikely action
has a large score, so it is b* that knows what unlikely actions earn. Exact on bandits; elsewhere from rollouts.
"""

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from a_reward_to_go import all_episodes, episodes, loan, start_and_gradient
from claim import Claim, Measured, bootstrap_interval, mean_interval
from jaxtyping import Float

from policysearch.core import Array
from policysearch.gradients import score_function
from policysearch.gradients.estimators import FROM_ROLLOUTS
from policysearch.reporting.figures import COLOURS, figure_of
from policysearch.simulators import lqr, problems

MANY, N = 10_000, 10  # rollouts of a case, and per estimate where the baseline is estimated too
GOOD = 1.1  # times the least variance
AVERAGE, OWN, OPTIMAL = (f"whole return, {b}" for b in ("others' average", "own average", "optimal baseline"))


def variances(
    S2: Float[Array, "n"], R: Float[Array, "n"], p: Float[Array, "n"], g2: float, noise: float = 0.0
) -> tuple[float, float, float]:
    """tr Var g with b = 0, E[R] and b*, of outcomes with ‖S‖², R and chances p; `noise` is the rewards' own."""
    weights = p * S2
    constants = (0.0, float(p @ R), float(weights @ R / weights.sum()))
    none, average, best = (float(weights @ ((R - b) ** 2 + noise**2)) - g2 for b in constants)
    return none, average, best


def bandit(arms: Float[Array, "a"], beta: float, noise: float) -> tuple[float, float, float]:
    """The same for the softmax policy θ = β · arms."""
    p = np.exp(beta * arms) / np.exp(beta * arms).sum()
    S = np.eye(len(p)) - p
    return variances((S**2).sum(axis=1), arms, p, float(((p * arms) @ S) @ ((p * arms) @ S)), noise)


def parabola(start: float) -> tuple[float, float, float]:
    """The same for one step that pays −a², a ~ N(start, 1), with scores of its mean and log σ; by quadrature."""
    z, p = np.polynomial.hermite_e.hermegauss(20)
    S, R, p = np.stack([z, z**2 - 1], axis=1), -((start + z) ** 2), p / p.sum()
    return variances((S**2).sum(axis=1), R, p, float(((p * R) @ S) @ ((p * R) @ S)))


def exact_cases() -> list[dict[str, Any]]:
    """Bandits from even to nearly certain policies, and a parabola from afar and at its top."""
    ten, two = np.array(problems.ARMS), np.array([0.0, 1.0])
    found = {f"10 arms, θ = {beta} · arms": bandit(ten, beta, 1.0) for beta in (0, 2, 8)}
    for noise in (1.0, 0.1):
        found |= {
            f"2 arms, noise {noise:g}, p = {p:g}": bandit(two, np.log(p / (1 - p)), noise) for p in (0.5, 0.9)
        }
    found |= {f"−a², σ = 1, mean at {m}": parabola(m) for m in (4, 0)}
    rows = []
    for case, (none, average, best) in found.items():
        of_best, of_none = (average / best,) * 3, (average / none,) * 3
        rows.append({"case": case, "exact": True, "of best": of_best, "of none": of_none})
    return rows


def sampled_cases() -> list[dict[str, Any]]:
    """Episodes of several steps, and what is left of the best baseline where it has to be estimated."""
    chain, grid = problems.chain(), problems.aliased_gridworld()
    best = np.exp(problems.coin_policy())
    cases: dict[str, tuple[Any, Array, Array]] = {}
    for H in (5, 20, 100):
        problem = replace(lqr.chain(), horizon=H)
        cases[f"LQG, {H} steps"] = (problem, *start_and_gradient(problem))
    for p in (0.5, 0.9, 0.98):
        theta = np.log(p / (1 - p)) * chain.r
        cases[f"chain, p = {p:g}"] = (chain, theta.T.ravel(), chain.gradient(theta).T.ravel())
    for random in (1.0, 0.5, 0.05):
        theta = np.log((1 - random) * best + random / 4)
        cases[f"gridworld, {random:.0%} random"] = (grid, theta.T.ravel(), grid.gradient(theta).T.ravel())
    rows = []
    for name, (problem, theta, g) in cases.items():
        pool = episodes(problem, theta, MANY, "b", name)
        R, S2 = (
            score_function.discounted_returns(pool, 1.0),
            (score_function.total_scores(pool) ** 2).sum(axis=1),
        )

        def ratio(drawn: Float[Array, "n 2"], other: int, g2: float = float(g @ g)) -> float:
            three = variances(drawn[:, 0], drawn[:, 1], np.full(MANY, 1 / MANY), g2)
            return three[1] / three[other]

        def estimated(estimates: Float[Array, "M 2 d"]) -> float:
            average, optimal = estimates.var(axis=0).sum(axis=1)
            return float(optimal / average)

        batches = [pool[i : i + N] for i in range(0, MANY, N)]
        each = np.array(
            [[FROM_ROLLOUTS[k].estimate(b, [], 1.0) for k in (AVERAGE, OPTIMAL)] for b in batches]
        )
        both = np.stack([S2, R], axis=1)
        rows.append(
            {"case": name, "exact": False, "estimated": bootstrap_interval(each, estimated, resamples=200)}
            | {"of best": bootstrap_interval(both, lambda rows: ratio(rows, 2), resamples=200)}
            | {"of none": bootstrap_interval(both, lambda rows: ratio(rows, 0), resamples=200)}
        )
    return rows


def shares() -> list[dict[str, Any]]:
    """The part of ∇J that an estimate has on average: over all groups of episodes, and measured on LQG."""
    rows, problem = [], loan()
    g, known = start_and_gradient(problem)[1], all_episodes(problem)
    for size, name in itertools.product((2, 3), (AVERAGE, OPTIMAL, OWN)):
        groups = itertools.product(known, repeat=size)
        mean = np.mean([FROM_ROLLOUTS[name].estimate(group, [], 1.0) for group in groups], axis=0)
        off = float(np.linalg.norm(mean - (mean @ g) / (g @ g) * g) / np.linalg.norm(g))
        share = float(mean @ g / (g @ g))
        rows.append(
            {"case": "loan, all groups", "estimator": name, "N": size, "share": (share,) * 3, "off": off}
        )
    regulator = replace(lqr.chain(), horizon=5)
    theta, g = start_and_gradient(regulator)
    pool = episodes(regulator, theta, 6 * MANY, "b", "own average")
    for size in (2, 5, 20):
        batches = [pool[i : i + size] for i in range(0, len(pool), size)]
        along = [FROM_ROLLOUTS[OWN].estimate(batch, [], 1.0) @ g / (g @ g) for batch in batches]
        rows.append(
            {"case": "LQG, 5 steps", "estimator": OWN, "N": size, "share": mean_interval(np.array(along))}
        )
    return rows


def measure() -> Claim:
    """Unbiased if exactly so; good where within GOOD of the least variance, harmful where above none at all."""
    cases, biases = exact_cases() + sampled_cases(), shares()
    unbiased = all(
        abs(row["share"][0] - 1) + row["off"] < 1e-9
        for row in biases
        if "off" in row and row["estimator"] != OWN
    )
    predicted = all(row["share"][1] - 1e-9 <= 1 - 1 / row["N"] <= row["share"][2] + 1e-9
                    for row in biases if row["estimator"] == OWN)  # fmt: skip
    good = [row for row in cases if row["of best"][0] <= GOOD]
    short = [row for row in cases if row["of best"][1] > 1 + 1e-9]
    worst = max(cases, key=lambda row: row["of best"][0])
    harmful = [row["case"] for row in cases if row["of none"][1] > 1]
    state = "holds"
    if harmful:
        state += (
            f" when the average return is nearer to the best constant than 0 is, not in {'; '.join(harmful)}"
        )
    state += (
        f": never biased; within {GOOD - 1:.0%} of the least variance in {len(good)} of {len(cases)} cases, short of "
        f"it in {len(short)}, at most ×{worst['of best'][0]:.3g} ({worst['case']})"
    )
    measured = []
    for row in biases:
        theory = f"{1 - 1 / row['N']:.3g}" if row["estimator"] == OWN else "1"
        what = f"share of ∇J in the mean estimate: {row['estimator']}, N = {row['N']}, {row['case']}"
        value, low, high = row["share"]
        measured.append(Measured(what, value, low, high, theory))
    for row in cases:
        theory = "1 + (2p − 1)²/noise²" if row["case"].startswith("2 arms") else "1 or more"
        value, low, high = row["of best"]
        what = f"variance with the average return over the least: {row['case']}"
        measured.append(Measured(what, value, low, high, theory))
    columns = ("share", "of best", "of none", "estimated")
    flat = [
        {k: v for k, v in row.items() if k not in columns}
        | {
            f"{k} {end}": x
            for k in columns
            if k in row
            for end, x in zip(("", "low", "high"), row[k], strict=True)
        }
        for row in [*biases, *cases]
    ]
    estimated = [row["estimated"] for row in cases if "estimated" in row]
    gains, losses = sum(high < 1 for *_, high in estimated), sum(low > 1 for _, low, _ in estimated)
    return Claim(
        claim="A baseline does not bias the gradient; the average return is a good baseline, though not the best",
        verdict=state if unbiased and short else "does not hold",
        measured=measured,
        setting="Bandits with softmax policies and a parabola under a Gaussian one: exact. LQG, chain (20 steps) and "
        f"aliased gridworld: moments of {MANY} rollouts, intervals by bootstrap. The whole return before every "
        "score, one constant for all components. p is the chance of the better action; two arms pay 0 and 1.",
        table=pd.DataFrame(flat),
        picture=picture(cases),
        remarks=[
            "An average that contains the episode itself shrinks the estimate to (N − 1)/N (every interval contains "
            f"it: {'yes' if predicted else 'no'}). Its direction is right, so that a tuned step size hides it.",
            "The average is what likely actions earn, which have small scores; b* is what unlikely ones earn, which "
            "have large scores. With two arms that pay 0 and 1, b* = 1 − p and the average is p: at nearly certain "
            "policies, where searches end, 0 is the better constant. That it is 0 is luck: b* moves with a constant "
            "added to all rewards, and 0 does not.",
            f"Estimated from the other {N - 1} episodes, the optimal constant is better than the average return in "
            f"{gains} of {len(estimated)} cases and worse in {losses}: estimating it costs variance, too.",
        ],
    )


def picture(cases: list[dict[str, Any]]) -> Any:
    """Two arms against the chance of the better one; the average return over the least variance everywhere."""
    with figure_of(1, 2, 10.5, 4.0, width_ratios=(1, 1.15)) as (figure, axes):
        left, right = axes[0]
        chance = np.linspace(0.5, 0.99, 99)
        curves = np.array([bandit(np.array([0.0, 1.0]), np.log(p / (1 - p)), 0.5) for p in chance])
        for colour, name, curve in zip(
            COLOURS, ("none", "average return", "optimal"), curves.T, strict=False
        ):
            left.plot(chance, curve, color=colour, label=name)
        left.set(xlabel="chance of the better of two arms", ylabel="variance of an episode's gradient")
        left.set_title("arms that pay 0 and 1, noise 0.5", fontsize=9)
        left.legend(title="baseline", frameon=False)
        for i, row in enumerate(reversed(cases)):
            value, low, high = row["of best"]
            colour = COLOURS[1] if row["of none"][1] > 1 else COLOURS[0]
            right.plot([low, high], [i, i], color=colour, lw=1)
            right.plot(value, i, "o", color=colour, markersize=4)
        right.set_yticks(range(len(cases)), [row["case"] for row in reversed(cases)], fontsize=8)
        right.set(
            xscale="log", xlabel="variance with the average return / least\n(orange: worse than no baseline)"
        )
        right.set_xticks([1, 1.2, 1.5, 2, 5, 20, 50], ["1", "1.2", "1.5", "2", "5", "20", "50"])
        right.minorticks_off()
        right.axvline(1.0, color="0.7", lw=0.8, zorder=0)
        return figure
