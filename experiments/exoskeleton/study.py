"""Human-in-the-loop optimization of an exoskeleton, in simulation: seven questions around Zhang et al. 2017.

    python experiments/exoskeleton/study.py --out results/exoskeleton

    a  the protocol of 2017: 11 people, 64 minutes; measured by its own noisy validation, and in truth
    b  the same 64 minutes spent by other methods, from two starts, with two sizes of the first step
    c  novices: customize at once, train first, or not at all, at equal minutes; and experts
    d  bouts of 1 to 6 minutes, 64 minutes in all: noise against the number of laws
    e  people whose time constant of breathing is not what the estimator takes it for, and two methods
    f  2, 4, 8 and 22 parameters, from the generic law with the smaller step
    g  what the luckiest bout of the search would have claimed (with a)

Every arm of a question meets the same people. Nothing is tuned: a method that has a generation has one of 8 laws, as
CMA-ES in four dimensions, and a size of the first step (a standard deviation, a perturbation, an edge: what the
method makes of it differs) of 0.3 of each range (the default of CMA-ES; 0.2 and 0.3 are published) or half of that.
Writes CSV files for every question; page.py draws them and writes the page.
"""

import argparse
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import Progress
from torque_curves import NodeProfile, equivalent_law, with_generic_times

from policysearch.core import Array
from policysearch.exoskeleton import torque_profile
from policysearch.exoskeleton.human import Walker, adapted_after, draw_participant, fidelity
from policysearch.exoskeleton.respirometry import fit
from policysearch.exoskeleton.torque_law import GENERIC
from policysearch.hitl.plan import SessionPlan
from policysearch.hitl.simulate import SessionOutcome, StudyArm, mean_and_interval, outcomes, summary
from policysearch.optimizers import CMAES
from policysearch.search import AskTell
from policysearch.seeding import stream
from policysearch.space import Choice, Parameter, Space

SEED = 0
PEOPLE_OF_2017 = 11
SIZES = (0.3, 0.15)  # of each range
STARTS = {"centre": None, "generic": GENERIC}
MINUTES = 64
#: Of a generation, by the number of parameters, for question f: 32 bouts are whole generations.
LAWS = {2: 8, 4: 8, 8: 8, 22: 16}
#: Without validation: what is true is known, and only `a` asks what would be measured.
QUICK = SessionPlan(validation=0.0)


def methods(size: float) -> dict[str, tuple[str, dict[str, object]]]:
    """The methods whose first step has a size, and their hyperparameters."""
    return {
        "cma-es": ("cma-es", {"sigma": size}),
        "hill-climbing": ("hill-climbing", {"neighbours": 7, "sigma": size}),
        "cross-entropy": ("cross-entropy", {"population_size": 8, "elites": 4, "sigma": size}),
        "finite-difference": (
            "finite-difference",
            {"perturbations": 8, "epsilon": size, "step_size": 1.0},
        ),
        "spsa": (
            "spsa",
            {"c": size, "first_step": size, "max_step": size, "expected_iterations": 16},
        ),
        "nelder-mead": ("nelder-mead", {"edge": size}),
    }


def arms_of_methods() -> list[StudyArm]:
    """Question b."""
    arms = [
        StudyArm(f"{name} | {start} | {size:g}", replace(QUICK, optimizer=method, options=options, start=law))
        for size in SIZES
        for start, law in STARTS.items()
        for name, (method, options) in methods(size).items()
    ]
    free = replace(QUICK, optimizer="random-search", options={"population_size": 8})
    arms.append(StudyArm("random-search | ranges | none", free))
    if find_spec("optuna") is None or find_spec("torch") is None:
        print("without Bayesian optimization: pip install 'policysearch[bo]'", file=sys.stderr)
        return arms
    arms += [
        StudyArm(f"bayesian | {start} | none", replace(QUICK, optimizer="bayesian", start=law))
        for start, law in STARTS.items()
    ]
    return arms


