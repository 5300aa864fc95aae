"""What a client may ask of an engine: actions by name, and the state that it is shown.

An action is a JSON object with `do`, its name, and its arguments. The answer has `code` and, if it is not 200,
`error` or `doubt`: 422 what cannot be done now, or is doubtful and has to be told again with `"sure": true`; 400 what
is no action; 507 the log cannot be written.
"""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from policysearch.asking.prompt import aligned
from policysearch.hitl.agenda import Bout
from policysearch.hitl.engine import NUMBER
from policysearch.hitl.engine.engine import Doubtful, Engine, signature
from policysearch.hitl.engine.picture import picture
from policysearch.hitl.log import Entry
from policysearch.hitl.offers import offer
from policysearch.hitl.view import SessionView, cells, titles
from policysearch.ledger import LedgerError

Message = Mapping[str, Any]
Answer = dict[str, Any]

#: What may put another bout in the place of the next one.
MOVING = ("skip", "amend", "exclude", "undo", "retest", "finish", "end", "day", "correct")
#: Columns that the table leaves out.
LEFT_OUT = ("generation", "min", "N·m")


def act(engine: Engine, message: Message) -> Answer:
    """Do what a client asks for."""
    name = message.get("do")
    if not isinstance(name, str) or name not in ACTIONS:
        return {"code": 400, "error": f"do: expected one of {', '.join(sorted(ACTIONS))}, got {name!r}"}
    try:
        if engine.failed and name not in ("stop", "table"):
            engine.recover()
            if name != "recover":
                return {
                    "code": 409,
                    "error": "the log could not be written for a while; look at what is in it",
                }
        if name in MOVING and engine.walked is not None:
            raise ValueError(
                f"{name}: this bout is walked and has no rate yet; type it, or void REASON, first"
            )
        text = ACTIONS[name](engine, message)
    except Doubtful as error:
        return {"code": 422, "doubt": str(error)}
    except LedgerError as error:
        engine.fail(str(error))
        return {"code": 507, "error": str(error)}
    except (OSError, RuntimeError, ValueError) as error:
        return {"code": 422, "error": str(error)}
    return {"code": 200} | ({"text": text} if text else {})


def _text(message: Message, name: str = "reason") -> str:
    value = message.get(name, "")
    if not isinstance(value, str):
        raise ValueError(f"{name}: expected text, got {value!r}")
    return value


def _number(message: Message, name: str) -> float:
    value = message.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{name}: expected a number, got {value!r}")
    return float(value)


def _bout(message: Message) -> int:
    value = _number(message, "bout")
    if not value.is_integer():
        raise ValueError(f"bout: expected a whole number, got {value:g}")
    return int(value)


def _sure(message: Message) -> bool:
    return message.get("sure") is True


def _stop(engine: Engine, message: Message) -> None:
    engine.stop(_text(message, "who") or "a client", _text(message) or "STOP")


def _confirm(engine: Engine, _: Message) -> None:
    if engine.phase != "confirm":
        raise ValueError("confirm: no new region is entered")
    engine.session.confirm()
    engine.follow()


def _done(engine: Engine, _: Message) -> None:
    if engine.phase != "done":
        raise ValueError(f"done: expected a bout that is timed elsewhere, got the phase {engine.phase!r}")
    engine.session.walked()


def _waiting(engine: Engine, message: Message) -> int | None:
    """The number of the bout whose result follows, if a message is about one; None if it is about the next bout."""
    if "bout" in message:
        return _bout(message)
    asked = engine.asks_for
    return None if asked is None else asked.number


def _rate(engine: Engine, message: Message) -> None:
    rate, number = _number(message, "rate"), _waiting(engine, message)
    if number is None:
        engine.rate(rate, sure=_sure(message))
    else:
        engine.result(number, rate, sure=_sure(message))


def _file(engine: Engine, message: Message) -> None:
    path, number = Path(_text(message, "path")), _waiting(engine, message)
    if number is not None:
        engine.result(number, path=path, sure=_sure(message))
        return
    engine.check_walked("file")
    engine.propose(engine.read(path, engine.session.times_walked), path)


