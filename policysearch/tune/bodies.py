"""What the events of a tuning hold, checked before it is used: a ledger may come from anywhere."""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, StrictFloat, StrictInt, StrictStr, TypeAdapter

from policysearch.evaluators import bodies
from policysearch.evaluators.bodies import COMMON, STRICT_BODY, Generation
from policysearch.ledger import Event, LedgerRefused


class _After(BaseModel):
    model_config = STRICT_BODY
    question: str
    record: Generation


class _Known(BaseModel):
    source: StrictStr
    tries: list[tuple[dict[str, Any], StrictFloat | StrictInt]]
    left_out: StrictInt


class _Amended(BaseModel):
    model_config = STRICT_BODY
    question: str
    reason: str
    numbers: dict[str, float] = {}


class _Tried(_Amended):
    values: dict[str, Any]


class _Finish(BaseModel):
    model_config = STRICT_BODY
    phase: Literal["search", "report"]


class _Note(BaseModel):
    model_config = STRICT_BODY
    text: str


_KINDS: bodies.Kinds = {
    **COMMON,
    "request": TypeAdapter(dict[str, Any]),
    "after": TypeAdapter(_After),
    "known": TypeAdapter(_Known),
    **{kind: TypeAdapter(_Tried) for kind in ("answer", "failed", "skip")},
    "amend": TypeAdapter(_Amended),
    "finish": TypeAdapter(_Finish),
    "undo": TypeAdapter(dict[str, Any]),
    "note": TypeAdapter(_Note),
}


def body_of(path: Path, event: Event) -> Any:
    """The body of an event of a tuning.

    Raises:
        LedgerRefused: if it is not what its kind has.
    """
    try:
        return bodies.body_of(event, _KINDS)
    except ValueError as error:
        raise LedgerRefused(f"{path}: event {event.number} is not one of a tuning: {error}") from error
