"""Draw what study.py found, and write the page: pictures, one person's session, README.md.

    python experiments/exoskeleton/page.py results/exoskeleton

Reads the tables of study.py and calibration.py in that folder. The words are in findings.md; sentences that depend on
the numbers are made by session_sentences.py.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import session_sentences as sentences

import policysearch
from policysearch.exoskeleton.respirometry import TAU
from policysearch.files import write_text
from policysearch.hitl import plots
from policysearch.hitl import report as session_report
from policysearch.hitl.log import PACKAGES
from policysearch.hitl.people import SimulatedPerson, walk_next
from policysearch.hitl.plan import SessionPlan
from policysearch.hitl.session import Session
from policysearch.provenance import versions
from policysearch.reporting.figures import COLOURS, figure_of, svg, write_png

PUBLISHED, PUBLISHED_SD = (
    24.2,
    7.4,
)  # % less net energy, mean and sd of 11 people (Zhang et al. 2017, abstract)
LESS = "% less energy than without torque"
SHOWN = ("centre | 0.3", "generic | 0.15")
WORDS = {"centre": "the centre of the ranges", "generic": "the generic law"}
SEED, PERSON = 0, 0


def save(figure: Any, out: Path, name: str) -> None:
    """A figure as SVG and PNG."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    write_text(out / f"{name}.svg", svg(figure, name))
    write_png(out / f"{name}.png", figure)


def methods_over_minutes(out: Path) -> None:
    """Energy against minutes for every method."""
    curves = pd.read_csv(out / "b_curves.csv")
    parts = curves["arm"].str.split(" | ", regex=False, expand=True)
    curves = curves.assign(method=parts[0], where=parts[1] + " | " + parts[2])
    with figure_of(1, 2, 11.0, 4.6, sharey=True) as (figure, (axes,)):
        for axis, where in zip(axes, SHOWN, strict=True):
            start, _, size = where.partition(" | ")
            shown = curves[curves["where"].isin([where, f"{start} | none", "ranges | none"])]
            shown = shown[shown["people"] == shown["people"].max()]
            for i, (method, part) in enumerate(shown.groupby("method", sort=False)):
                style = {"color": COLOURS[i % len(COLOURS)], "linestyle": "-" if i < len(COLOURS) else "--"}
                axis.plot(part["minutes"], part["true"], label=method, **style)
                axis.fill_between(
                    part["minutes"], part["low"], part["high"], color=style["color"], alpha=0.12, lw=0
                )
            reference = shown[shown["method"] == "cma-es"]
            axis.plot(
                reference["minutes"], reference["reference"], color="0.3", ls=":", lw=2.0, label="generic law"
            )
            axis.set_title(f"from {WORDS[start]}, first step {size} of the ranges", fontsize=9)
            axis.set_xlabel("minutes of the search")
        axes[0].set_ylabel(f"true reduction now, {LESS}")
        axes[1].legend(fontsize=8, frameon=False, loc="lower right", ncols=2)
        save(figure, out, "methods")


def participants(out: Path) -> None:
    """The eleven people of the first study, one by one."""
    rows = pd.read_csv(out / "a_first_study.csv").sort_values("true best")
    with figure_of(1, 1, 7.5, 4.0) as (figure, ((axis,),)):
        x = range(len(rows))
        axis.vlines(x, rows["true reference"], rows["true best"], color="0.85", lw=6, zorder=0)
        axis.plot(x, rows["true best"], "_", color="0.4", ms=14, label="best law of this person, true")
        axis.plot(x, rows["true reference"], "D", color=COLOURS[1], ms=5, label="generic law, true")
        axis.plot(x, rows["true"], "o", color=COLOURS[0], ms=6, label="optimized, true")
        axis.plot(x, rows["measured"], "o", mfc="none", color=COLOURS[0], ms=9, label="optimized, measured")
        axis.plot(x, rows["claimed"], "x", color=COLOURS[3], ms=6, label="best bout of the search, claimed")
        axis.set_xticks(list(x), [f"{n}" for n in rows["participant"]])
        axis.set(xlabel="participant", ylabel=LESS)
        axis.axhline(0.0, color="0.8", lw=0.8)
        axis.legend(fontsize=7.5, frameon=False, loc="best")
        save(figure, out, "participants")


def studies(out: Path) -> None:
    """What many studies of eleven people would have reported."""
    rows = pd.read_csv(out / "a_studies.csv")
    with figure_of(1, 1, 6.0, 4.0) as (figure, ((axis,),)):
        for name, label, colour, mark in (
            ("measured", "optimized, as each study measures it", COLOURS[0], "o"),
            ("measured reference", "generic law, as each study measures it", COLOURS[1], "D"),
        ):
            axis.plot(
                rows[f"{name} mean"], rows[f"{name} std"], mark, color=colour, ms=3.5, alpha=0.5, label=label
            )
        axis.plot([PUBLISHED], [PUBLISHED_SD], "*", color="k", ms=14, label="Zhang et al. 2017: 24.2 ± 7.4 %")
        axis.set(xlabel=f"mean of 11 people, {LESS}", ylabel="standard deviation of 11 people, points")
        axis.legend(fontsize=8, frameon=False, loc="upper left")
        axis.set_ylim(0.0, axis.get_ylim()[1] * 1.25)
        save(figure, out, "studies")


