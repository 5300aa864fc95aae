"""What the events of a study hold, checked before it is used: a ledger may come from anywhere."""

from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, model_validator

from policysearch.evaluators.recorded import Record, checked, first_mistake
from policysearch.ledger import Event, LedgerRefused

Cell = str | int | float | bool | None
_STRICT = ConfigDict(strict=True)
#: Columns of a run without which there are no tables.
COLUMNS = (
    "rollouts",
    "steps",
    "report_rollouts",
    "failed_rollouts",
    "claimed_return",
    "final_return",
    "final_return_se",
)


class _Study(BaseModel):
    model_config = _STRICT
    tasks: dict[str, dict[str, Any]]
    optimizers: dict[str, dict[str, Any]]


class _Result(BaseModel):
    """A document of `policysearch.compare.run.Result`."""

    model_config = _STRICT
    job: list[str | int]
    row: dict[str, Cell]
    curve: list[dict[str, Cell]]
    params: list[float]
    param_names: list[str]
    spent: list[list[str | int]]
    remarks: list[str]
    examples: list[dict[str, Any]]

    @model_validator(mode="after")
    def _has_columns(self) -> "_Result":
        for rows, columns in (([self.row], COLUMNS), (self.curve, ("rollouts", "steps", "return_mean"))):
            if missing := [name for name in columns if any(name not in row for row in rows)]:
                raise ValueError(f"expected columns {', '.join(missing)}")
        return self


class _Changed(BaseModel):
    model_config = _STRICT
    changed: list[str]
    reason: str


_BODIES: dict[str, TypeAdapter[Any]] = {
    "study": TypeAdapter(_Study),
    "session": TypeAdapter(dict[str, Any]),
    "run": TypeAdapter(_Result),
    "runs": TypeAdapter(dict[str, Any]),
    "kept": TypeAdapter(_Changed),
    "retry": TypeAdapter(dict[str, Any]),
    "check": TypeAdapter(dict[str, Any]),
}


def record_of(event: Event) -> Record:
    """The evaluation that an event holds.

    Raises:
        LedgerRefused: if it does not.
    """
    try:
        return checked(event.body)
    except ValueError as error:
        raise LedgerRefused(
            f"the ledger is damaged: event {event.number} is no generation: {error}"
        ) from error


def body_of(event: Event) -> Any:
    """The body of an event of a study.

    Raises:
        ValueError: if it is not what its kind has.
    """
    body = event.body
    if event.kind not in _BODIES:
        raise ValueError(f"unknown kind {event.kind!r}")
    try:
        _BODIES[event.kind].validate_python(body)
    except ValidationError as error:
        raise ValueError(first_mistake(error)) from error
    return body
