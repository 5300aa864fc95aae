"""Methods for `policysearch.tune` on seven controllers, among them the one that it takes when none is named.

    python experiments/controllers/default_method.py                    everything: about half an hour of one core
    python experiments/controllers/default_method.py --seeds 2          a first look, in minutes
    python experiments/controllers/default_method.py --workers 2        the same numbers, in less time

Every method searches every task as `tune` would, with its defaults unless its name says more. Its recommendations
after 30, 100 and 300 rollouts are scored. One search serves all three, because no method knows its budget. There are
two kinds of trials:

    noisy        every generation has a new episode; the score is the mean return of 200 held-out episodes
    one episode  always the same episode, so that a candidate always has the same return; scored on that episode

    regret = (best − return) / (best − start),   0: as good as the best known, 1: no better than the start

clipped to [0, 2]. The best known of noisy trials is what CMA-ES finds in 20,000 rollouts, 20 per candidate (as in
`best_known.py`); of one episode, it is the best return of all searches there, among them four of 5,000 rollouts.
A score over tasks is the mean of the tasks' interquartile means over seeds. Its interval resamples whole seeds,
because a seed determines the randomness of all tasks and methods. The two quadratics are a check, and not scored.

Every finished search is a row of RUNS/runs.csv; the same command continues there. Delete it to start again.
"""

import argparse
import itertools
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from best_known import near
from default_method_scores import Results, Score, score, scores_of
from default_method_searches import (
    BUDGETS,
    CONTROLLERS,
    CRASHING,
    DEFAULT,
    EPISODES,
    KINDS,
    METHODS,
    NOISY,
    ONE,
    PIDS,
    PROBLEMS,
    SEEDS,
    SLOW,
    SLOW_SEEDS,
    TUNE,
    WITHIN,
    WITHIN_BUDGETS,
    WITHIN_EPISODES,
    WITHIN_METHODS,
    runs,
)  # fmt: skip

from policysearch.compare.statistics import iqm
from policysearch.files import write_text
from policysearch.provenance import environment
from policysearch.reporting.figures import COLOURS, figure_of
from policysearch.tasks import TASKS

#: Methods of which the page says how they compare with the default.
COMPARED = (TUNE, "cma-es sigma 0.1", "cma-es 3 episodes", "cma-es noise_handling", "nelder-mead")

PAGE = """# Methods for `tune` on seven controllers

Written by `{command}` ({versions}; seeds 0–{last}, {slow} seeds 0–{slow_last}).

`tune` takes `auto` when no method is named. Each of these searched {count} controllers' tasks
({tasks})
as `tune` does; what it recommended after 30, 100 and 300 rollouts was scored. Regret is 0 for the best known
and 1 for the start; the score is the mean over tasks of the interquartile mean over seeds, with its 95 %
bootstrap interval. Seeds are resampled, tasks are not, and nothing is corrected for the number of methods. ▼
is better than `cma-es` at its own defaults, ▲ worse: the interval of the paired difference is without 0.
Then: mean rank over tasks / runs within 5 % of the best known cost / runs that ended worse than the start. A
dash: the first generation does not fit, or it was not run ({slow} takes seconds). Nelder–Mead draws nothing,
so that on one episode its runs are all the same.

{tables}

On one episode, the best candidate seen, recommended instead of the method's own choice, would give `cma-es` {seen}.

## Task by task

Median regret after 100 → 300 rollouts. The quadratics are a check and in no score.

{by_task}

Runs of all methods that ended worse than the start after 300 rollouts with noisy trials: {worse}. On the quadrotor it
is crashes that a search never met: one among the {episodes} episodes is enough for a mean below that of the start.
The scores without that task were added when this had been seen.

![Score over tasks of each method](default_method.png)

## Within 5 % of the best known cost

`within_5_percent`: runs of 10 (seeds 0–9) whose recommendation costs at most 1.05 times as much as the best known, by
the mean of {within_episodes} fresh episodes. Then how much more the median run and each of the others cost, in %, and
the runs that lose against Ziegler & Nichols.

{within}

## What `tune` takes from this

The rule of `auto` was chosen in another study (`experiments/choosing_a_method`), among whose problems are motor-pid,
tanks-pid, quadrotor-cascade, cart-pole-lqr and aibo-gait-reduced. Where `tune` takes `cma-es` instead, it begins with
`sigma` 0.1 if all parameters are bounded numbers, and tries every candidate once. Compared with `cma-es`
at its own defaults:

{compared}

## Why the step size matters

`sigma` is in units of the whole range. Gains of the PID tasks have logarithmic ranges of a factor of 10⁴, so that one
standard deviation of 0.3 is a factor of {factor:.0f}, of 0.1 a factor of {small:.1f}. λ is 8 for four parameters: 30
rollouts are three generations, 100 are twelve.

[all numbers](default_method.csv), [script](../../experiments/controllers/default_method.py)
"""


