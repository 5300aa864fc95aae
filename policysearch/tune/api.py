"""`tune`: from a function of named parameters to better parameters, and how much better they are.

The search spends `rollouts`; then the recommendation and the start are evaluated on the same held-out seeds. With a
folder everything is logged as it happens, and the same call continues with what is there.
"""

import dataclasses
import inspect
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Unpack, get_type_hints

from policysearch import limits
from policysearch.asking.prompt import Prompt
from policysearch.configuration import check_keywords, validated
from policysearch.core import Optimizer
from policysearch.evaluators import Capped, FunctionEvaluator, PoolEvaluator, ProgramEvaluator, Runner
from policysearch.evaluators.functions import OWN_COLUMNS
from policysearch.evaluators.unseeded import TRIED, Unseeded
from policysearch.optimizers import Repeated, Trusted, build, method_of, not_installed
from policysearch.reuse import Reuse
from policysearch.space import Space, space_of
from policysearch.tune import ask, tries
from policysearch.tune.checks import checked, what_is_run
from policysearch.tune.journal import Journal, opened
from policysearch.tune.options import Function, Say, TuneOptions, TuneSettings
from policysearch.tune.result import TuneResult
from policysearch.tune.sensitivity import REACH, check_rollouts
from policysearch.tune.tuning import Tuning
from policysearch.wire import check

#: Rollouts of the recommendation on held-out seeds, and as many of the start: by a function or program, and a person.
REPORT, REPORT_BY_HAND = 20, 3
#: The first step size of CMA-ES, as a share of the ranges.
SIGMA = 0.1


def tune(
    function: Function | str | Prompt,
    space: Space | type | None = None,
    rollouts: int = 200,
    optimizer: str | Optimizer | type[Optimizer] | None = None,
    **options: Unpack[TuneOptions],
) -> TuneResult:
    """Better parameters for `function`, and how much better they are.

    Args:
        function: `function(params, seed)` gives a return, or a mapping with `return`, `steps`, `violation` and other
            numbers; or a command line with a `{placeholder}` per parameter (see `policysearch.evaluators`); or a
            `Prompt`, which asks a person to try the parameters and to type what was measured.
        space: the parameters: a `Space`, or a dataclass for `space_of`; None if the function's first parameter is
            annotated with a dataclass: it is then given instances of it.
        rollouts: the budget of the search.
        optimizer: the method, by its name or as `CMAES(sigma=0.2)`; None for that of `default_method`.
        **options: what else can be chosen; `TuneSettings` and `TuneOptions` describe it.

    Raises:
        ValueError: for an unknown method, hyperparameter or placeholder, a constraint that makes no sense, ….
        TypeError: for an unknown option.
        LedgerError: if the folder holds something else, or cannot be written.
    """
    check_keywords("tune", options, TuneOptions.__annotations__)
    perturb, workers = options.pop("perturb", None) or {}, options.pop("workers", 1)
    out, progress = options.pop("out", None), options.pop("progress", None)
    reuse = Reuse.taken(options)
    settings = _settings({"rollouts": rollouts, "optimizer": optimizer, **options}, workers)
    given, typed = _space(function, space)
    space = _searched(given, settings)
    if settings.sensitivity_rollouts:
        check_rollouts(space, settings.sensitivity_rollouts)
    tuning, request = _prepared(function, space, settings, progress or (lambda line: None))
    if isinstance(function, Prompt):
        if perturb or settings.sensitivity_rollouts or settings.hours:
            raise ValueError("perturb, sensitivity_rollouts and hours: expected none where a person is asked")
        with opened(out, request, tuning.say, reuse, what_is_run([], tuning)) as journal:
            return _by_a_person(tuning, function, settings, journal)
    with ExitStack() as stack:
        runner = partial(_runner, space=space, typed=typed, settings=settings, workers=workers)
        plant = stack.enter_context(runner(function))
        plants = {name: (run, stack.enter_context(runner(run))) for name, run in perturb.items()}
        runs = partial(what_is_run, [function, *perturb.values(), typed], tuning)
        journal = stack.enter_context(opened(out, request, tuning.say, reuse, runs()))
        if known := journal.rollouts:
            tuning.say(f"{known} rollouts are known from {out}: they are not run again")
        tuning, said = checked(tuning, journal, plant, runs, reuse)
        result = _by_rollouts(tuning, settings, journal, plant, plants)
        return replace(result, remarks=(*journal.remarks, *said, *result.held_out.remarks(plant.seeded)))


