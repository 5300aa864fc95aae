"""What is prepared before a tuning: settings that were checked, the parameters to search, the method, the request."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from policysearch.asking.prompt import Prompt
from policysearch.configuration import validated
from policysearch.core import Optimizer
from policysearch.evaluators import FunctionEvaluator
from policysearch.optimizers import Repeated, Trusted, build, method_of, not_installed
from policysearch.optimizers.constrained import Constrained, Outputs
from policysearch.optimizers.robust import Robust
from policysearch.reporting.log import CsvLog
from policysearch.space import Space
from policysearch.tune.checks import check_method
from policysearch.tune.journal import LATER
from policysearch.tune.options import Say, TuneSettings
from policysearch.tune.records import FIRST_COLUMNS
from policysearch.tune.scenarios import Scenarios, with_nominal
from policysearch.tune.sensitivity import check_rollouts
from policysearch.tune.tuning import Tuning

#: The first step size of CMA-ES, as a share of the ranges.
SIGMA = 0.1


def settings_of(given: dict[str, Any], workers: int) -> TuneSettings:
    """The settings, from keywords, where None leaves the default.

    Raises:
        ValueError: with a line for every value that makes no sense, or for what is no method.
    """
    if (optimizer := given["optimizer"]) is not None and not isinstance(optimizer, str):
        name, own = method_of(optimizer)
        given = given | {"optimizer": name, "options": own | dict(given.get("options") or {})}
    texts = [str(getattr(constraint, "text", constraint)) for constraint in given.get("constraints") or ()]
    known = {name: value for name, value in given.items() if value is not None} | {"constraints": texts}
    settings = validated(TuneSettings, known)
    if workers < 1:
        raise ValueError(f"workers: expected at least 1, got {workers}")
    return settings


def prepared(
    function: Any, space: Space, settings: TuneSettings, say: Say, log: str | Path | None = None
) -> tuple[Tuning, dict[str, Any]]:
    """The search, and the document that a folder keeps of what decides it.

    Raises:
        ValueError: if the method does not fit, the start breaks a constraint, or the log is something else.
    """
    if settings.sensitivity_rollouts:
        scenarios = Scenarios.of(settings.scenarios, settings.objective)
        check_rollouts(space, settings.sensitivity_rollouts // len(scenarios))
    name = settings.optimizer or default_method(space, constrained=bool(settings.outputs))
    own = first_options(name, space) if settings.settings != "source" else {}
    configured = build(name, own | settings.options, settings.settings)
    if reason := not_installed(configured):
        raise ValueError(f"optimizer: {name} {reason}")
    request = asked(settings) | {
        "function": name_of(function),
        "space": [dataclasses.asdict(parameter) for parameter in space.parameters],
        "optimizer": {"method": name, **dataclasses.asdict(configured)},  # type: ignore[call-overload]
        "safe": settings.reach,
        "episodes_per_candidate": settings.episodes_per_candidate,
        "seed": settings.seed,
        "template": settings.template,
        "directory": settings.directory,
    }
    request |= {name: value for name in LATER if (value := getattr(settings, name)) != unset_of(name)}
    logged = (
        None if log is None else CsvLog(Path(log).absolute(), FIRST_COLUMNS, "a tuning")
    )  # wherever the function may go
    tuning = Tuning(around(configured, request), name, space, settings, say, log=logged)
    check_method(tuning)
    constrained = FunctionEvaluator(lambda params, seed: 0.0, space, **asked(settings))
    if broken := constrained.broken(space.named(space.domain.start)):
        raise ValueError(f"start: expected values that meet the constraints, got some that break {broken}")
    return tuning, request


def around(method: Optimizer, request: Mapping[str, Any]) -> Optimizer:
    """A method as a request wants it: with constraints on outputs, several episodes and scenarios, and safe."""
    episodes, reach = request["episodes_per_candidate"], request["safe"]
    scenarios = Scenarios.of(request.get("scenarios", {}), request.get("objective", "mean"))
    method = Repeated(method, episodes) if episodes > 1 else method
    method = Robust(method, len(scenarios), scenarios.objective) if len(scenarios) > 1 else method
    if texts := request.get("outputs"):
        method = Constrained(method, Outputs(tuple(texts), len(scenarios), scenarios.objective))
    return Trusted(method, reach) if reach else method


def unset_of(name: str) -> Any:
    """What a setting is where it is not given."""
    return TuneSettings.model_fields[name].default


def asked(settings: TuneSettings) -> dict[str, Any]:
    """What every evaluator has to know."""
    return {"goal": settings.goal, "constraints": settings.constraints}


def default_method(space: Space, *, constrained: bool = False) -> str:
    """The method that `tune` takes for these parameters.

    `auto`, which looks for noise and chooses (docs/explanation/choosing-a-method.md). A single number is left to
    local regression (`experiments/one_parameter`), and a single choice, or whole number of few values, to hill
    climbing. CMA-ES searches several parameters with such among them, as a model of the return has no use for jumps,
    and where outputs are `constrained`, as penalties that change from generation to generation mislead a model.
    """
    if len(space.searched) == 1:
        return "hill-climbing" if space.searched[0].few else "local-regression"
    return "cma-es" if constrained or _has_few(space) else "auto"


def first_options(name: str, space: Space) -> dict[str, Any]:
    """Hyperparameters of a method that are not its own defaults.

    CMA-ES starts with a tenth of the ranges where they are bounded: with 30 and 100 rollouts of seven controllers
    that does better than its usual three tenths (`results/controllers/default_method.md`). With options, or whole
    numbers of few values, it starts as usual, since small steps hardly leave the first.
    """
    return {"sigma": SIGMA} if name == "cma-es" and space.domain.enclosed and not _has_few(space) else {}


def _has_few(space: Space) -> bool:
    return any(parameter.few for parameter in space.searched)


def searched(space: Space, settings: TuneSettings, typed: type | None = None) -> Space:
    """The parameters as they are searched: some fixed, and away from their bounds.

    Raises:
        ValueError: for a value or a margin that makes no sense, or a scenario of what is no field of `typed`.
    """
    if wrong := [name for name in settings.scenarios if typed and name not in space.names]:
        raise ValueError(
            f"scenarios: expected fields of {typed.__name__ if typed else ''}, got {', '.join(wrong)}"
        )
    Scenarios.of(settings.scenarios, settings.objective)  # or they are refused
    space = with_nominal(space, settings.scenarios) if settings.scenarios else space
    space = space.fixed(settings.fixed) if settings.fixed else space
    return space.within(settings.margin) if settings.margin else space


def name_of(function: Any) -> str:
    """What a function, a command line or a person is called in ledgers and messages."""
    if isinstance(function, str):
        return function
    if isinstance(function, Prompt):
        return "a person"
    return (
        f"{getattr(function, '__module__', '')}:{getattr(function, '__qualname__', type(function).__name__)}"
    )