def overall_table(found: Mapping[str, list[Score | None]]) -> str:
    """Scores of all methods at every budget."""
    lines = [
        "| method | "
        + " | ".join(f"regret, {b} rollouts | rank / within 5 % / worse" for b in BUDGETS)
        + " |",
        "| --- |" + " --- |" * 2 * len(BUDGETS),
    ]
    return "\n".join(
        [*lines, *(f"| {name} | {' | '.join(map(_cells, row))} |" for name, row in found.items())]
    )


def verdict(found: Mapping[str, list[Score | None]]) -> str:
    """A line per budget: the three best methods, and those whose difference to the default is significant."""
    lines = []
    for b, budget in enumerate(BUDGETS):
        ran = {name: s for name, row in found.items() if (s := row[b]) is not None}
        best = sorted(ran, key=lambda name: ran[name].regret)[:3]
        better = ", ".join(name for name, s in ran.items() if s.gap_interval[1] < 0) or "none"
        worse = ", ".join(name for name, s in ran.items() if s.gap_interval[0] > 0) or "none"
        lines.append(
            f"- {budget} rollouts: lowest regret {', '.join(f'{name} ({ran[name].regret:.3f})' for name in best)}; "
            f"better than {DEFAULT} ({ran[DEFAULT].regret:.3f}): {better}; worse: {worse}."
        )
    return "\n".join(lines)


def compared(found: Mapping[str, Mapping[str, list[Score | None]]]) -> str:
    """What the intervals of `COMPARED` say next to the default's, by kind of trials and budget."""
    lines = []
    for name in COMPARED:
        parts = []
        for title, rows in found.items():
            said: dict[str, list[str]] = {}
            for budget, s in zip(BUDGETS, rows[name], strict=True):
                if s is not None:
                    low, high = s.gap_interval
                    word = "better" if high < 0 else "worse" if low > 0 else "not distinguished"
                    said.setdefault(word, []).append(str(budget))
            after = "; ".join(f"{word} after {', '.join(budgets)}" for word, budgets in said.items())
            parts.append(f"{title}: {after}.")
        lines.append(f"- `{name}`. {' '.join(parts)}")
    return "\n".join(lines)


def _cells(found: Score | None) -> str:
    if found is None:
        return "– | –"
    low, high = found.gap_interval
    mark = " ▼" if high < 0 else " ▲" if low > 0 else ""
    interval = f"({found.interval[0]:.3f} … {found.interval[1]:.3f})"
    rest = f"{found.rank:.1f} / {found.near:.0%} / {found.worse:.0%}"
    return f"{found.regret:.3f} {interval}{mark} | {rest}"


def by_task_table(results: Results) -> str:
    """Median regrets after 100 and after 300 rollouts."""
    lines = ["| method | " + " | ".join(PROBLEMS) + " |", "| --- |" + " ---: |" * len(PROBLEMS)]
    for m, name in enumerate(METHODS):
        cells = [results.regrets[t, m, 1:] for t in range(len(PROBLEMS))]
        shown = (
            " → ".join("–" if np.isnan(x).all() else f"{np.nanmedian(x):.3f}" for x in cell) for cell in cells
        )
        lines.append(f"| {name} | {' | '.join(shown)} |")
    return "\n".join(lines)