def _breaths(engine: Engine, _: Message) -> None:
    if engine.phase != "rate" or engine.count is None:
        raise ValueError("breaths: no bout with breaths was walked")
    engine.propose(engine.count.breaths(), engine.path)


def _take(engine: Engine, message: Message) -> None:
    number = _waiting(engine, message)
    if number is None:
        engine.take(sure=_sure(message))
    else:
        engine.result(number, sure=_sure(message))


def _void(engine: Engine, message: Message) -> None:
    if engine.session.next is None and engine.asks_for is not None:
        engine.session.exclude(engine.asks_for.number, _text(message))
        engine.follow()
    else:
        engine.void(_text(message))


def _drop(engine: Engine, _: Message) -> None:
    engine.offered = None


def _amend(engine: Engine, message: Message) -> None:
    session, number, reason = engine.session, _bout(message), _text(message)
    if "path" not in message:
        rate = _number(message, "rate")
        purpose = next((e.purpose for e in session.entries if e.number == number), "")
        if (doubt := session.doubt(rate, purpose)) and not _sure(message):
            raise Doubtful(doubt)
        session.amend(number, rate, reason)
        return
    path = Path(_text(message, "path"))
    entry = next((e for e in session.entries if e.number == number), None)
    if entry is None:
        raise ValueError(f"bout: expected the number of a measured one, got {number}")
    times = entry.started, entry.ended
    read = engine.read(path, times)
    found = offer(session, read, entry.minutes, entry.purpose, instead_of=number)
    if found.doubt and not _sure(message):
        raise Doubtful(found.doubt)
    session.amend(number, found.estimate.rate, reason, found.estimate.standard_error, found.breaths)
    session.tell("file", **signature(path, engine.inlet.cart), item=entry.item)
    engine.say(f"bout {number}: {found.said[0]}")


def _undo(engine: Engine, message: Message) -> None:
    engine.say(f"taken back: the last {engine.session.undo(_text(message)).partition(' ')[0]}")


def _limit(engine: Engine, message: Message) -> None:
    engine.limit(_number(message, "torque"), _text(message))


def _words(message: Message) -> str:
    if not (text := _text(message, "text").strip()):
        raise ValueError(f"{message['do']}: expected a few words, got none")
    return text


def table(session: SessionView) -> str:
    """All bouts so far."""
    columns = [title for title in titles(session.plan) if title not in LEFT_OUT]
    return aligned([columns, *cells(session)[columns].itertuples(index=False)])


ACTIONS: dict[str, Callable[[Engine, Message], str | None]] = {
    "stop": _stop,
    "arm": lambda engine, message: engine.arm(_text(message)),
    "confirm": _confirm,
    "start": lambda engine, _: engine.start(),
    "done": _done,
    "rate": _rate,
    "file": _file,
    "breaths": _breaths,
    "take": _take,
    "drop": _drop,
    "void": _void,
    "skip": lambda engine, message: engine.session.skip(_text(message)),
    "amend": _amend,
    "exclude": lambda engine, message: engine.session.exclude(_bout(message), _text(message)),
    "undo": _undo,
    "retest": lambda engine, _: engine.session.retest(),
    "limit": _limit,
    "finish": lambda engine, message: engine.session.finish(_text(message)),
    "end": lambda engine, message: engine.session.end(_text(message)),
    "day": lambda engine, _: engine.session.another_day(),
    "correct": lambda engine, message: engine.correct(
        _text(message, "field"), _text(message, "value"), _text(message)
    ),
    "recover": lambda engine, _: None,  # done above, where it is needed
    "unblind": lambda engine, message: engine.session.unblind(_text(message)),
    "note": lambda engine, message: engine.session.note(_text(message, "text")),
    "answer": lambda engine, message: engine.session.note(f"{_text(message, 'who')}: {_words(message)}"),
    "adverse": lambda engine, message: engine.session.tell("adverse event", text=_words(message)),
    "table": lambda engine, _: table(engine.session),
    "picture": lambda engine, _: picture(engine),
}


