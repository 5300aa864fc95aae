"""Importance weights explode exponentially with the length of an episode; what the first order costs instead.

    E[ρ²_{0:T−1}] = c^T,   c = Σ_a π'(a)²/π(a)      (one state; e^{δ²/σ²} for a Gaussian moved by δ)

so that N episodes of length T are worth N/c^T. The first order keeps only ρ_t before ∇ log π'(a_t|s_t): the
states are visited as by θ, and the actions after t are those of θ. Its expectation on a finite process is exact:

    Σ_t Σ_s d_t(s; θ) Σ_a π'(a|s) Q_t(s, a; θ) ∇ log π'(a|s)
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from a_reward_to_go import episodes
from claim import Claim, Measured, bootstrap_interval
from jaxtyping import Float

from policysearch.core import Array
from policysearch.gradients import baselines, off_policy, score_function
from policysearch.models.mdp import MDP
from policysearch.reporting.figures import COLOURS, figure_of
from policysearch.seeding import stream
from policysearch.simulators.problems import random_mdp

N, REPEATS, LONGEST, EARLY = 10_000, 60, 150, 8  # one state: episodes, repeats, steps, steps of the fit
OLD, NEW = np.array([0.5, 0.5]), np.array([0.7, 0.3])  # chances of two actions
SHIFT = 0.4  # δ/σ
RATES = {"two actions": float((NEW**2 / OLD).sum()), "Gaussian": float(np.exp(SHIFT**2))}
FEW, TRIES = 50, 100  # the process: rollouts per estimate, estimates
STEPS = (0.2, 0.4, 0.8, 1.6, 3.2)  # ‖θ' − θ‖
SMALL = 0.1  # a bias, as a share of the gradient
FRESH = "new rollouts of θ'"
WEIGHTS: dict[str, dict[str, Any]] = {
    "trajectory": {"weighting": "trajectory"},
    "trajectory, self-normalised": {"weighting": "trajectory", "self_normalised": True},
    "per-decision": {"weighting": "per-decision"},
    "per-decision, self-normalised": {"weighting": "per-decision", "self_normalised": True},
    "first order": {"weighting": "first-order"},
}


def one_state(kind: str) -> tuple[Float[Array, "repeats T"], Float[Array, "repeats T"]]:
    """The sample's mean of ρ² and its effective sample size, of N episodes of every length."""
    second, size = np.empty((2, REPEATS, LONGEST))
    for i in range(REPEATS):
        rng = stream("c", kind, i)
        if kind == "Gaussian":
            logs = SHIFT * rng.standard_normal((N, LONGEST)) - SHIFT**2 / 2
        else:
            logs = np.log(NEW / OLD)[(rng.random((N, LONGEST)) >= OLD[0]).astype(int)]
        logs = np.cumsum(logs, axis=1)
        second[i] = np.exp(2 * logs).mean(axis=0)
        size[i] = [off_policy.effective_sample_size(column) for column in logs.T]
    return second, size


def rate(second: Float[Array, "repeats T"]) -> float:
    """The factor by which E[ρ²] grows per step, from short episodes."""
    means = np.log(second[:, :EARLY].mean(axis=0))
    return float(np.exp(np.polyfit(np.arange(1, EARLY + 1), means, 1)[0]))


def garnet() -> tuple[MDP, Array, dict[str, Array]]:
    """A random process of 10 steps, θ, and two directions of length 1: up the gradient, and any."""
    process = replace(random_mdp(stream("c", "process"), horizon=10), discount=1.0)
    theta = 0.5 * stream("c", "theta").standard_normal(process.table)
    ways = {"uphill": process.gradient(theta), "random": stream("c", "way").standard_normal(process.table)}
    return process, theta, {name: way / np.linalg.norm(way) for name, way in ways.items()}


def first_order_mean(process: MDP, old: Array, new: Array) -> Float[Array, "o a"]:
    """What first-order weights estimate."""
    pi, Q, d = process.policy(new), process.action_values(old), process.visits(old)
    return pi * (d[..., None] * (Q - (pi * Q).sum(axis=2, keepdims=True))).sum(axis=0)


def divergence(process: MDP, old: Array, new: Array) -> float:
    """KL(π_θ ‖ π_θ') of a whole episode."""
    p, q = process.policy(old), process.policy(new)
    return float(process.visits(old).sum(axis=0) @ (p * np.log(p / q)).sum(axis=1))