def worse(results: Results) -> str:
    """How many runs of all methods ended worse than the start after 300 rollouts, by task."""
    regrets = results.regrets[:, :, -1]
    parts = zip(
        PROBLEMS, (regrets > 1.0).sum(axis=(1, 2)), (~np.isnan(regrets)).sum(axis=(1, 2)), strict=True
    )
    return ", ".join(f"{task} {bad / runs:.0%}" for task, bad, runs in parts)


def within_table(table: pd.DataFrame) -> str:
    """How often tuning a PID ends within 5 % of the best known, and by how much it misses."""
    lines = [
        "| task | method | episodes per candidate | rollouts | within 5 % | median | the others (seed: % more) | "
        "seeds that lose against Ziegler & Nichols |",
        "| --- | --- | ---: | ---: | ---: | ---: | --- | --- |",
    ]
    part = table[table["trials"] == WITHIN].set_index(["task", "method", "each", "rollouts"])
    wanted = [
        (task, method, each, rollouts)
        for task, (method, counts) in itertools.product(PIDS, WITHIN_METHODS.items())
        for each, rollouts in itertools.product(counts, WITHIN_BUDGETS)
    ]
    for task, method, each, rollouts in wanted:
        group = part.xs((task, method, each, rollouts))
        known = TASKS[task].references
        best, rule = known["best known"], known["Ziegler & Nichols 1942"]
        returns, seeds = group["return"].to_numpy(), group["seed"].to_numpy()
        more = 100.0 * (best - returns) / abs(best)
        good = near(returns, best)
        others = ", ".join(f"{s}: {x:.0f}" for s, x in zip(seeds[~good], more[~good], strict=True)) or "none"
        lost = ", ".join(map(str, seeds[~(returns >= rule)])) or "none"
        lines.append(
            f"| {task} | {method} | {each} | {rollouts} | {good.sum()} of {good.size} | {np.median(more):+.1f} % | "
            f"{others} | {lost} |"
        )
    return "\n".join(lines)


def numbers(results: Mapping[str, Results]) -> pd.DataFrame:
    """A row per kind of trials, task and method: median and IQM of the regret, and the part of runs near the best."""
    out = []
    for (trials, found), (t, task), (m, method) in itertools.product(
        results.items(), enumerate(PROBLEMS), enumerate(METHODS)
    ):
        row: dict[str, Any] = {"trials": trials, "task": task, "method": method}
        for b, budget in enumerate(BUDGETS):
            kept = ~np.isnan(found.regrets[t, m, b])
            if kept.any():
                regrets = found.regrets[t, m, b][kept]
                row |= {
                    "seeds": int(kept.sum()),
                    f"median_{budget}": np.median(regrets),
                    f"iqm_{budget}": float(iqm(regrets)),
                    f"near_{budget}": found.near[t, m, b][kept].mean(),
                }
        out.append(row)
    return pd.DataFrame(out)


def best_seen(table: pd.DataFrame, seeds: int) -> str:
    """Scores of the default on one episode, as it is and if it recommended the best candidate seen."""
    swapped = table.assign(
        **{"return": table["seen"].where(table["method"].isin(list(METHODS)), table["return"])}
    )
    m, texts = list(METHODS).index(DEFAULT), []
    both = [Results.of(rows, ONE, CONTROLLERS, seeds) for rows in (table, swapped)]
    for b, budget in enumerate(BUDGETS):
        now, then = (score(results, m, b) for results in both)
        if now and then:
            texts.append(f"{then.regret:.3f} instead of {now.regret:.3f} after {budget} rollouts")
    return ", ".join(texts)