def interval(axis: Any, rows: pd.DataFrame, x: Any, **style: Any) -> None:
    """Means with their intervals."""
    errors = [rows["mean"] - rows["low"], rows["high"] - rows["mean"]]
    axis.errorbar(x, rows["mean"], errors, **{"fmt": "o", "ms": 5, "capsize": 2, "lw": 1.2} | style)


def trade_offs(out: Path) -> None:
    """Length of bouts, time constants, dimensions."""
    with figure_of(1, 3, 12.0, 3.9) as (figure, (axes,)):
        lengths = of_arms(pd.read_csv(out / "d_bout_lengths.csv").query("quantity == 'then'"))
        for start, colour in zip(("centre", "generic"), COLOURS, strict=False):
            part = lengths[lengths["second"] == start]
            interval(axes[0], part, part["first"].astype(float), color=colour, label=f"from {WORDS[start]}")
        axes[0].set(xlabel="minutes of a bout, 64 in all", ylabel="true reduction after the search, %")
        taus = of_arms(pd.read_csv(out / "e_time_constants.csv").query("quantity == 'then'"))
        for method, colour in (("cma-es", COLOURS[0]), ("nelder-mead", COLOURS[5])):
            part = taus[taus["second"] == method]
            shift = 0.4 if method == "cma-es" else -0.4
            interval(axes[1], part, part["first"].astype(float) + shift, color=colour, label=method)
        axes[1].set(xlabel="the person's time constant, s (the estimator has 42 s)")
        sizes = pd.read_csv(out / "f_dimensions.csv")
        for (minutes, part), colour in zip(sizes.groupby("minutes"), COLOURS, strict=False):
            named = part.rename(columns={"true": "mean", "true low": "low", "true high": "high"})
            interval(axes[2], named, part["parameters"], color=colour, label=f"{minutes} minutes")
        axes[2].set_xscale("log")
        axes[2].set_xticks([2, 4, 8, 22], ["2", "4", "8", "22"])
        axes[2].minorticks_off()
        axes[2].set(xlabel="parameters of the torque curve")
        for axis in axes:
            axis.legend(fontsize=8, frameon=False)
            axis.set_ylim(bottom=0.0)
        save(figure, out, "trade_offs")


def of_arms(rows: pd.DataFrame) -> pd.DataFrame:
    """The parts of an arm's name in columns of their own."""
    parts = rows["arm"].str.split(" | ", regex=False, expand=True)
    names = ("first", "second", "third")
    return rows.assign(**{name: parts[i] for i, name in enumerate(names) if i in parts})


def training(out: Path) -> None:
    """Novices who customize at once, later, or not at all."""
    rows = of_arms(pd.read_csv(out / "c_training.csv"))
    with figure_of(1, 2, 11.0, 3.9, sharey=True) as (figure, (axes,)):
        for axis, (quantity, title) in zip(
            axes, (("then", "after 128 minutes of walking"), ("adapted", "fully adapted")), strict=True
        ):
            for start, colour, mark in (("centre", COLOURS[0], "o"), ("generic", COLOURS[1], "D")):
                part = rows[(rows["quantity"] == quantity) & (rows["second"] == start)]
                x = [i + (0.12 if start == "generic" else -0.12) for i in range(len(part))]
                interval(axis, part, x, color=colour, fmt=mark, label=f"search from {WORDS[start]}")
            generic = rows[(rows["quantity"] == f"{quantity} reference") & (rows["second"] == "centre")]
            axis.plot(
                range(len(generic)),
                generic["mean"],
                "_",
                color="0.4",
                ms=26,
                label="generic law all the time",
            )
            axis.set_xticks(
                range(len(generic)), [name.replace(", ", ",\n") for name in generic["first"]], fontsize=8
            )
            axis.set_title(title, fontsize=9)
        axes[0].set_ylabel(f"true reduction, {LESS}")
        axes[0].legend(fontsize=8, frameon=False)
        save(figure, out, "training")


