"""Many simulated people, each with a session: what a study would have found, and what is true.

Every number comes twice. *Measured* is what the validation at the end of a session says, from noisy breaths; *true*
is the person's own landscape without noise and drift, which no study can see: as adapted as they are at the end of
the search ("true"), at the end of the session ("later"), after so many minutes of assisted walking as the arm says
("then"), or fully ("adapted"). *Claimed* is the best single estimate of the search, the winner's curse included; its
truth is that of its law when it was walked. Standing is known exactly here.
All reductions are in % of the net rate without torque.
"""

import contextlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from policysearch.evaluators.worker_process import Run
from policysearch.evaluators.workers import Lost, Told, Workers
from policysearch.exoskeleton.human import Levels, adapted_after
from policysearch.hitl.people import SimulatedPerson, walk_to_the_end
from policysearch.hitl.plan import SessionPlan
from policysearch.hitl.session import Session

FULLY: Levels = (1.0, 1.0)
QUANTITIES = ("measured", "true", "later", "then", "adapted", "claimed")  # in % less energy


@dataclass(frozen=True)
class StudyArm:
    """An arm of a study: a plan, and the people who follow it."""

    name: str
    plan: SessionPlan
    people: str = "zhang2017"  # of `policysearch.exoskeleton.human`
    person: dict[str, float] = field(default_factory=dict)  # parameters that all share, as in {"tau": 60.0}
    then: float = 64.0  # minutes of assisted walking


@dataclass(frozen=True, eq=False)
class SessionOutcome:
    """The outcome of one person's session."""

    row: dict[str, Any]
    curve: list[dict[str, Any]]  # after every bout of the search


def take_part(arm: StudyArm, number: int, seed: int = 0) -> SessionOutcome:
    """The session of person `number`; every arm of a study meets the same people."""
    key = (seed, "person", number)
    person = SimulatedPerson(arm.people, key, changes=arm.person)
    plan = replace(arm.plan, participant=str(number), seed=seed, standing_rate=person.person.standing_rate)
    session, walker, curve, levels = Session.begin(plan), person.walker, [], []
    for bout, _ in walk_to_the_end(session, person):
        if bout.purpose == "search":
            adapted = (walker.state.a, walker.state.aT)
            law = session.recommendation
            levels.append(adapted)
            curve.append(
                {
                    "arm": arm.name,
                    "participant": number,
                    "minutes": walker.state.minutes - plan.baseline,
                    "true": 100.0 * walker.true_reduction(law, adapted),
                    "reference": 100.0 * walker.true_reduction(plan.reference, adapted),
                }
            )
    return SessionOutcome(_row(arm, number, session, person, levels), curve)


def _row(
    arm: StudyArm, number: int, session: Session, person: SimulatedPerson, levels: list[Levels]
) -> dict[str, Any]:
    """The outcome of a session; `levels` are those at the end of each bout of the search."""
    walker, plan, law = person.walker, session.plan, session.recommendation
    searched = session.counted("search")
    lucky, when = min(zip(searched, levels, strict=True), key=lambda pair: pair[0].rate)
    stages = {
        "true": levels[-1],
        "later": (walker.state.a, walker.state.aT),
        "then": adapted_after(arm.then, person.person.a, person.person.aT),
        "adapted": FULLY,
    }
    truths = {}
    for stage, adapted in stages.items():
        laws: dict[str, Any] = {"": law, " reference": plan.reference, " best": walker.best_law(adapted)}
        for which, each in laws.items():
            truths[f"{stage}{which}"] = 100.0 * walker.true_reduction(each, adapted)
    found: Any = session.validation().set_index("condition")["reduction"] if plan.validation else {}
    return {
        "arm": arm.name,
        "participant": number,
        "bouts": len(searched),
        "minutes": plan.warm_up + sum(entry.minutes for entry in searched),
        "measured": found.get("optimized", np.nan),
        "measured reference": found.get("reference", np.nan),
        **truths,
        "claimed": session.reduction(lucky.rate),
        "claimed true": 100.0 * walker.true_reduction(lucky.law, when),
        **{f"law: {p}": value for p, value in zip(plan.space.names, law.tolist(), strict=True)},
    }


def outcomes(
    arms: Sequence[StudyArm], participants: int, seed: int = 0, workers: int = 1, first: int = 0
) -> Iterator[SessionOutcome]:
    """The outcomes of all people in all arms, one after the other in this order."""
    jobs = [(arm, number, seed) for number in range(first, first + participants) for arm in arms]
    if workers == 1:
        for job in jobs:
            with threadpool_limits(1):
                outcome = take_part(*job)
            yield outcome
        return
    found: dict[int, SessionOutcome] = {}
    crew: Workers[int] = Workers(_people, (), workers, ahead=2)
    with crew, contextlib.closing(crew.run(range(len(jobs)), payload=jobs.__getitem__)) as events:
        following = 0
        for event in events:
            if isinstance(event, Lost) and not event.again:
                arm, number, _ = jobs[event.task]
                raise RuntimeError(f"person {number} of {arm.name}: {event.reason}, {event.times} times")
            if isinstance(event, Told):
                found[event.task] = event.value
            while following in found:
                yield found.pop(following)
                following += 1


def _people() -> AbstractContextManager[Run]:
    """Sessions of simulated people, in a worker."""
    return contextlib.nullcontext(lambda job, _, __: take_part(*job))


def mean_and_interval(values: Sequence[float] | np.ndarray) -> tuple[float, float, float, float]:
    """Mean, standard deviation, and the ends of the 95 % t interval of the mean."""
    numbers = np.asarray(values, dtype=float)
    mean, sd = float(numbers.mean()), float(numbers.std(ddof=1)) if len(numbers) > 1 else float("nan")
    if np.isnan(sd):
        return mean, sd, sd, sd
    from scipy.special import stdtrit  # noqa: PLC0415 - takes a while

    half = float(stdtrit(len(numbers) - 1, 0.975)) * sd / np.sqrt(len(numbers))
    return mean, sd, mean - half, mean + half


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """A row per arm and quantity: mean and sd of people, interval of the mean."""
    quantities = [name for name in rows.columns if name.startswith(QUANTITIES)]
    lines = [
        (arm, name, len(part), *mean_and_interval(part[name].to_numpy()))
        for arm, part in rows.groupby("arm", sort=False)
        for name in quantities
        if part[name].notna().all()
    ]
    return pd.DataFrame(lines, columns=["arm", "quantity", "people", "mean", "sd", "low", "high"])
