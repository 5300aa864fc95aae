"""What happened in a session, and when, in words."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from policysearch.asking.answers import LoggedEvent
from policysearch.hitl.log import ENTRIES, UNDOABLE
from policysearch.hitl.view import SessionView

#: Kinds of events, and what else of them, that are not told.
UNLISTED, UNSHOWN = (
    ("walked", "plan", "asked", "session", "started", "law in force"),
    ("at", "monotonic", "item"),
)


def moments(events: Sequence[LoggedEvent]) -> list[float]:
    """The time of day (s) of every event, which never runs backwards; NaN before the first one that has one."""
    found, now, last = list[float](), math.nan, math.nan
    for _, body in events:
        if "at" in body:
            at, monotonic = float(body["at"]), float(body.get("monotonic", math.nan))
            passed = monotonic - last
            now = max(at, now) if not passed > 0.0 or not at < now else now + passed
            now = at if math.isnan(now) else now
            last = monotonic
        found.append(now)
    return found


def clock_time(at: float, form: str) -> str:
    """A time of day (s) in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime(form)


def told(session: SessionView) -> list[tuple[float, str, str]]:
    """What happened other than that bouts were measured: time of day (s), kind, and words."""
    listed: list[tuple[float, str, str]] = []
    in_force: list[tuple[int, str, Mapping[str, Any]]] = []  # number of the bout, kind and body
    number = 0
    for (kind, body), at in zip(session.events, moments(session.events), strict=True):
        number += kind in ENTRIES
        words = str(body.get("reason", body.get("text", "")))
        match kind:
            case "exclude":
                words = f"bout {body['number']}: {words}"
            case "correct" | "ended" | "estop" | "operator" | "gap" | "file" | "device":
                words = ", ".join(f"{k} {v}" for k, v in body.items() if k not in UNSHOWN)
            case "bout" | "void" | "skip" if words:
                words = f"bout {number}: {words}"
            case "result" if words:
                words = (
                    f"bout {next(n for n, _, old in in_force if old.get('item') == body['item'])}: {words}"
                )
            case "amend":
                same = [(n, old) for n, _, old in in_force if old.get("item") == body["item"]]
                words = f"bout {same[0][0]}: {same[-1][1]['rate']:g} → {body['rate']:g} W/kg: {words}"
            case "undo" if in_force:
                n, undone, _ = in_force.pop()
                words = f"{undone}{f' of bout {n}' if undone in ('bout', 'skip') else ''} taken back: {words}"
            case "limit":
                words = f"upper torque {body['upper_torque']:g} N·m/kg: {words}"
            case "confirm":
                words = f"bout {number + 1}: a law in a new region"
            case "retest":
                words = "the reference law next"
        if kind in UNDOABLE:
            in_force.append((number, kind, body))
        if kind not in UNLISTED and (kind not in ("bout", "result") or words):
            listed.append((at, kind, words))
    return listed


def actions(session: SessionView) -> list[tuple[str, str, str]]:
    """As `told`, with times as they are read."""
    return [(clock_time(at, "%H:%M:%S"), kind, words) for at, kind, words in told(session)]


def versions(session: SessionView) -> list[str]:
    """The versions of the session, a line for every time that it was opened to continue."""
    return [
        f"from {clock_time(body['at'], '%H:%M:%S')} UTC: "
        + ", ".join(f"{k} {v}" for k, v in body.items() if k not in UNSHOWN)
        for kind, body in session.events
        if kind == "session"
    ]
