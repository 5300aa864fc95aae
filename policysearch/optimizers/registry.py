"""Methods found by name, and configured."""

import dataclasses
from collections.abc import Mapping
from functools import cache
from typing import Any, get_type_hints

from pydantic import BaseModel, Field, ValidationError, create_model

from policysearch.configuration import STRICT, Settings, messages
from policysearch.core import Optimizer, needs_of, tunable_of
from policysearch.optimizers.local_regression import LocalRegression
from policysearch.optimizers.names import OPTIMIZERS

#: Methods of a single parameter: `tune` has them, and comparisons, whose tasks have several, do not list them.
ONE_PARAMETER: dict[str, type[Optimizer]] = {"local-regression": LocalRegression}


def revision_of(optimizer: Optimizer) -> int:
    """The number of a method's `revision`, which is raised when the same seed gives other candidates; 1 without one.

    That of a method around another one is the inner one's.
    """
    inner = getattr(optimizer, "optimizer", None)
    return revision_of(inner) if inner is not None else int(getattr(optimizer, "revision", 1))


def source_of(method: type[Optimizer]) -> Mapping[str, Any]:
    """The hyperparameters of a method's source that differ from the defaults: its `source`, or none."""
    values: Mapping[str, Any] = getattr(method, "source", {})
    return values


def find_method(spec: str) -> type[Optimizer]:
    """The class of a method: a name of the registry, `module:Class`, or the name of an installed plug-in.

    Raises:
        ValueError: for what cannot be found, or is no method.
    """
    cls = ONE_PARAMETER.get(spec) or OPTIMIZERS.find(spec)
    if not (isinstance(cls, type) and dataclasses.is_dataclass(cls) and hasattr(cls, "search")):
        raise ValueError(f"optimizer {spec}: expected a dataclass with search(domain, rng), got {cls!r}")
    try:
        needs_of(cls)
    except TypeError as error:
        raise ValueError(f"optimizer {spec}: {error}") from error
    names = [field.name for field in dataclasses.fields(cls)]
    for attribute, named in (("tunable", tunable_of(cls)), ("source", source_of(cls))):
        if unknown := [name for name in named if name not in names]:
            raise ValueError(
                f"optimizer {spec}: {attribute}: expected some of {', '.join(names)}, got {', '.join(unknown)}"
            )
    return cls


def build(method: str, options: Mapping[str, Any], settings: Settings | None = None) -> Optimizer:
    """The configured optimizer; hyperparameters that are not named have their defaults, or those of its source.

    Raises:
        ValueError: naming every hyperparameter that is unknown or out of range.
    """
    cls = find_method(method)
    model = _model_of(cls)
    names = [*model.model_fields]
    if settings == "source":
        options = {**source_of(cls), **options}
    try:
        checked = model(**options)
    except ValidationError as error:
        raise ValueError("; ".join(messages(error, known=names))) from error
    return cls(**{name: getattr(checked, name) for name in names})


@cache
def _model_of(cls: type[Optimizer]) -> type[BaseModel]:
    """The model that checks the hyperparameters of a method."""
    types = get_type_hints(cls)
    fields = {f.name: (types[f.name], _default(f)) for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    model: type[BaseModel] = create_model(cls.__name__, __config__=STRICT, **fields)  # type: ignore[call-overload]
    return model


def method_of(optimizer: Any) -> tuple[str, dict[str, Any]]:
    """The name of a method, or `module:Class`, and the hyperparameters of a configured one.

    Raises:
        ValueError: for what is no method, or one around another.
    """
    cls: type[Any] = optimizer if isinstance(optimizer, type) else type(optimizer)
    if not (hasattr(cls, "search") and hasattr(cls, "__dataclass_fields__")):
        raise ValueError(f"optimizer: expected a name, such as cma-es, or a method, got {optimizer!r}")
    place = f"{cls.__module__}:{cls.__qualname__}"
    # a method that is not imported yet is another one, unless it has this place
    names = [name for name in OPTIMIZERS if OPTIMIZERS.declared(name) in (None, place)]
    known = {name: OPTIMIZERS[name] for name in names} | ONE_PARAMETER
    name = next((name for name, method in known.items() if method is cls), place)
    if isinstance(optimizer, type):
        if any(_default(field) is ... for field in dataclasses.fields(cls)):
            raise ValueError(f"optimizer: expected a configured {cls.__name__}(...), or a name, got {cls}")
        return name, {}
    options = {field.name: getattr(optimizer, field.name) for field in dataclasses.fields(cls)}
    if any(isinstance(value, Optimizer) for value in options.values()):
        raise ValueError(
            f"optimizer: expected a method that is around no other, got {optimizer!r}; the options "
            "episodes_per_candidate and safe, and names as in whitened:ars, do that"
        )
    return name, options


def _default(field: "dataclasses.Field[Any]") -> Any:
    """The default of a dataclass's field as pydantic has it."""
    if field.default_factory is not dataclasses.MISSING:
        return Field(default_factory=field.default_factory)
    return ... if field.default is dataclasses.MISSING else field.default