def one_session(out: Path) -> Session:
    """The session of one simulated person of question a, and its report."""
    key = (SEED, "person", PERSON)
    person = SimulatedPerson("zhang2017", key)
    plan = SessionPlan(participant=str(PERSON), seed=SEED, standing_rate=person.person.standing_rate)
    session = Session.begin(plan, clock=lambda: 0.0)
    while session.next is not None:
        walk_next(session, person)
    folder = out / "session"
    folder.mkdir(exist_ok=True)
    session_report.write(session, folder)
    for name, figure in (
        ("law", plots.law_over_stride(session)),
        ("narrowing", plots.narrowing(session)),
        ("breaths", plots.breaths_with_fit(next(e for e in session.entries if e.purpose == "search"), TAU)),
    ):
        write_png(folder / f"{name}.png", figure)
    return session


# -------------------------------------------------------------------------------------------------------- the page


def mean(rows: pd.DataFrame, arm: str, quantity: str) -> str:
    """A mean with its interval, in words."""
    row = rows[(rows["arm"] == arm) & (rows["quantity"] == quantity)].iloc[0]
    return f"{row['mean']:.1f} ({row['low']:.1f} … {row['high']:.1f})"


def table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(header) + " |", "| --- |" + " ---: |" * (len(header) - 1)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def table_of_2017(out: Path) -> str:
    """Question a."""
    people, made = pd.read_csv(out / "a_people.csv"), pd.read_csv(out / "a_studies.csv")
    rows = []
    labels = {
        "measured": "optimized, as measured",
        "true": "optimized, true at the end of the search",
        "later": "optimized, true at the end of the validation",
        "measured reference": "generic law, as measured",
        "true reference": "generic law, true at the end of the search",
        "later reference": "generic law, true at the end of the validation",
        "true best": "best law of each person, true",
        "claimed": "best bout of the search, as estimated",
        "claimed true": "the law of that bout, true when it was walked",
    }
    for name, label in labels.items():
        row = people[people["quantity"] == name].iloc[0]
        low, high = made[f"{name} mean"].quantile([0.025, 0.975])
        sd_low, sd_high = made[f"{name} std"].quantile([0.025, 0.975])
        rows.append(
            [
                label,
                f"{row['mean']:.1f} ± {row['sd']:.1f}",
                f"{low:.1f} … {high:.1f}",
                f"{sd_low:.1f} … {sd_high:.1f}",
            ]
        )
    rows.append(["Zhang et al. 2017, optimized, as measured", f"{PUBLISHED} ± {PUBLISHED_SD}", "", ""])
    header = [
        "% less energy than without torque",
        "mean ± sd of people",
        "means of 95 % of the studies",
        "their sd",
    ]
    return table(header, rows)


def table_of_methods(out: Path) -> str:
    """Question b."""
    rows = pd.read_csv(out / "b_methods.csv")
    columns = [f"{start} | {size}" for start in WORDS for size in ("0.3", "0.15")]
    arms = rows["arm"].unique()
    names = list(dict.fromkeys(arm.split(" | ")[0] for arm in arms if not arm.endswith("none")))
    lines = [[f"`{n}`", *(mean(rows, f"{n} | {column}", "true") for column in columns)] for n in names]
    lines.sort(key=lambda line: -float(line[1].split()[0]))
    if "bayesian | centre | none" in arms:
        found = [mean(rows, f"bayesian | {start} | none", "true") for start in WORDS]
        lines.append(["`bayesian` (no size)", found[0], "", found[1], ""])
    found = [mean(rows, "random-search | ranges | none", "true")]
    lines.append(["`random-search` (no start, no size)", *found, "", "", ""])
    generic = mean(rows, f"{names[0]} | centre | 0.3", "true reference")
    best = mean(rows, f"{names[0]} | centre | 0.3", "true best")
    lines += [
        ["generic law, no minutes of search", generic, "", "", ""],
        ["best law of each person", best, "", "", ""],
    ]
    return table(["method", "centre, 0.3", "centre, 0.15", "generic law, 0.3", "generic law, 0.15"], lines)


def table_of_training(out: Path) -> str:
    """Question c."""
    rows = pd.read_csv(out / "c_training.csv")
    against = pd.read_csv(out / "c_against_generic_adapted.csv").set_index("arm")
    lines = []
    for arm in rows["arm"].unique():
        name, start, size = arm.split(" | ")
        gap = against.loc[arm]
        lines.append(
            [
                f"{name}, from {WORDS[start]} ({size})",
                *(mean(rows, arm, q) for q in ("then", "then reference", "adapted", "adapted reference")),
                f"{gap['difference']:+.1f} ({gap['low']:+.1f} … {gap['high']:+.1f})",
            ]
        )
    header = [
        "who and how",
        "after 128 min",
        "generic law then",
        "fully adapted",
        "generic law then",
        "difference",
    ]
    return table(header, lines)


