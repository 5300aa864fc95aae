"""What the events of a study hold, checked before it is used: a ledger may come from anywhere."""

from typing import Any

from pydantic import BaseModel, TypeAdapter, model_validator

from policysearch.evaluators import bodies
from policysearch.evaluators.bodies import COMMON, STRICT_BODY
from policysearch.evaluators.recorded import Record
from policysearch.ledger import Event, LedgerRefused

Cell = str | int | float | bool | None
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
    model_config = STRICT_BODY
    tasks: dict[str, dict[str, Any]]
    optimizers: dict[str, dict[str, Any]]


class _Result(BaseModel):
    """A document of `policysearch.compare.run.Result`."""

    model_config = STRICT_BODY
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


_KINDS: bodies.Kinds = {**COMMON, "study": TypeAdapter(_Study), "run": TypeAdapter(_Result)}


def record_of(event: Event) -> Record:
    """The evaluation that an event holds.

    Raises:
        LedgerRefused: if it does not.
    """
    try:
        record: Record = bodies.body_of(event, COMMON)
    except ValueError as error:
        raise LedgerRefused(
            f"the ledger is damaged: event {event.number} is no generation: {error}"
        ) from error
    return record


def body_of(event: Event) -> Any:
    """The body of an event of a study.

    Raises:
        ValueError: if it is not what its kind has.
    """
    return bodies.body_of(event, _KINDS)