def arms_of_training() -> list[StudyArm]:
    """Question c: 128 minutes for each person; people who customize at once keep their law afterwards."""
    arms = []
    for start, size in (("centre", 0.3), ("generic", 0.15)):
        plan = replace(QUICK, options={"sigma": size}, start=STARTS[start])
        for name, bouts, warm_up, people in (
            ("customize at once", 32, 0.0, "novice"),
            ("train 64 min, then customize", 32, 64.0, "novice"),
            ("customize for 128 min", 64, 0.0, "novice"),
            ("expert, customize", 32, 0.0, "expert"),
        ):
            changed = replace(plan, bouts=bouts, warm_up=warm_up)
            arms.append(StudyArm(f"{name} | {start} | {size:g}", changed, people, then=128.0))
    return arms


def arms_of_bout_lengths() -> list[StudyArm]:
    """Question d: generations of a size that fills the 64 minutes (60 with bouts of six minutes, 63 with three)."""
    return [
        StudyArm(
            f"{minutes} | {start} | {size:g}",
            replace(
                QUICK,
                minutes=float(minutes),
                bouts=MINUTES // minutes,
                start=STARTS[start],
                options={"sigma": size, "population_size": laws},
            ),
        )
        for start, size in (("centre", 0.3), ("generic", 0.15))
        for minutes, laws in {1: 8, 2: 8, 3: 7, 4: 8, 5: 6, 6: 5}.items()
    ]


def arms_of_time_constants() -> list[StudyArm]:
    """Question e: the person's τ, with the estimator's at 42 s."""
    plans = {
        "cma-es": QUICK,
        "nelder-mead": replace(QUICK, optimizer="nelder-mead", options={"edge": SIZES[0]}),
    }
    return [
        StudyArm(f"{tau} | {name}", plan, person={"tau": tau})
        for tau in (30.0, 42.0, 54.0, 66.0)
        for name, plan in plans.items()
    ]


# --------------------------------------------------------------------------------------- curves of other dimensions


def curves(d: int) -> tuple[Space, Callable[[Array], tuple[Array, float]]]:
    """The space of d parameters, and what makes of its values a law and how much of that law's effect is left.

    All start at the generic law, or at its curve through the nodes.
    """
    if d in (2, 4):
        space = starting_at(torque_profile.SPACE.parameters[:d], GENERIC[:d])
        return space, lambda values: (
            torque_profile.project(values if d == 4 else with_generic_times(values)),
            1.0,
        )
    profile = NodeProfile(4, timed=True) if d == 8 else NodeProfile(d)
    stride, free = np.linspace(0.0, 65.0, 261), profile.space().parameters
    heights = torque_profile.torque(np.array(GENERIC), profile.times).tolist()
    starts = [*heights, *(float(parameter.start) for parameter in free[len(heights) :])]

    def law(values: Array) -> tuple[Array, float]:
        equivalent = equivalent_law(stride, profile.torque(values, stride))
        return equivalent.law, fidelity(equivalent.rho)

    return starting_at(free, starts), law


def starting_at(parameters: Sequence[Parameter | Choice], values: Sequence[float]) -> Space:
    """The space of these parameters, with other starts."""
    pairs = zip(parameters, values, strict=True)
    return Space(tuple(replace(parameter, start=value) for parameter, value in pairs))


