"""The rows of a comparison: configured methods, and the entries of a study file that they are made of."""

import dataclasses
from typing import Any

from pydantic import BaseModel, ValidationInfo, model_validator

from policysearch.configuration import STRICT, Settings
from policysearch.core import Optimizer
from policysearch.optimizers import OPTIMIZERS, build

#: The context in which a study is validated that is read for its tables only: its methods are not imported.
SAVED = "saved"

#: What may stand before a method's name, as in `whitened:ars` and `source:ars`.
PREFIXES = ("whitened", "source")


class OptimizerChoice(BaseModel):
    """One row of the comparison: a method, its hyperparameters, and whether observations are whitened.

    With `settings = "source"`, hyperparameters that are not named are those of the method's source.
    """

    model_config = STRICT
    method: str
    whitened: bool = False
    settings: Settings | None = None
    options: dict[str, Any] = {}

    @model_validator(mode="after")
    def _check(self, info: ValidationInfo) -> "OptimizerChoice":
        if info.context is not SAVED or OPTIMIZERS.is_at_hand(self.method):
            self.build()
        return self

    def hyperparameters(self) -> dict[str, Any]:
        """All of them; of a saved study whose method has not been imported, those that it names."""
        if OPTIMIZERS.is_at_hand(self.method):
            return dataclasses.asdict(self.build())  # type: ignore[call-overload]
        return self.options

    def build(self) -> Optimizer:
        """The configured optimizer.

        Raises:
            ValueError: naming every hyperparameter that is unknown or out of range.
        """
        return build(self.method, self.options, self.settings)


def choice_of(label: str, row: Any, settings: Any) -> Any:
    """The `OptimizerChoice` behind one entry: the label is the method unless it says otherwise.

    `settings` are those of the study, for entries that choose none.
    """
    if not isinstance(row, dict):
        return row
    name, prefixes = label, set[str]()
    while (parts := name.partition(":"))[0] in PREFIXES:
        prefixes.add(parts[0])
        name = parts[2]
    choice = {
        "method": name,
        "whitened": "whitened" in prefixes,
        "settings": "source" if "source" in prefixes else settings,
    }
    own = {key: value for key, value in row.items() if key in choice}
    options = {key: value for key, value in row.items() if key not in choice}
    return {**choice, **own, "options": options}


def row_of(choice: OptimizerChoice) -> dict[str, Any]:
    """The inverse of `choice_of`, every hyperparameter spelled out except None, which TOML does not have."""
    row = {name: value for name, value in choice.hyperparameters().items() if value is not None}
    settings = {} if choice.settings is None else {"settings": choice.settings}
    return {"method": choice.method, "whitened": choice.whitened, **settings, **row}