def _settings(given: dict[str, Any], workers: int) -> TuneSettings:
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


def _prepared(function: Any, space: Space, settings: TuneSettings, say: Say) -> tuple[Tuning, dict[str, Any]]:
    """The search, and the document that a folder keeps of what decides it.

    Raises:
        ValueError: if the method does not fit, or the start breaks a constraint.
    """
    default, first_options = default_method(space)
    name, hyperparameters = settings.optimizer or default, settings.options
    configured = build(name, first_options | hyperparameters if name == default else hyperparameters)
    if reason := not_installed(configured):
        raise ValueError(f"optimizer: {name} {reason}")
    episodes, reach = settings.episodes_per_candidate, settings.reach
    request = _asked(settings) | {
        "function": _name(function),
        "space": [dataclasses.asdict(parameter) for parameter in space.parameters],
        "optimizer": {"method": name, **dataclasses.asdict(configured)},  # type: ignore[call-overload]
        "safe": reach,
        "episodes_per_candidate": episodes,
        "seed": settings.seed,
        "template": settings.template,
        "directory": settings.directory,
    }
    method = Repeated(configured, episodes) if episodes > 1 else configured
    method = Trusted(method, reach) if settings.safe else method
    tuning = Tuning(method, name, space, settings, say)
    tuning.check()
    constrained = FunctionEvaluator(lambda params, seed: 0.0, space, **_asked(settings))
    if broken := constrained.broken(space.named(space.domain.start)):
        raise ValueError(f"start: expected values that meet the constraints, got some that break {broken}")
    return tuning, request


def _asked(settings: TuneSettings) -> dict[str, Any]:
    """What every evaluator has to know."""
    return {"goal": settings.goal, "constraints": settings.constraints}


def _by_a_person(tuning: Tuning, prompt: Prompt, settings: TuneSettings, journal: Journal) -> TuneResult:
    """What a person finds who is asked for every return."""
    answers = tries.Answers(journal.of(*tries.KINDS), journal.write)
    person = ask.AskEvaluator(
        tuning.space, prompt, answers=answers, tries=settings.rollouts, **_asked(settings)
    )
    episodes = settings.report_rollouts or REPORT_BY_HAND
    return ask.asked(
        lambda person: tuning.run(
            person, person, episodes, limits.Watch(settings.limits), compare_best=False
        ),
        person,
    )


def _by_rollouts(
    tuning: Tuning,
    settings: TuneSettings,
    journal: Journal,
    plant: Runner,
    plants: Mapping[str, tuple[Function | str, Runner]],
) -> TuneResult:
    """What the rollouts of a function or a program find, and of its changed plants by name."""
    remembered, episodes = journal.memoised(Unseeded(plant)), settings.report_rollouts or REPORT
    recorded = journal.recorded(plant, limits.clock if settings.hours else None)
    after = (3 + 2 * len(plants)) * (episodes if plant.seeded else TRIED) + settings.sensitivity_rollouts
    watch = limits.Watch(settings.limits, lambda: recorded.seconds, after)
    result = tuning.run(Capped(recorded), remembered, episodes, watch)
    if not len(result.held_out.returns):
        return result
    if rollouts := settings.sensitivity_rollouts:
        reach = min(settings.reach, REACH) if settings.safe else REACH
        result = replace(result, sensitivity=tuning.around(remembered, result, rollouts, reach))
    perturbed = {}
    for name, (changed, runner) in plants.items():
        tuning.say(f"evaluating the recommendation and the start on {name}")
        remembered = journal.memoised(Unseeded(runner), f"{name}: {_name(changed)}")
        perturbed[name] = tuning.with_start(remembered, result.recommendation, episodes)
    return replace(result, perturbed=perturbed)


