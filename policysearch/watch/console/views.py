"""What each role is shown, and may do.

An operator has everything. A blind operator does the same without laws, and without the key of the letters. A
participant sees the time and whether to walk or to stand: no law, and no result. A viewer sees the time and the
guard.
"""

from collections.abc import Mapping
from typing import Any

State = Mapping[str, Any]

OPERATOR = frozenset({
    "adverse", "amend", "arm", "breaths", "confirm", "control", "correct", "day", "done", "drop", "end", "engine",
    "exclude", "file", "finish", "limit", "note", "rate", "recover", "retest", "skip", "start", "stop", "table",
    "take", "unblind", "undo", "void",
})  # fmt: skip
#: What a role may do; who may do more comes first.
ALLOWED: Mapping[str, frozenset[str]] = {
    "operator": OPERATOR,
    "blind": OPERATOR - {"table", "unblind"},
    "participant": frozenset({"stop", "answer"}),
    "viewer": frozenset({"stop"}),
}
#: What needs no control of the session.
FREE = frozenset({"stop", "answer", "table", "control", "engine"})
#: What may be done by a page that has not seen the last event.
ANY_VERSION = FREE | {"note", "adverse"}
#: Roles that are shown lines, breaths and laws.
OPERATORS = ("operator", "blind")


def shown(role: str, state: State) -> dict[str, Any]:
    """What a role is shown of the state of an engine."""
    if role == "operator":
        return {name: value for name, value in state.items() if name != "said"}
    if role == "blind":
        kept = {name: value for name, value in state.items() if name != "said"}
        guard, bout = state["guard"], state["bout"]
        return kept | {
            "guard": guard and {name: guard[name] for name in ("armed", "why")},
            "waiting": [each | {"purpose": "walked"} for each in state["waiting"]],
            "bout": bout and bout | {"law": [], "path": [], "label": _blind_label(bout)},
        }
    bout = state["bout"]
    kept = {name: state[name] for name in ("phase", "walked")}
    kept["bout"] = bout and {name: bout[name] for name in ("number", "minutes", "purpose")}
    if role == "participant":
        return kept
    guard = state["guard"]
    return kept | {
        "participant": state["participant"],
        "control": state["control"],
        "halted": state["halted"],
        "guard": guard and {name: guard[name] for name in ("armed", "why")},
    }


def pictured(role: str, picture: State) -> dict[str, Any]:
    """What an operator is shown of the picture of a bout: a blind one no law."""
    hidden = ("law", "before", "curve", "curve_before") if role == "blind" else ()
    return {name: value for name, value in picture.items() if name not in hidden}


def _blind_label(bout: State) -> str:
    """The label of a bout, which may name the condition of a validation that is not in letters."""
    return "validation" if bout["purpose"] == "validation" and not bout["blind"] else str(bout["label"])
