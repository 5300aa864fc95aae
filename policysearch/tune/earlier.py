"""Earlier tries as they come: a table, a CSV file, the folder of a tuning, or points from Python.

Each try needs the value of every parameter under its name, and its return under `return`; other columns are ignored.
An empty return is a failure. Tries that this tuning could not make itself are left out and counted: those outside its
bounds, with other values of its fixed parameters, or that break its constraints. Those that break constraints on
outputs, which are columns then, count as failures.

A ledger holds no parameters, so its search is replayed: the method is asked again, and answered from the record.
"""

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pandas as pd

from policysearch.core import Evaluation, Proposal
from policysearch.evaluators import FunctionEvaluator
from policysearch.evaluators.functions import sign_of
from policysearch.evaluators.recorded import Recorded, ReplayDiffers
from policysearch.ledger import read
from policysearch.optimizers import build
from policysearch.optimizers.constrained import Outputs
from policysearch.parameters import parameter_of
from policysearch.search import Budget, generations
from policysearch.seeding import Key
from policysearch.space import Choice, Parameter, Space
from policysearch.tune import tries
from policysearch.tune.bodies import body_of
from policysearch.tune.journal import NAME, Event, Journal, OtherRequest, in_force
from policysearch.tune.known import KnownTries
from policysearch.tune.prepared import around, asked
from policysearch.tune.records import Measurement
from policysearch.tune.tuning import Tuning

Row = Mapping[str, Any]
#: The table that the command line writes next to the ledger.
HISTORY = "history.csv"
#: Cells of a CSV file that are no numbers; an empty one is none.
WORDS: dict[Any, Any] = {
    "True": True, "true": True, "False": False, "false": False, "": math.nan, None: math.nan,
}  # fmt: skip


def begun_from(tuning: Tuning, journal: Journal, source: Any) -> Tuning:
    """The tuning with the earlier tries of its ledger, or else those of `source`, which are then written there.

    Raises:
        ValueError: for a source that cannot be read, or that is of another space.
        OtherRequest: if the ledger holds a search that began otherwise.
    """
    recorded = [KnownTries.from_document(body, tuning.space) for _, body in journal.of("known")]
    given = None if source is None else tries_of(source, tuning)
    if recorded and (given is None or given.text == recorded[0].text):
        given = recorded[0]
    elif recorded or (given is not None and journal.rollouts):
        held = (
            f"begun from {len(recorded[0].tries)} earlier tries"
            if recorded
            else "begun without earlier tries"
        )
        raise OtherRequest(
            f"known: the folder holds a search {held}, not with those given now; choose another folder with --out, "
            "--fresh to start over, or leave out --from to continue it"
        )
    elif given is not None:
        journal.write("known", given.document())
    return tuning if given is None else replace(tuning, known=given)


def tries_of(source: Any, tuning: Tuning) -> KnownTries:
    """The tries of a source that this tuning could have made.

    Raises:
        ValueError: if it cannot be read, or none of it could be.
    """
    name, rows = _rows(source)
    space, names = tuning.space, tuning.space.names
    found = list(dict.fromkeys(column for row in rows for column in row))
    if missing := [column for column in names if any(column not in row for row in rows)]:
        got = ", ".join(map(str, found)) or "nothing"
        raise ValueError(
            f"known: expected a value for every parameter ({', '.join(names)}), got {got} in {name}, without "
            f"{', '.join(missing)}: are these tries of another controller?"
        )
    if len(rows) > 1 and "return" not in found:
        raise ValueError(
            f"known: expected what each of {len(rows)} tries gave, called return, got none in {name}"
        )
    constraints = FunctionEvaluator(lambda params, seed: 0.0, space, **asked(tuning.settings))
    kept, reasons = list[tuple[dict[str, Any], float]](), list[str]()
    for row in rows:
        values = {column: _plain(row[column]) for column in names}
        reason = next(filter(None, (_outside(p, values[p.name]) for p in space.parameters)), "")
        if reason := reason or constraints.broken(values):
            reasons.append(reason)
        else:
            kept.append((values, math.nan if _breaks(tuning, row) else _number(row.get("return"), name)))
    if not kept:
        why = f"none of {len(rows)} could be made here, first: {reasons[0]}" if reasons else "none"
        raise ValueError(f"known: expected tries within the bounds of this tuning, got {name}: {why}")
    return KnownTries.of(name, kept, space, len(reasons))


def _breaks(tuning: Tuning, row: Row) -> bool:
    """Whether a try breaks constraints on outputs, so that it counts as a failure.

    Raises:
        ValueError: if the row does not have what they need.
    """
    numbers = {name: x for name, given in row.items() if isinstance(x := _plain(given), int | float)}
    metrics = {str(name): np.array([[float(x)]]) for name, x in numbers.items()}
    return bool(Outputs(tuning.outputs.texts).broken(metrics, 1)[0] != 0)