def default_method(space: Space) -> tuple[str, dict[str, Any]]:
    """The method that `tune` takes for these parameters, and hyperparameters that are not its own defaults.

    CMA-ES, which starts with a tenth of the ranges where they are bounded: with 30 and 100 rollouts of seven
    controllers that does better than its usual three tenths (`results/controllers/default_method.md`). With
    options, or whole numbers of few values, it starts as usual, since small steps hardly leave the first. A single
    number, which CMA-ES does not search, is left to local regression (`experiments/one_parameter`), and a single
    choice, or whole number of few values, to hill climbing.
    """
    if len(space.searched) == 1:
        return ("hill-climbing" if space.searched[0].few else "local-regression"), {}
    chooses = any(parameter.few for parameter in space.searched)
    return "cma-es", {"sigma": SIGMA} if space.domain.enclosed and not chooses else {}


def _runner(
    run: Function | str, space: Space, typed: type | None, settings: TuneSettings, workers: int
) -> Runner:
    """What runs a program, or a function that wants the parameters as a mapping or `typed`.

    Raises:
        ValueError: for a program that is not there, or a function that cannot be sent to another process.
    """
    timeout, asked = settings.timeout, _asked(settings)
    files: dict[str, Any] = {"template": settings.template or (), "directory": settings.directory}
    if isinstance(run, str):
        return ProgramEvaluator(run, space, workers=workers, timeout=timeout, **files, **asked)
    if given := [name for name, value in files.items() if value]:
        raise ValueError(f"{' and '.join(given)}: expected a command that they are for, got {_name(run)}")
    evaluator = FunctionEvaluator(_Typed(run, typed) if typed else run, space, **asked)
    if workers == 1 and timeout is None:
        return evaluator
    try:
        check(evaluator)
    except Exception as error:  # whatever the objects inside raise when they are to be sent
        raise ValueError(
            "function: expected one that can be sent to other processes, as workers and time limits need them, got "
            f"{_name(run)}, which holds something that cannot: {type(error).__name__}: {error}; "
            "build that inside the function"
        ) from error
    return PoolEvaluator(evaluator, workers=workers, timeout=timeout)


@dataclass(frozen=True)
class _Typed:
    """A function that is given instances of a dataclass instead of mappings."""

    function: Function
    cls: type

    @property
    def __wrapped__(self) -> Function:  # whose signature it has
        return self.function

    def __call__(self, params: Mapping[str, Any], *seed: int, **more: float) -> Any:
        return self.function(self.cls(**params), *seed, **more)


def _space(function: Function | str | Prompt, space: Space | type | None) -> tuple[Space, type | None]:
    """The parameters, and the dataclass that the function wants them as, if any.

    Raises:
        ValueError: if there are no parameters.
    """
    typed = None if isinstance(function, str | Prompt) else _annotated(function)
    space = space or typed
    if space is None:
        raise ValueError(
            "space: expected parameters, or a function whose first parameter is annotated with a dataclass of them, "
            f"got neither from {_name(function)}"
        )
    try:
        space = space if isinstance(space, Space) else space_of(space)
    except (TypeError, NameError) as error:
        raise ValueError(f"space: {error}") from error
    if taken := [name for name in space.names if name in OWN_COLUMNS]:
        raise ValueError(f"space: expected other names than {', '.join(OWN_COLUMNS)}, got {', '.join(taken)}")
    return space, typed


def _searched(space: Space, settings: TuneSettings) -> Space:
    """The parameters as they are searched: some fixed, and away from their bounds.

    Raises:
        ValueError: for a value or a margin that makes no sense.
    """
    space = space.fixed(settings.fixed) if settings.fixed else space
    return space.within(settings.margin) if settings.margin else space


def _annotated(function: Function) -> type | None:
    """The dataclass with which the first parameter of a function is annotated."""
    try:
        first = next(iter(inspect.signature(function).parameters))
        kind = get_type_hints(function).get(first)
    except Exception:  # built in, or annotated with what cannot be evaluated
        return None
    return kind if isinstance(kind, type) and dataclasses.is_dataclass(kind) else None


def _name(function: Any) -> str:
    if isinstance(function, str):
        return function
    if isinstance(function, Prompt):
        return "a person"
    return (
        f"{getattr(function, '__module__', '')}:{getattr(function, '__qualname__', type(function).__name__)}"
    )
