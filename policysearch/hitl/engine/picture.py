"""What pages draw of a session, as plain data: the next law next to the last one, the breaths so far, the drift."""

import json
from typing import Any

import numpy as np
from jaxtyping import Float

from policysearch.core import Array
from policysearch.exoskeleton.breath_columns import HEART_RATE, RER
from policysearch.exoskeleton.respirometry import MIN_BREATHS, Breaths, running
from policysearch.exoskeleton.torque_profile import torque
from policysearch.hitl.engine.engine import Engine

STRIDE = np.linspace(0.0, 100.0, 51)  # % of a stride
MAX_DRAWN = 400  # breaths, the last ones
MAX_LOG = 60  # events, the last ones
#: Kinds of events that are not shown, and what is shown of the others.
SILENT = ("plan", "session", "asked", "law in force")
WORDS = ("who", "why", "reason", "text", "rate", "torque", "field", "value", "seconds", "name")


def picture(engine: Engine) -> str:
    """The picture of a session, as JSON.

    `curve` and `curve_before` are the torques (N·m/kg) of the next law and of the one walked last, at `stride` (%);
    `breaths` have times (s), rates, and the running estimate with its standard error (W/kg); `rer` and
    `heart_rate_bpm` are those of the last half minute, where the cart has them; `drift` has the rates of the
    reference law by the minutes walked before; `log` has the last events: number, time of day (s), kind, words.
    """
    drawn = {"stride": STRIDE.tolist(), **_laws(engine), **_breaths(engine)}
    return json.dumps(drawn | {"drift": _drift(engine), "log": _log(engine)})


def _laws(engine: Engine) -> dict[str, Any]:
    session, bout = engine.session, engine.session.next
    if (
        not session.plan.laws.is_ankle
        or bout is None
        or bout.purpose == "rest"
        or (session.is_blind and bout.purpose == "validation")
    ):
        return {}
    walked = [entry.law for entry in session.history if entry.law[0] > 0.0]
    before = walked[-1] if walked else None
    laws = {"": bout.law} | ({} if before is None else {"_before": before})
    return {f"curve{name}": _rounded(torque(law, STRIDE), 3) for name, law in laws.items()}


def _breaths(engine: Engine) -> dict[str, Any]:
    if engine.count is None:
        return {}
    taken, latest = engine.count.window.taken, engine.count.latest()
    gases = {name: round(latest[name], 3) for name in (RER, HEART_RATE) if name in latest}
    if len(taken) < MIN_BREATHS:
        return gases | {"breaths": [[time, rate, None, None] for time, rate in taken]}
    time, rate = np.array(taken).T
    estimates, errors = running(Breaths(time, rate), engine.session.plan.tau, "exact")
    rows = zip(*(_rounded(each, 3) for each in (time, rate, estimates, errors)), strict=True)
    return gases | {"breaths": [list(row) for row in rows][-MAX_DRAWN:]}


def _drift(engine: Engine) -> list[list[float]]:
    walked, found = 0.0, list[list[float]]()
    for entry in engine.session.entries:
        if entry.counts and entry.purpose == "re-test":
            found.append([walked, entry.rate])
        walked += 0.0 if entry.status == "skipped" else entry.minutes
    return found


def _log(engine: Engine) -> list[list[Any]]:
    """The last events that are about what people did or saw; no item of a bout, as its name may say its condition."""
    events = [
        (n, kind, body) for n, (kind, body) in enumerate(engine.session.events, 1) if kind not in SILENT
    ]
    return [
        [n, body.get("at"), kind, ", ".join(str(body[name]) for name in WORDS if body.get(name) is not None)]
        for n, kind, body in events[-MAX_LOG:]
    ]


def _rounded(values: Float[Array, "n"], digits: int) -> list[float | None]:
    return [round(value, digits) if np.isfinite(value) else None for value in values.tolist()]
