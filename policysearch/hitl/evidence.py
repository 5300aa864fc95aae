"""What a session leaves for others: `bouts.csv`, `breaths.csv`, `events.tsv` with `events.json`, and `audit.html`.

`events.tsv` is that of the Brain Imaging Data Structure (BIDS, "Task events"): onset and duration in s, tabs between
columns, n/a for what is not known. Onsets count from the first event of the log, by the monotonic clock where the log
has it. While the conditions are blind, no table tells them.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from policysearch.exoskeleton.breath_columns import KEPT
from policysearch.files import write_text
from policysearch.hitl import LOG
from policysearch.hitl.history import actions, clock_time, moments, told, versions
from policysearch.hitl.log import ENTRIES
from policysearch.hitl.view import SessionView
from policysearch.ledger import checksum, read
from policysearch.plain_data import encode
from policysearch.reporting.page import render
from policysearch.reporting.tables import csv
from policysearch.visible import inert

NOT_EVENTS = (*ENTRIES, "ended", "result")  # kinds of events that make up the row of a bout
COLUMNS = {
    "onset": {"Description": "Time since the first event of the session", "Units": "s"},
    "duration": {"Description": "Duration of a bout; n/a where the log has none", "Units": "s"},
    "trial_type": {
        "Description": "Purpose of a bout, the condition of a validation, or the kind of an event"
    },
    "bout": {"Description": "Number of the bout in bouts.csv"},
    "status": {"Description": "Whether the bout counts"},
    "value": {"Description": "Words of the operator, or what else the log has of the event"},
}
BREATHS = ("bout", "time", "rate")


class BoutRecord(NamedTuple):
    """What the log has of a bout other than its result; empty where it has nothing."""

    started: Mapping[str, Any]
    ended: Mapping[str, Any]
    file: Mapping[str, Any]


def write(session: SessionView, out: Path) -> None:
    """Write tables and audit page into a folder, each completely or not at all.

    Raises:
        OSError: if a file cannot be written.
    """
    texts = {
        "bouts.csv": csv(bouts_table(session)),
        "breaths.csv": csv(breaths_table(session)),
        "events.tsv": _tab_separated(events_table(session)),
        "events.json": json.dumps(COLUMNS, indent=1) + "\n",
        "audit.html": audit(session, out / LOG),
    }
    for name, text in texts.items():
        write_text(out / name, text)


def records(session: SessionView) -> dict[int, BoutRecord]:
    """What the log has of every bout, by its number."""
    found: dict[int, BoutRecord] = {}
    numbers, pending, before = dict[str, int](), dict[str, dict[str, Any]](), ""
    for kind, body in session.events:
        item = str(body.get("item", ""))
        if kind == "file" and before == "amend":
            found[numbers[item]] = found[numbers[item]]._replace(file=body)
        elif kind in ("started", "ended", "file"):
            pending.setdefault(item, {})[kind] = body
        elif kind == "result":
            found[numbers[item]] = found[numbers[item]]._replace(file=pending.pop(item, {}).get("file", {}))
        elif kind in ENTRIES:
            numbers[item] = len(found) + 1
            kept = pending.pop(item, {})
            found[numbers[item]] = BoutRecord(*(kept.get(name, {}) for name in BoutRecord._fields))
        before = kind
    return found


def bouts_table(session: SessionView) -> pd.DataFrame:
    """The table of bouts with both clocks (s), the means of what was measured with the breaths, and their file."""
    table, known = session.table(), records(session)
    rows = []
    for entry in session.entries:
        record, gases = known[entry.number], entry.breaths.gases if entry.breaths else {}
        means = {
            f"mean {name}": np.nanmean(gases[name]) if _any(gases.get(name)) else np.nan for name in KEPT
        }
        if entry.breaths is not None and not _any(gases.get("rer")):
            means["mean rer"] = entry.breaths.rer
        monotonic = [event.get("monotonic", np.nan) for event in (record.started, record.ended)]
        kept = {name: record.file.get(name, "") for name in ("name", "sha256")}
        rows.append([*monotonic, *means.values(), *kept.values()])
    added = ["started monotonic", "ended monotonic", *(f"mean {name}" for name in KEPT), "file", "sha256"]
    return pd.concat([table, pd.DataFrame(rows, columns=added)], axis=1)


def breaths_table(session: SessionView) -> pd.DataFrame:
    """A row per breath: the number of its bout, time (s), rate (W/kg), and what else was measured of it."""
    tables = [
        pd.DataFrame({"bout": entry.number, "time": each.time, "rate": each.rate, **each.gases})
        for entry in session.entries
        if (each := entry.breaths) is not None
    ]
    return pd.concat(tables) if tables else pd.DataFrame(columns=list(BREATHS))


def events_table(session: SessionView) -> pd.DataFrame:
    """The events of a session as BIDS has them, in order of their onsets."""
    first = moments(session.events)[0]
    others = [
        (at - first, 0.0, kind, np.nan, "", words)
        for at, kind, words in told(session)
        if kind not in NOT_EVENTS
    ]
    rows = pd.DataFrame([*_bouts(session), *others], columns=list(COLUMNS))
    return rows.sort_values("onset", kind="stable")


def _bouts(session: SessionView) -> Iterator[tuple[Any, ...]]:
    """The bouts among the events; one without a start in the log has the time of its result."""
    known, entries, began = records(session), iter(session.entries), dict[str, float]()
    times = np.array(moments(session.events))
    for (kind, body), onset in zip(session.events, times - times[0], strict=True):
        if kind == "started":
            began[body["item"]] = onset
        elif kind in ENTRIES:
            entry = next(entries)
            start, end = (each.get("monotonic", np.nan) for each in known[entry.number][:2])
            words = session.shown_name(entry), entry.number, entry.status, entry.reason
            yield began.pop(entry.item, onset), end - start, *words


def audit(session: SessionView, log: Path) -> str:
    """`audit.html`: who did what, why, with which versions and files, and the checksum to sign.

    The checksum is that of the log at `log`, if it is the one of this session.
    """
    events, found = session.events, read(log) if log.is_file() else ()
    times = [clock_time(at, "%Y-%m-%d %H:%M:%S") for at in moments(events)]
    same = [(event.kind, event.text) for event in found] == [(kind, encode(dict(b))) for kind, b in events]
    statuses = Counter(entry.status for entry in session.entries)
    listed = actions(session)
    return render(
        "policysearch.hitl",
        "audit",
        participant=session.participant,
        when=f"{times[0]} to {times[-1]} UTC",
        events=len(events),
        statuses=statuses,
        versions=[line.partition(": ")[::2] for line in versions(session)],
        operators=[(at, words.removeprefix("who ")) for at, kind, words in listed if kind == "operator"],
        reasons=[each for each in listed if each[1] not in ("operator", "file")],
        files=[
            (n, each.file["name"], each.file["sha256"]) for n, each in records(session).items() if each.file
        ],
        plan=session.plan.document(),
        checksum=checksum(found) if same else "",
        marks=(),
    )


def _any(values: Any) -> bool:
    """Whether there is a number among values."""
    return values is not None and bool(np.isfinite(values).any())


def _tab_separated(table: pd.DataFrame) -> str:
    """A table as BIDS has it; tabs and ends of lines in a cell are spaces."""
    lines = ["\t".join(table.columns)]
    lines += ["\t".join(map(_bids_cell, row)) for row in table.itertuples(index=False)]
    return "\n".join(lines) + "\n"


def _bids_cell(cell: Any) -> str:
    if isinstance(cell, float):
        return f"{cell:.10g}" if np.isfinite(cell) else "n/a"
    return inert(" ".join(str(cell).split())) or "n/a"