def customize_curve(job: tuple[int, int, int]) -> dict[str, float]:
    """Question f: d parameters, so many minutes, this person; CMA-ES with generations that fill them."""
    d, minutes, number = job
    key = (SEED, "person", number)
    walker = Walker.start(draw_participant(stream(*key, "person"), "zhang2017"), stream(*key, "start"))
    space, law_of = curves(d)
    method = CMAES(sigma=SIZES[1], population_size=LAWS[d])
    search, bouts = AskTell(method, space.domain, SEED, "curve", d, number), 0
    while not search.finished and bouts + LAWS[d] <= minutes // 2:
        returns = []
        for values in space.decode(search.ask().params):
            law, shape = law_of(values)
            breaths = walker.walk(law, 120.0, stream(*key, "bout", bouts), shape)
            returns.append(-fit(breaths).rate)
            bouts += 1
        search.tell(returns)
    (law, shape), (start, start_shape) = (
        law_of(space.decode(x)) for x in (search.recommendation, space.domain.start)
    )
    adapted = adapted_after(float(minutes))
    return {
        "parameters": d,
        "minutes": minutes,
        "participant": number,
        "bouts": bouts,
        "start": 100.0 * walker.true_reduction(start, adapted, start_shape),
        "true": 100.0 * walker.true_reduction(law, adapted, shape),
        "reference": 100.0 * walker.true_reduction(GENERIC, adapted),
    }


# ---------------------------------------------------------------------------------------------------- the questions


def watched(found: Iterable[SessionOutcome], total: int, title: str) -> Iterator[SessionOutcome]:
    """The outcomes, with a progress bar."""
    with Progress(console=Console(file=sys.stderr)) as progress:
        yield from progress.track(found, total=total, description=title)