def state(engine: Engine) -> dict[str, Any]:
    """What clients are shown, as plain data."""
    session, phase = engine.session, engine.phase
    bout, found = session.next, engine.offered
    hidden = bout is not None and session.is_blind and bout.purpose == "validation"
    guard = engine.drive.state() if engine.drive else None
    if guard and hidden:
        guard |= {"torque": [], "law": None}
    shown: dict[str, Any] = {
        "phase": phase,
        "events": len(session.events),
        "participant": session.participant,
        "halted": engine.failed or engine.halted,
        "failed": bool(engine.failed),
        "guard": guard,
        "timed": engine.inlet.timed,
        "walked": None if bout is None else engine.walked,
        "said": [list(each) for each in engine.said],
        "line": _line(engine) if phase == "walking" else "",
        "offer": None if found is None else {"rate": found.estimate.rate, "doubt": found.doubt},
        "enter": _enter(engine) if phase == "rate" else None,
        "waiting": [_late(engine, entry) for entry in session.waiting],
        "objective": dict(zip(("name", "unit"), session.plan.measured, strict=False)),
        "bout": None,
    }
    if bout is not None:
        return shown | {"bout": _next(engine, bout, hidden)}
    return shown | {"bout": _walked(engine, session.waiting[0]) if session.waiting else None}


def _next(engine: Engine, bout: Bout, hidden: bool) -> dict[str, Any]:
    """The next bout."""
    session, entries, silent = engine.session, engine.session.entries, hidden or bout.purpose == "rest"
    return {
        "number": len(entries) + 1,
        "item": bout.item,
        "label": bout.label,
        "purpose": bout.purpose,
        "blind": session.is_blind,
        "minutes": bout.minutes,
        "measured": bout.is_measured,
        "entering": ["a condition"] if hidden and session.entering else list(session.entering),
        "law": [] if silent else session.plan.laws.lines(bout.law),
        "path": [] if silent else [session.plan.laws.in_short(law) for law in session.path],
        "done": _done_so_far(session),
    }


def _walked(engine: Engine, entry: Entry) -> dict[str, Any]:
    """A bout whose result follows, when no other is next."""
    session = engine.session
    hidden = session.is_blind and entry.purpose == "validation"
    return {
        "number": entry.number,
        "item": entry.item,
        "label": f"{session.shown_name(entry)}, which was walked",
        "purpose": entry.purpose,
        "blind": session.is_blind,
        "minutes": entry.minutes,
        "measured": True,
        "entering": [],
        "law": [] if hidden else session.plan.laws.lines(entry.law),
        "path": [],
        "done": _done_so_far(session),
    }


def _done_so_far(session: SessionView) -> str:
    gone = ("void", "undone", "set aside")
    done = [entry for entry in session.entries if entry.purpose == "search" and entry.status not in gone]
    return f"of the search {len(done)} of {session.plan.bouts} bouts are done"


def _late(engine: Engine, entry: Entry) -> dict[str, Any]:
    """A bout whose result follows, and what is offered for it."""
    found = engine.late[entry.number].offer if entry.number in engine.late else None
    offered = None if found is None else {"rate": found.estimate.rate, "doubt": found.doubt}
    return {"number": entry.number, "purpose": entry.purpose, "offer": offered}


def _line(engine: Engine) -> str:
    """The bout that is walked, in one line."""
    waiting = [f"{entry.number}" for entry in engine.session.waiting]
    line = engine.count.line() if engine.count else ""
    return line + (f"; without a rate: bout {', '.join(waiting)}" if waiting else "")


def _enter(engine: Engine) -> dict[str, str] | None:
    """What Enter does instead of a rate: in words, and the action."""
    count, breaths, asked = engine.count, engine.inlet.breaths, engine.asks_for
    if asked is not None:
        if asked.number not in engine.late:
            return None
        found = engine.late[asked.number].offer
        return {"words": f"Enter takes {found.estimate} W/kg ({found.doubt})", "do": "take"}
    if count is not None and count.broken:
        return {"words": "Enter voids the bout", "do": "void", "reason": count.broken}
    if count is not None and breaths:
        return {"words": "Enter takes the breaths", "do": "breaths"}
    if count is None and NUMBER in breaths:
        return {"words": f"Enter reads {engine.path}", "do": "file", "path": str(engine.path)}
    return None
