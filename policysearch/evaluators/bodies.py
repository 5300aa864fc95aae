"""What the events of a ledger of rollouts hold, checked before it is used: a ledger may come from anywhere."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, TypeAdapter, ValidationError

from policysearch.evaluators.recorded import Record, checked, first_mistake
from policysearch.evaluators.repeatable import Check
from policysearch.ledger import Event

STRICT_BODY = ConfigDict(strict=True)


class _Changed(BaseModel):
    model_config = STRICT_BODY
    changed: list[str]
    reason: str


def _of_check(body: dict[str, Any]) -> dict[str, Any]:
    try:
        Check.of(body)
    except TypeError as error:
        raise ValueError(str(error)) from error
    return body


Kinds = Mapping[str, TypeAdapter[Any]]
Generation = Annotated[Record, AfterValidator(checked)]
_TABLE: TypeAdapter[Any] = TypeAdapter(dict[str, Any])
#: The kinds of events that every such ledger has, and what their bodies are.
COMMON: Kinds = {
    "generation": TypeAdapter(Generation),
    "session": _TABLE,
    "runs": _TABLE,
    "kept": TypeAdapter(_Changed),
    "retry": _TABLE,
    "check": TypeAdapter(Annotated[dict[str, Any], AfterValidator(_of_check)]),
}


def body_of(event: Event, kinds: Kinds) -> Any:
    """The body of an event.

    Raises:
        ValueError: if it is not what its kind has, or the kind is none of these.
    """
    body = event.body
    if event.kind not in kinds:
        raise ValueError(f"unknown kind {event.kind!r}")
    try:
        kinds[event.kind].validate_python(body)
    except ValidationError as error:
        raise ValueError(first_mistake(error)) from error
    return body