def people(arms: list[StudyArm], count: int, workers: int, title: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows of all people in all arms, and their curves."""
    found = list(watched(outcomes(arms, count, SEED, workers), count * len(arms), title))
    return pd.DataFrame([o.row for o in found]), pd.DataFrame([point for o in found for point in o.curve])


def write(table: pd.DataFrame, path: Path) -> None:
    """A table with four decimals, which is more than is known."""
    table.to_csv(path, index=False, lineterminator="\n", float_format="%.4f")


def protocol_of_2017(out: Path, count: int, workers: int) -> None:
    """Questions a and g: many studies of 11 people."""
    rows, curve = people(
        [StudyArm("2017", SessionPlan())], count * PEOPLE_OF_2017, workers, "a, g: the protocol of 2017"
    )
    rows["study"] = rows["participant"] // PEOPLE_OF_2017
    write(summary(rows.drop(columns="study")), out / "a_people.csv")
    kinds = [
        "measured",
        "measured reference",
        "true",
        "true reference",
        "true best",
        "later",
        "later reference",
        "claimed",
        "claimed true",
    ]
    studies = rows.groupby("study")[kinds].agg(["mean", "std"])
    studies.columns = pd.Index([" ".join(column) for column in studies.columns])
    write(studies.reset_index(), out / "a_studies.csv")
    write(rows[rows["study"] == 0], out / "a_first_study.csv")
    write(means(curve), out / "a_curve.csv")


def means(curve: pd.DataFrame) -> pd.DataFrame:
    """The mean over people of every point of the curves, with its interval."""
    lines = []
    for names, part in curve.round({"minutes": 6}).groupby(["arm", "minutes"], sort=False):
        arm, minutes = tuple(names)
        mean, _, low, high = mean_and_interval(part["true"].to_numpy())
        line = {"arm": arm, "minutes": minutes, "people": len(part), "true": mean, "low": low, "high": high}
        lines.append(line | {"reference": part["reference"].mean()})
    return pd.DataFrame(lines)


def method_question(out: Path, count: int, workers: int) -> None:
    """Question b."""
    rows, curve = people(arms_of_methods(), count, workers, "b: methods")
    write(summary(rows), out / "b_methods.csv")
    write(paired(rows, "true", "true reference"), out / "b_against_generic.csv")
    write(means(curve), out / "b_curves.csv")


def paired(rows: pd.DataFrame, name: str, against: str) -> pd.DataFrame:
    """The mean difference of two quantities over people, with its interval, per arm."""
    lines = []
    for arm, part in rows.groupby("arm", sort=False):
        mean, sd, low, high = mean_and_interval((part[name] - part[against]).to_numpy())
        better = float((part[name] > part[against]).mean())
        lines.append({"arm": arm, "difference": mean, "sd": sd, "low": low, "high": high, "better": better})
    return pd.DataFrame(lines)


def training_question(out: Path, count: int, workers: int) -> None:
    """Question c; what is true is evaluated after 128 minutes of walking, and fully adapted."""
    rows, _ = people(arms_of_training(), count, workers, "c: training")
    write(summary(rows), out / "c_training.csv")
    write(paired(rows, "then", "then reference"), out / "c_against_generic.csv")
    write(paired(rows, "adapted", "adapted reference"), out / "c_against_generic_adapted.csv")


def simple_question(
    arms: list[StudyArm], standard: str, name: str, title: str
) -> Callable[[Path, int, int], None]:
    """A question whose answer is the true reduction per arm, also against the arm of the same kind at a standard."""

    def ask(out: Path, count: int, workers: int) -> None:
        rows, _ = people(arms, count, workers, title)
        write(summary(rows), out / f"{name}.csv")
        then = rows.pivot(index="participant", columns="arm", values="then")
        other = [f"{standard} | {arm.partition(' | ')[2]}" for arm in rows["arm"]]
        places = zip(rows["participant"], other, strict=True)
        rows["standard"] = [then.loc[number, arm] for number, arm in places]
        write(paired(rows, "then", "standard"), out / f"{name}_against_{standard.rstrip('.0')}.csv")

    return ask


def dimension_question(out: Path, count: int, workers: int) -> None:
    """Question f."""
    jobs = [(d, minutes, n) for minutes in (64, 256) for d in (2, 4, 8, 22) for n in range(count)]
    context = multiprocessing.get_context("forkserver")
    with (
        ProcessPoolExecutor(workers, context) as pool,
        Progress(console=Console(file=sys.stderr)) as progress,
    ):
        found = pool.map(customize_curve, jobs, chunksize=8)
        rows = pd.DataFrame(progress.track(found, total=len(jobs), description="f: dimensions"))
    lines = []
    for names, part in rows.groupby(["minutes", "parameters"], sort=False):
        minutes, d = tuple(names)
        line = {"minutes": minutes, "parameters": d, "people": len(part), "bouts": part["bouts"].mean()}
        for name in ("start", "true", "reference"):
            mean, sd, low, high = mean_and_interval(part[name].to_numpy())
            line |= {name: mean, f"{name} sd": sd, f"{name} low": low, f"{name} high": high}
        lines.append(line)
    write(pd.DataFrame(lines), out / "f_dimensions.csv")


QUESTIONS: dict[
    str, tuple[Callable[[Path, int, int], None], int]
] = {  # and how many people, or studies of 11
    "a": (protocol_of_2017, 200),
    "b": (method_question, 200),
    "c": (training_question, 400),
    "d": (simple_question(arms_of_bout_lengths(), "2", "d_bout_lengths", "d: length of bouts"), 400),
    "e": (simple_question(arms_of_time_constants(), "42.0", "e_time_constants", "e: time constants"), 400),
    "f": (dimension_question, 400),
}


def main() -> None:
    """Ask the questions."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the tables go")
    parser.add_argument(
        "--questions", default="abcdef", metavar="LETTERS", help="which (default: all; g is with a)"
    )
    parser.add_argument("--people", type=int, metavar="N", help="per question, instead of its own number")
    parser.add_argument(
        "--workers", type=int, default=2, metavar="W", help="processes (default 2); no number depends on it"
    )
    arguments = parser.parse_args()
    if unknown := set(arguments.questions) - set(QUESTIONS):
        parser.error(f"--questions: expected letters of {''.join(QUESTIONS)}, got {''.join(sorted(unknown))}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    for letter in arguments.questions:
        ask, count = QUESTIONS[letter]
        began = time.monotonic()
        ask(arguments.out, arguments.people or count, arguments.workers)
        print(f"{letter}: {time.monotonic() - began:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