def errors(process: MDP, old: Array, new: Array, label: str) -> list[dict[str, Any]]:
    """RMSE and bias of every weighting, relative to ‖∇J(θ')‖."""
    g, theta, after = process.gradient(new).T.ravel(), old.T.ravel(), new.T.ravel()
    size, found = float(np.linalg.norm(g)), {}
    pool = episodes(process, theta, FEW * TRIES, "c", label)
    fresh = episodes(process, after, FEW * TRIES, "c", label, "fresh")
    batches, fresh_batches = ([x[i : i + FEW] for i in range(0, len(x), FEW)] for x in (pool, fresh))
    for name, options in WEIGHTS.items():
        w = [off_policy.weights(batch, after, discount=1.0, **options) for batch in batches]
        found[name] = [score_function.gradient(*pair, after) for pair in zip(batches, w, strict=True)]
    for name, drawn in (("no weights: ∇J(θ)", batches), (FRESH, fresh_batches)):
        w = [baselines.weights(batch, discount=1.0, baseline="step") for batch in drawn]
        found[name] = [score_function.gradient(*pair) for pair in zip(drawn, w, strict=True)]
    rows = []
    for name, estimates in found.items():
        off = (np.array(estimates) - g) / size
        rmse = bootstrap_interval(off, lambda rows: np.sqrt((rows**2).sum(axis=1).mean()), resamples=500)
        noise = float(np.sqrt(off.var(axis=0).sum() / TRIES))
        rows.append(
            {"weights": name, "kl": divergence(process, old, new)}
            | dict(zip(("rmse", "low", "high"), rmse, strict=True))
            | {"bias": float(np.linalg.norm(off.mean(axis=0))), "bias noise": noise}
        )
    exact = float(np.linalg.norm(first_order_mean(process, old, new).T.ravel() - g)) / size
    return [row | {"exact bias": exact if row["weights"] == "first order" else np.nan} for row in rows]


def catching_up(rows: pd.DataFrame) -> float:
    """Rollouts from which on per-decision weights have less error than the first order, by variance ∝ 1/N."""
    rmse = dict(zip(rows["weights"], rows["rmse"], strict=True))
    bias = float(rows["exact bias"].max())
    return float(FEW * (rmse["per-decision"] ** 2 - rmse["first order"] ** 2 + bias**2) / bias**2)


