"""Protocol files: a session's plan as TOML, without what belongs to a person.

A file has the names of `PlanOptions`, `title` and `source` (text), and `warm_start`: folders of earlier sessions,
whose mean recommendation is where the search starts. Its name and SHA-256 are in the log. Those in `protocols/` are
part of the package and are known by their names.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import ValidationError

from policysearch.configuration import messages, read_toml
from policysearch.files import read_bytes
from policysearch.hitl import LOG
from policysearch.hitl.agenda import Bout
from policysearch.hitl.options import OwnParameter, PlanOptions
from policysearch.hitl.plan import SessionPlan
from policysearch.hitl.session import Session
from policysearch.hitl.view import SessionView
from policysearch.registry import did_you_mean

PACKAGED = Path(__file__).parent / "protocols"
#: What belongs to a person, and what a file says besides a plan.
PERSON = ("participant", "mass", "standing_rate", "seed", "sources")
TEXTS = ("title", "source")
NAMES = [name for name in PlanOptions.__dataclass_fields__ if name not in PERSON]
#: What cannot be checked without another option.
DEPENDENT = {"parameters": ("start", "reference", "other_laws", "validated"), "other_laws": ("validated",)}


@dataclass(frozen=True)
class Protocol:
    """What a file says.

    Attributes:
        said: options of the plan by name.
        warm_start: folders of earlier sessions.
        texts: title and source.
        sources: the file's SHA-256.
        wrong: a line for every mistake.
    """

    said: Mapping[str, Any]
    warm_start: Sequence[Path] = ()
    texts: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    wrong: Sequence[str] = ()


def packaged() -> list[str]:
    """The names of the protocols in the package."""
    return sorted(path.stem for path in PACKAGED.glob("*.toml"))


def read(name: str) -> Protocol:
    """The protocol in a file, or of the package."""
    path = PACKAGED / f"{name}.toml" if name in packaged() else Path(name)
    try:
        data, digest = read_toml(path), hashlib.sha256(read_bytes(path)).hexdigest()
    except OSError as error:
        here = f"or one of {', '.join(packaged())}"
        return Protocol({}, wrong=[f"{name}: expected a protocol file, {here}; {error.strerror or error}"])
    except ValueError as error:
        return Protocol({}, wrong=[f"{name}: {error}"])
    texts = {key: data.pop(key) for key in TEXTS if isinstance(data.get(key), str)}
    earlier, wrong = data.pop("warm_start", []), list[str]()
    if not isinstance(earlier, list) or not all(isinstance(each, str) for each in earlier):
        earlier, wrong = [], [f"warm_start: expected folders of earlier sessions, got {earlier!r}"]
    for key in [key for key in data if key not in NAMES]:
        hint = did_you_mean(key, [*NAMES, *TEXTS, "warm_start"], f"known are {', '.join(NAMES)}")
        of_person = "it belongs to a person; give it with the session"
        wrong.append(f"{key}: not an option of a protocol; {of_person if key in PERSON else hint}")
        del data[key]
    try:
        PlanOptions(**data)
    except ValidationError as error:
        wrong += messages(error, NAMES, {"parameters": [*OwnParameter.__annotations__]})
        for key in {str(finding["loc"][0]) for finding in error.errors()}:
            without(data, key)
    laws = {key: tuple(data[key]) for key in ("start", "reference") if key in data}
    folders = [path.parent / each for each in earlier]
    sources = {f"protocol {path.name}": digest}
    return Protocol(data | laws, folders, texts, sources, [f"{path.name}: {line}" for line in wrong])


def without(said: dict[str, Any], key: str) -> bool:
    """Take an option out, and what cannot be checked without it; whether it was there."""
    there = said.pop(key, None) is not None
    for other in DEPENDENT.get(key, ()):
        said.pop(other, None)
    if key == "reference" and (own := said.get("parameters")):  # there is no default to go on with
        said[key] = tuple((each["lower"] + each["upper"]) / 2.0 for each in own)
    return there or key in said


def warmed(plan: SessionPlan, folders: Sequence[Path]) -> SessionPlan:
    """The plan whose search starts at the mean of what earlier sessions recommend.

    Raises:
        ValueError: for a session without a complete generation, or with other parameters.
        CommandError: for one that cannot be read.
    """
    laws, sources = [], dict(plan.sources)
    for folder in folders:
        path = folder / LOG if folder.is_dir() else folder
        earlier = SessionView.of(path)
        if earlier.plan.laws.space.names != plan.laws.space.names:
            got = ", ".join(earlier.plan.laws.space.names)
            raise ValueError(
                f"warm_start: expected laws of {', '.join(plan.laws.space.names)}, got {got} in {path}"
            )
        if not earlier.is_optimized:
            raise ValueError(f"warm_start: expected a session with a complete generation, got {path}")
        laws.append(earlier.recommendation)
        sources[f"warm start {folder.name}"] = hashlib.sha256(path.read_bytes()).hexdigest()
    if not laws:
        return plan
    start = plan.laws.project(np.mean(laws, axis=0), plan.highest)
    return replace(plan, start=tuple(start.tolist()), sources=sources)


class PlannedBout(NamedTuple):
    """A bout of a dry run."""

    day: int
    bout: Bout


def dry_run(plan: SessionPlan) -> list[PlannedBout]:
    """All bouts of a session in which nothing goes wrong, with made-up rates."""
    session, found = Session.begin(plan), list[PlannedBout]()
    while session.next is not None:
        if session.day_is_over:
            session.another_day()
        bout = session.next
        found.append(PlannedBout(session.day, bout))
        if session.entering:
            session.confirm()
        if bout.is_measured:
            session.measured(plan.standing_rate + (0.0 if bout.purpose == "standing" else 3.0))
        else:
            session.walked()
    return found


def described(protocol: Protocol, plan: SessionPlan) -> list[str]:
    """A protocol in lines: laws, what is measured, days, and the order of the conditions."""
    lines = [
        *protocol.texts.values(),
        *(f"{what}, SHA-256 {digest}" for what, digest in plan.sources.items()),
        "",
    ]
    for parameter in plan.laws.space.parameters:
        bounds, also = (parameter.lower, parameter.upper), ""
        if parameter.unit == "N·m/kg":
            also = f" = {bounds[0] * plan.mass:g} to {bounds[1] * plan.mass:g} N·m for {plan.mass:g} kg"
        lines.append(f"  {parameter.name:20} {bounds[0]:g} to {bounds[1]:g} {parameter.unit}{also}".rstrip())
    name, unit, sign = plan.measured
    better = "higher" if sign > 0.0 else "lower"
    lines.append(
        f"  {name} ({unit}); {better} is better; {plan.optimizer}, {plan.bouts} bouts of {plan.minutes:g} min"
    )
    bouts = dry_run(plan)
    for day in sorted({each.day for each in bouts}):
        today = [each.bout for each in bouts if each.day == day]
        purposes = dict.fromkeys(bout.purpose for bout in today)
        words = (f"{sum(b.purpose == purpose for b in today)} × {purpose}" for purpose in purposes)
        lines.append(
            f"  day {day}: {sum(b.minutes for b in today):g} min, {len(today)} bouts: {', '.join(words)}"
        )
    conditions = dict.fromkeys(each.bout.condition for each in bouts if each.bout.condition)
    if conditions:
        once = "and back" if plan.reversal else "once"
        order = f"{plan.order}, shown as {plan.conditions}"
        lines.append(f"  validation: {', '.join(plan.validated)}, {once}; order: {order}")
    return lines