def table_of_arms(out: Path, file: str, names: tuple[str, ...], header: list[str]) -> str:
    """Questions d and e: a row per first part of the arms' names, a column per second."""
    rows = of_arms(pd.read_csv(out / file).query("quantity == 'then'"))
    lines = []
    for first in rows["first"].unique():
        part = rows[rows["first"] == first].set_index("second")
        cells = [
            f"{r['mean']:.1f} ({r['low']:.1f} … {r['high']:.1f})" for _, r in part.loc[list(names)].iterrows()
        ]
        lines.append([first, *cells])
    return table(header, lines)


def table_of_dimensions(out: Path) -> str:
    """Question f."""
    lines = [
        [
            f"{row['parameters']:.0f}", f"{row['minutes']:.0f}", f"{row['bouts']:.0f}", f"{row['start']:.1f}",
            f"{row['true']:.1f} ({row['true low']:.1f} … {row['true high']:.1f})", f"{row['reference']:.1f}",
        ]
        for _, row in pd.read_csv(out / "f_dimensions.csv").iterrows()
    ]  # fmt: skip
    return table(["parameters", "minutes", "bouts", "start", "after the search", "generic law then"], lines)


def share(which: "pd.Series[bool]") -> str:
    """A part in %."""
    return f"{100.0 * which.mean():.0f}"


def main() -> None:
    """Draw and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, metavar="DIR", help="the folder of study.py and calibration.py")
    out = parser.parse_args().out
    wanted = [
        "a_people", "a_studies", "a_first_study", "b_methods", "b_curves", "b_against_generic", "c_training",
        "c_against_generic_adapted", "d_bout_lengths", "d_bout_lengths_against_2", "e_time_constants",
        "e_time_constants_against_42", "f_dimensions",
    ]  # fmt: skip
    if missing := [f"{name}.csv" for name in wanted if not (out / f"{name}.csv").is_file()]:
        parser.error(f"{out}: expected {', '.join(missing)}; run study.py and calibration.py first")
    for draw in (methods_over_minutes, participants, studies, trade_offs, training):
        print(f"drawing {draw.__name__}", file=sys.stderr)
        draw(out)
    one_session(out)
    write_text(out / "README.md", page(out))


def claims(out: Path) -> dict[str, str]:
    """The sentences that the tables decide."""
    methods, gaps = pd.read_csv(out / "b_methods.csv"), pd.read_csv(out / "b_against_generic.csv")
    adapted = pd.read_csv(out / "c_against_generic_adapted.csv")
    rows = methods[methods["arm"] == "cma-es | centre | 0.3"].set_index("quantity")["mean"]
    return {
        "start_or_method": sentences.start_or_method(methods),
        "from_centre": sentences.against_generic(gaps, "centre"),
        "from_generic": sentences.against_generic(gaps, "generic", "0.15"),
        "room": f"{rows['true best'] - rows['true reference']:.1f}",
        "apart": sentences.apart(methods),
        "steps": sentences.steps(methods),
        "bayesian": sentences.without_size(gaps, "bayesian"),
        "random": sentences.without_size(gaps, "random-search"),
        "early_centre": sentences.backfires(adapted, "centre"),
        "early_generic": sentences.backfires(adapted, "generic"),
        "bouts": sentences.lengths(pd.read_csv(out / "d_bout_lengths_against_2.csv")),
        "constants": sentences.time_constants(pd.read_csv(out / "e_time_constants_against_42.csv")),
        "sizes": sentences.dimensions(pd.read_csv(out / "f_dimensions.csv")),
    }


def page(out: Path) -> str:
    """README.md."""
    words = Path(__file__).with_name("findings.md").read_text(encoding="utf-8")
    starts = ("centre", "generic")
    people = pd.read_csv(out / "a_people.csv").set_index("quantity")["mean"]
    made = pd.read_csv(out / "a_studies.csv")
    made_with = {"policysearch": policysearch.__version__, **versions(*PACKAGES)}
    return words.format(
        below=share(made["measured mean"] < PUBLISHED),
        narrower=share(made["measured std"] < PUBLISHED_SD),
        generic_or_search=sentences.generic_or_search(
            pd.read_csv(out / "a_people.csv"), share(made["measured mean"] > made["measured reference mean"])
        ),
        versions=", ".join(f"{name} {number}" for name, number in made_with.items()),
        claimed=f"{people['claimed']:.1f}",
        claimed_true=f"{people['claimed true']:.1f}",
        protocol=table_of_2017(out),
        methods=table_of_methods(out),
        training=table_of_training(out),
        lengths=table_of_arms(
            out, "d_bout_lengths.csv", starts, ["minutes of a bout", *(f"from {WORDS[s]}" for s in starts)]
        ),
        taus=table_of_arms(
            out,
            "e_time_constants.csv",
            ("cma-es", "nelder-mead"),
            ["the person's τ, s", "`cma-es`", "`nelder-mead`"],
        ),
        dimensions=table_of_dimensions(out),
        **claims(out),
    )


if __name__ == "__main__":
    main()