def _rows(source: Any) -> tuple[str, Sequence[Row]]:
    """What a source is called, and its tries.

    Raises:
        ValueError: if it cannot be read.
    """
    table = getattr(source, "history", source)  # of a result
    if isinstance(table, pd.DataFrame):
        return "a table", table.to_dict("records")  # type: ignore[return-value]
    if isinstance(source, Mapping):
        return "a point", [source]
    if not isinstance(source, str | Path):
        points = list(source) if isinstance(source, Sequence) else []
        if not points or not all(isinstance(point, Mapping) for point in points):
            raise ValueError(
                f"known: expected a file, a folder, a table, or points by name, got {source!r:.80}"
            )
        return "points", points
    path = Path(source)
    ledger = path / NAME if path.is_dir() else path
    try:
        if ledger.suffix == Path(NAME).suffix and ledger.exists():
            return str(path), list(_of_ledger(ledger))
        path = path / HISTORY if path.is_dir() else path
        with path.open(encoding="utf-8-sig", newline="") as file:
            return str(source), [_read(row) for row in csv.DictReader(file)]
    except OSError as error:
        raise ValueError(f"known: cannot read {path}: {error.strerror or error}") from error
    except (UnicodeDecodeError, csv.Error, LookupError, TypeError) as error:
        raise ValueError(f"known: cannot read {path}: {error}") from error


def _read(row: Row) -> Row:
    """A row of a CSV file, in which what looks like a number or a truth value is one; what is empty is NaN."""
    return {name: _cell(text) for name, text in row.items() if name is not None}


def _cell(text: Any) -> Any:
    if text in WORDS:
        return WORDS[text]
    with suppress(ValueError):
        return float(text)
    return text


def _of_ledger(path: Path) -> Iterator[Row]:
    """The tries of a tuning from its ledger.

    Raises:
        ValueError: for a search of a method from outside the package, or one that is not repeated by this version.
    """
    events = in_force([(event.kind, body_of(path, event)) for event in read(path)])
    request = events[0][1]
    typed = tries.Answers([event for event in events if event[0] in tries.KINDS]).held.values()
    if typed:
        yield from (
            {**held.numbers, **held.values, "return": held.value}
            for held in typed
            if held.status != "skipped"
        )
        return
    try:
        yield from _replayed(request, events)
    except ReplayDiffers as error:
        raise ValueError(
            f"known: this version does not repeat the search in {path} ({error}); give a table of its tries, such as "
            f"{HISTORY}"
        ) from error


def _replayed(request: Mapping[str, Any], events: Sequence[Event]) -> Iterator[Row]:
    """The tries of a search by a method."""
    method = dict(request["optimizer"])
    name = method.pop("method")
    if ":" in name:
        raise ValueError(
            f"known: the ledger is of {name}, which is not part of policysearch; give its {HISTORY}"
        )
    space = Space(tuple(map(parameter_of, request["space"])))
    records = [body for kind, body in events if kind == "generation"]
    begun = [KnownTries.from_document(body, space) for kind, body in events if kind == "known"]
    search = generations(
        around(build(name, method), request),
        Recorded(_Ended(), records, lambda record: None),
        begun[0].domain(space, request["goal"]) if begun else space.domain,
        budget=Budget(max(1, sum(len(row) for record in records for row in record["returns"]))),
        seed=request["seed"],
        problem=("tune",),
        label=name,
    )
    sign = sign_of(request["goal"])
    for made in search if records else ():
        for rollout in Measurement.of(made.proposal, made.evaluation, space, made.index, sign):
            yield {**rollout.metrics, **rollout.values, "return": rollout.ret}


class _Ended:
    """Runs nothing: what is asked of it is not in the record."""

    def evaluate(self, proposal: Proposal, key: Key) -> Evaluation:
        raise ReplayDiffers("it asks for more than is recorded")


def _outside(parameter: Parameter | Choice, value: Any) -> str:
    """Why this value cannot be tried here; empty if it can."""
    if parameter.held:
        return (
            ""
            if value == parameter.start
            else f"{parameter.name} = {value}, which is fixed at {parameter.start}"
        )
    if isinstance(parameter, Choice):
        return "" if value in parameter.options else f"{parameter.name} = {value!r}, which is no option"
    if isinstance(value, bool) or not isinstance(value, int | float):
        _refuse(f"a number as {parameter.name}", value)
    inside = parameter.lower <= value <= parameter.upper and math.isfinite(value)
    return (
        "" if inside else f"{parameter.name} = {value:g}, not in {parameter.lower:g} to {parameter.upper:g}"
    )


def _plain(value: Any) -> Any:
    """A number or text of Python's own."""
    return value.item() if hasattr(value, "item") else value


def _number(value: Any, name: str) -> float:
    """A return; NaN for what is none."""
    value = math.nan if value is None else _plain(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        _refuse(f"numbers as return, in {name}", value)
    return float(value) if math.isfinite(value) else math.nan


def _refuse(expected: str, value: Any) -> NoReturn:
    raise ValueError(f"known: expected {expected}, got {value!r}")