def picture(found: Mapping[str, Mapping[str, list[Score | None]]]) -> Any:
    """Scores over tasks with their intervals, a panel per kind of trials."""
    names = list(METHODS)
    with figure_of(1, len(found), 15.0, 5.8, sharey=True) as (figure, (panels,)):
        for axes, (title, rows) in zip(panels, found.items(), strict=True):
            for (m, name), (b, budget) in itertools.product(enumerate(names), enumerate(BUDGETS)):
                if (s := rows[name][b]) is not None:
                    y, label = m + 0.22 * (b - 1), f"{budget} rollouts" if m == 0 else None
                    axes.plot(s.interval, [y, y], color=COLOURS[b], lw=1.2)
                    axes.plot(s.regret, y, "o", color=COLOURS[b], ms=4, label=label)
            axes.axvline(1.0, color="0.6", lw=0.8, ls=":")
            axes.set_xscale("log")
            axes.set(xlabel="regret (dotted: the start)", title=title)
            axes.grid(axis="y", color="0.92", zorder=0)
        panels[0].set_yticks(range(len(names)), names)
        panels[0].invert_yaxis()
        figure.legend(
            *panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False
        )
        return figure


def page(table: pd.DataFrame, found: Mapping[str, Mapping[str, list[Score | None]]], seeds: int) -> str:
    """The text of default_method.md."""
    known = environment()
    packages = ("policysearch", "numpy", "scipy", "cma", "numba")
    parts = (f"## {title}\n\n{verdict(rows)}\n\n{overall_table(rows)}" for title, rows in found.items())
    by_task = (
        f"{trials.capitalize()}:\n\n{by_task_table(Results.of(table, trials, PROBLEMS, seeds))}"
        for trials in KINDS
    )
    return PAGE.format(
        command=shlex.join(["python", *sys.argv]),
        versions=", ".join(f"{name} {known[name]}" for name in packages),
        last=seeds - 1,
        slow=SLOW,
        slow_last=min(seeds, SLOW_SEEDS) - 1,
        count=len(CONTROLLERS),
        tasks=", ".join(CONTROLLERS),
        episodes=EPISODES,
        tables="\n\n".join(parts),
        seen=best_seen(table, seeds),
        compared=compared(found),
        by_task="\n\n".join(by_task),
        worse=worse(Results.of(table, NOISY, PROBLEMS, seeds)),
        within_episodes=WITHIN_EPISODES,
        within=within_table(table),
        factor=10.0 ** (4 * 0.3),
        small=10.0 ** (4 * 0.1),
    )


def main() -> None:
    """Run what is missing and write the table, the page and the picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--seeds", type=int, default=SEEDS, help=f"runs per task and method (default {SEEDS})"
    )
    parser.add_argument("--workers", type=int, default=1, help="processes; the numbers do not depend on it")
    parser.add_argument(
        "--runs",
        type=Path,
        default=Path("policysearch-results/default_method"),
        help="the folder of finished searches",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("results/controllers"), help="the folder of table, page and picture"
    )
    arguments = parser.parse_args()
    seeds, out = arguments.seeds, arguments.out
    table = runs(arguments.runs / "runs.csv", seeds, arguments.workers)
    noisy, one = (Results.of(table, trials, CONTROLLERS, seeds) for trials in KINDS)
    kinds = {
        "Noisy trials": noisy,
        f"Noisy trials without {CRASHING}": Results.of(
            table, NOISY, [task for task in CONTROLLERS if task != CRASHING], seeds
        ),
        "One episode, always the same": one,
        "Both kinds together": noisy + one,
    }
    found = {title: scores_of(results) for title, results in kinds.items()}
    out.mkdir(parents=True, exist_ok=True)
    rows = numbers({trials: Results.of(table, trials, PROBLEMS, seeds) for trials in KINDS})
    rows.to_csv(out / "default_method.csv", index=False, float_format="%.4g", lineterminator="\n")
    write_text(out / "default_method.md", page(table, found, seeds))
    picture(found).savefig(out / "default_method.png", dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    main()