def measure() -> Claim:
    """It holds, for near policies, if both rates are the closed form's and the first order is mostly the best."""
    found = {kind: one_state(kind) for kind in RATES}
    process, theta, ways = garnet()
    table = pd.DataFrame(
        {"way": name, "step": step} | row
        for name, way in ways.items()
        for step in STEPS
        for row in errors(process, theta, theta + step * way, f"{name} {step}")
    )
    measured, right, blind = [], [], {}
    for kind, (second, size) in found.items():
        c, T = RATES[kind], np.arange(1, LONGEST + 1)
        grown, low, high = bootstrap_interval(second, rate)
        right.append(low <= c <= high)
        what = f"growth of E[ρ²] per step, less 1, {kind}"
        measured.append(Measured(what, grown - 1, low - 1, high - 1, f"c − 1 = {c - 1:.4g}"))
        seen = np.median(second, axis=0) / c**T
        blind[kind] = int(T[np.argmax(seen < 0.5)])
        for t in (20, 40, 100):
            value, low, high = np.quantile(size[:, t - 1], [0.5, 0.025, 0.975])
            what = f"effective sample size of {N} episodes of {t} steps, {kind}: median and 95 % range"
            measured.append(Measured(what, value, low, high, f"N/c^T = {N / c**t:.3g}"))
            value, low, high = np.quantile(second[:, t - 1], [0.5, 0.025, 0.975])
            what = f"sample mean of ρ² at {t} steps, {kind}: median and 95 % range"
            measured.append(Measured(what, value, low, high, f"{c**t:.3g}"))
    uphill = table[table["way"] == "uphill"]
    for kl, mine in uphill.groupby("kl"):
        for row in mine[mine["weights"].isin(["first order", "per-decision"])].to_dict("records"):
            bias = f"bias {row['exact bias']:.3f}, exactly" if row["weights"] == "first order" else "unbiased"
            what = f"RMSE/‖∇J(θ')‖ of {FEW} rollouts, KL {kl:.2g} per episode, {row['weights']}"
            measured.append(Measured(what, row["rmse"], row["low"], row["high"], bias))
    weighted = table[table["weights"].isin(list(WEIGHTS))]
    cells = [(mine.set_index("weights")["rmse"], kl) for (_, kl), mine in weighted.groupby(["way", "kl"])]
    least = [kl for rmse, kl in cells if rmse["first order"] <= 1.02 * rmse.min()]
    overtaken = {float(kl): catching_up(mine) for kl, mine in uphill.groupby("kl")}  # type: ignore[arg-type]
    farthest = float(uphill["kl"].max())
    far = {row["weights"]: row for row in uphill[uphill["kl"] == farthest].to_dict("records")}
    near = table[table["exact bias"] <= SMALL].groupby("way")["kl"].max().to_dict()
    reach = " and ".join(f"KL {kl:.2g} ({way})" for way, kl in near.items())
    return Claim(
        claim="Importance weights explode exponentially with the horizon; the first order does not, at a small bias",
        verdict=f"holds when policies are near: E[ρ²] grows as c^T; with {FEW} rollouts the first order has the "
        f"least error of all weights (within 2 %) in {len(least)} of {len(cells)} cases; its bias is "
        f"within {SMALL:.0%} of the gradient up to {reach} per episode, "
        f"and {far['first order']['exact bias']:.0%} at {farthest:.1f}"
        if all(right) and near and 2 * len(least) > len(cells)
        else "does not hold",
        measured=measured,
        setting=f"One state: {REPEATS} times {N} episodes; two actions from {OLD[0]:g}/{OLD[1]:g} to "
        f"{NEW[0]:g}/{NEW[1]:g}, or a Gaussian moved by {SHIFT:g} σ; the rate from 1 to {EARLY} steps, where the "
        f"sample still sees it. A random process (5 states, 3 actions, 10 steps) with θ' = θ + {STEPS[0]:g} … "
        f"{STEPS[-1]:g} along ∇J or a random direction: {TRIES} estimates from {FEW} rollouts of θ each, against the "
        "exact ∇J(θ').",
        table=table,
        picture=picture(found, uphill),
        remarks=[
            "The trap: weights look harmless just where they are worst. The median sample misses more than half of "
            "the second moment from "
            + " and ".join(f"{T} steps on ({kind})" for kind, T in blind.items())
            + f": it sits in episodes too rare to be among {N}. The effective sample size then looks too large.",
            "The bias of the first order does not average out. With variances that fall as 1/N, per-decision weights "
            "have less error from about "
            + ", ".join(f"{count:.0f} rollouts (KL {kl:.2g})" for kl, count in overtaken.items())
            + " on.",
            "No weights at all, the gradient of θ taken for that of θ', are the one to beat. At the farthest point "
            f"their error is {far['no weights: ∇J(θ)']['rmse']:.2f}, that of the first order "
            f"{far['first order']['rmse']:.2f}, of per-decision weights {far['per-decision']['rmse']:.2f}, and of "
            f"{FEW} new rollouts {far[FRESH]['rmse']:.2f}.",
            "Errors of exploding weights are themselves underestimated, their intervals too: the mean over "
            f"{TRIES} estimates misses the rare large ones.",
        ],
    )


def picture(found: dict[str, tuple[Array, Array]], uphill: pd.DataFrame) -> Any:
    """E[ρ²] and the effective sample size against T; error against the divergence."""
    T = np.arange(1, LONGEST + 1)
    with figure_of(1, 3, 13.0, 3.9) as (figure, axes):
        for colour, (kind, sizes) in zip(COLOURS, found.items(), strict=False):
            for axis, values, exact in zip(
                axes[0], sizes, (RATES[kind] ** T, N / RATES[kind] ** T), strict=False
            ):
                low, middle, high = np.quantile(values, [0.025, 0.5, 0.975], axis=0)
                axis.plot(T, middle, color=colour, label=f"{kind}, sample")
                axis.fill_between(T, low, high, color=colour, alpha=0.2, lw=0)
                axis.plot(T, exact, color=colour, linestyle="--", label=f"{kind}, exact")
        axes[0, 0].set(yscale="log", xlabel="steps T", ylabel="second moment of the weight", ylim=(0.8, 1e8))
        axes[0, 1].set(
            yscale="log", xlabel="steps T", ylabel=f"effective sample size of {N} episodes", ylim=(0.5, N)
        )
        axes[0, 0].legend(frameon=False, fontsize=8)
        right = axes[0, 2]
        for colour, (name, line) in zip(COLOURS, uphill.groupby("weights", sort=False), strict=False):
            right.plot(line["kl"], line["rmse"], "o-", color=colour, label=name, markersize=3)
            right.fill_between(line["kl"], line["low"], line["high"], color=colour, alpha=0.15, lw=0)
            if name == "first order":
                right.plot(line["kl"], line["exact bias"], "--", color=colour, label="its bias, exact")
        right.set(xscale="log", yscale="log", xlabel="KL(θ‖θ') of an episode", ylabel="RMSE / ‖∇J(θ')‖")
        right.legend(frameon=False, fontsize=7.5, loc="center left", bbox_to_anchor=(1.0, 0.5))
        return figure
