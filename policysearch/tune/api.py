"""`tune`: from a function of named parameters to better parameters, and how much better they are.

The search spends `rollouts`; then the recommendation and the start are evaluated on the same held-out seeds. With a
folder everything is logged as it happens, and the same call continues with what is there.
"""

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Unpack, get_type_hints

from policysearch import engines, limits
from policysearch.asking.prompt import Prompt, Stopped
from policysearch.configuration import check_keywords
from policysearch.core import Optimizer
from policysearch.engines import EngineEvaluator
from policysearch.evaluators import Capped, FunctionEvaluator, PoolEvaluator, ProgramEvaluator, Runner
from policysearch.evaluators.functions import OWN_COLUMNS
from policysearch.evaluators.unseeded import TRIED, Unseeded
from policysearch.interrupts import Interrupted, held_back
from policysearch.reporting.notebook import teller
from policysearch.reporting.silence import Silence
from policysearch.reuse import Reuse
from policysearch.space import Space, space_of
from policysearch.tune import ask, tries
from policysearch.tune.checks import checked, what_is_run
from policysearch.tune.earlier import begun_from
from policysearch.tune.held_out import HeldOut
from policysearch.tune.journal import Journal, opened
from policysearch.tune.options import Function, TuneOptions, TuneSettings
from policysearch.tune.prepared import asked, name_of, prepared, searched, settings_of
from policysearch.tune.result import TuneResult
from policysearch.tune.scenarios import Scenarios
from policysearch.tune.sensitivity import REACH
from policysearch.tune.tuning import Tuning
from policysearch.tune.written import write
from policysearch.wire import check

#: Rollouts of the recommendation on held-out seeds, and as many of the start: by a function or program, and a person.
REPORT, REPORT_BY_HAND = 20, 3
#: Said after a long silence, where rollouts have no limit of time.
STUCK = (
    "note: no news for a minute; a generation may take that long. If a rollout never ends: Ctrl-C, and the same "
    "again with --timeout SECONDS; what was run is kept"
)
#: Keywords that are no settings, and what stands for those that are left out.
MACHINE = {
    "perturb": None,
    "known": None,
    "workers": 1,
    "engine": None,
    "out": None,
    "progress": None,
    "log": None,
}


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
        Interrupted: by Ctrl-C; its `result` is what there is.
    """
    check_keywords("tune", options, TuneOptions.__annotations__)
    given: dict[str, Any] = dict(options)
    perturb, known, workers, engine, out, progress, log = (given.pop(*item) for item in MACHINE.items())
    reuse = Reuse.taken(given)
    settings = settings_of({"rollouts": rollouts, "optimizer": optimizer, **given}, workers)
    space, typed = _space(function, space, settings)
    tuning, request = prepared(function, space, settings, teller(progress), log)
    if isinstance(function, Prompt):
        _check_asked(perturb, engine, settings)
        with opened(out, request, tuning.say, reuse, what_is_run([], tuning)) as journal:
            tuning = begun_from(tuning, journal, known)
            return _reported(tuning, out, partial(_by_a_person, tuning, function, settings, journal))
    with ExitStack() as stack:
        tuning = replace(tuning, say=stack.enter_context(_silence(tuning)).hearing(tuning.say))
        where = stack.enter_context(engines.using(engine, tuning.say))
        runner = partial(_runner, space=space, typed=typed, tuning=tuning, workers=workers, engine=where)
        plant = stack.enter_context(runner(function))
        plants = {name: (run, stack.enter_context(runner(run))) for name, run in (perturb or {}).items()}
        runs = partial(what_is_run, [function, *(perturb or {}).values(), typed], tuning)
        journal = stack.enter_context(opened(out, request, tuning.say, reuse, runs()))
        if done := journal.rollouts:
            tuning.say(f"{done} rollouts are known from {out}: they are not run again")
        tuning, said = checked(begun_from(tuning, journal, known), journal, plant, runs, reuse)
        search = partial(_by_rollouts, tuning, settings, journal, plant, plants)
        return _reported(tuning, out, search, before=journal.remarks, after=said, seeded=plant.seeded)


def _reported(
    tuning: Tuning,
    out: str | Path | None,
    search: Callable[[], TuneResult],
    *,
    before: Sequence[str] = (),
    after: Sequence[str] = (),
    seeded: bool = True,
) -> TuneResult:
    """The result of `search`, written to the folder `out`, if there is one; where it is stopped, what there is.

    Remarks of the folder stand before the result's own, those of the checks after them.

    Raises:
        Interrupted: with what there is, if it was stopped after its first generation.
        OSError: if a file cannot be written.
    """
    stop: BaseException | None = None
    try:
        result = search()
    except (KeyboardInterrupt, EOFError, Stopped) as error:
        if not tuning.kept:
            raise
        result, stop = tuning.kept[-1], error
    remarks = (*before, *result.remarks, *after, *result.held_out.remarks(seeded))
    result = replace(result, remarks=remarks)
    with held_back() as pressed:
        if out is not None and (failed := write(result, Path(out))):
            tuning.say(failed)
    if stop or pressed:
        raise Interrupted(result, f"{result.note or 'stopped'}; `result` has what there is") from stop
    return result


def _silence(tuning: Tuning) -> Silence:
    """What says that there is no news, unless rollouts are ended in time anyway."""
    return Silence(tuning.say, STUCK if tuning.settings.timeout is None else None)


def _check_asked(perturb: Any, engine: Any, settings: TuneSettings) -> None:
    """Raise ValueError for what a person is not asked for."""
    names = ("sensitivity_rollouts", "hours", "scenarios")
    if (
        wrong := ["perturb"] * bool(perturb)
        + ["engine"] * (engine is not None)
        + [name for name in names if getattr(settings, name)]
    ):
        raise ValueError(f"{' and '.join(wrong)}: expected none where a person is asked")


def _by_a_person(tuning: Tuning, prompt: Prompt, settings: TuneSettings, journal: Journal) -> TuneResult:
    """What a person finds who is asked for every return."""
    answers = tries.Answers(journal.of(*tries.KINDS), journal.write)
    person = ask.AskEvaluator(
        tuning.space, prompt, answers=answers, tries=settings.rollouts, **asked(settings)
    )
    episodes = settings.report_rollouts or REPORT_BY_HAND
    return ask.asked(
        lambda person: tuning.run(
            person, person, episodes, limits.Watch(settings.limits, values=tuning.values), compare_best=False
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
    scenarios, episodes = len(tuning.scenarios), settings.report_rollouts or REPORT
    remembered = journal.memoised(Unseeded(plant, scenarios))
    recorded = journal.recorded(plant, limits.clock if settings.hours else None)
    each = scenarios * (episodes if plant.seeded else TRIED)
    after = (3 + 2 * len(plants)) * each + settings.sensitivity_rollouts
    watch = limits.Watch(settings.limits, lambda: recorded.seconds, lambda made: after, tuning.values)
    # With constraints on outputs, what would be cut off might be the best that is allowed.
    search = recorded if settings.outputs else Capped(recorded)
    result = tuning.run(search, remembered, episodes, watch)
    if not len(result.held_out.returns):
        return result
    if rollouts := settings.sensitivity_rollouts:
        reach = min(settings.reach, REACH) if settings.safe else REACH
        tuning.keep(_stopped(result, "values near the recommendation"))
        result = replace(result, sensitivity=tuning.around(remembered, result, rollouts, reach))
    perturbed: dict[str, HeldOut] = {}
    for name, (changed, runner) in plants.items():
        tuning.say(f"evaluating the recommendation and the start on {name}")
        tuning.keep(_stopped(replace(result, perturbed=dict(perturbed)), name))
        remembered = journal.memoised(Unseeded(runner, scenarios), f"{name}: {name_of(changed)}")
        perturbed[name] = tuning.with_start(remembered, result.recommendation, episodes)
    return replace(result, perturbed=perturbed)


def _stopped(result: TuneResult, phase: str) -> TuneResult:
    """The result as it is if the next phase is interrupted."""
    remark = f"stopped before all was evaluated on {phase}"
    return replace(result, ended="stopped", remarks=(*result.remarks, remark))


def _runner(
    run: Function | str,
    *,
    space: Space,
    typed: type | None,
    tuning: Tuning,
    workers: int,
    engine: engines.Engine | None,
) -> Runner:
    """What runs a program, or a function that wants the parameters as a mapping or `typed`.

    Raises:
        ValueError: for a program that is not there, or a function that cannot be sent to another process.
    """
    settings, say = tuning.settings, tuning.say
    scenarios = Scenarios.of(settings.scenarios, settings.objective).values
    timeout, wanted = settings.timeout, asked(settings)
    files: dict[str, Any] = {"template": settings.template or (), "directory": settings.directory}
    if isinstance(run, str):
        program = ProgramEvaluator(run, space, workers=workers, timeout=timeout, **files, **wanted).on(
            scenarios
        )
        if engine is None:
            return program
        inner, named = program.sent
        return EngineEvaluator(inner, engine, depends=(*settings.depends, *named), say=say)
    if given := [name for name, value in files.items() if value]:
        raise ValueError(f"{' and '.join(given)}: expected a command that they are for, got {name_of(run)}")
    evaluator = FunctionEvaluator(_Typed(run, typed) if typed else run, space, scenarios=scenarios, **wanted)
    if workers == 1 and timeout is None and engine is None:
        return evaluator
    try:
        if engine is not None:
            depends = tuple(settings.depends)
            return EngineEvaluator(evaluator, engine, timeout=timeout, depends=depends, say=say)
        check(evaluator)
    except Exception as error:  # whatever the objects inside raise when they are to be sent
        raise ValueError(
            "function: expected one that can be sent to other processes, as workers, engines and time limits need "
            f"them, got {name_of(run)}, which holds something that cannot: {type(error).__name__}: {error}; "
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


def _space(
    function: Function | str | Prompt, space: Space | type | None, settings: TuneSettings
) -> tuple[Space, type | None]:
    """The parameters as they are searched, and the dataclass that the function wants them as, if any.

    Raises:
        ValueError: if there are no parameters, or for a value or a margin that makes no sense.
    """
    typed = None if isinstance(function, str | Prompt) else _annotated(function)
    space = space or typed
    if space is None:
        raise ValueError(
            "space: expected parameters, or a function whose first parameter is annotated with a dataclass of them, "
            f"got neither from {name_of(function)}"
        )
    try:
        space = space if isinstance(space, Space) else space_of(space)
    except (TypeError, NameError) as error:
        raise ValueError(f"space: {error}") from error
    if taken := [name for name in space.names if name in OWN_COLUMNS]:
        raise ValueError(f"space: expected other names than {', '.join(OWN_COLUMNS)}, got {', '.join(taken)}")
    return searched(space, settings, typed), typed


def _annotated(function: Function) -> type | None:
    """The dataclass with which the first parameter of a function is annotated."""
    try:
        first = next(iter(inspect.signature(function).parameters))
        kind = get_type_hints(function).get(first)
    except Exception:  # built in, or annotated with what cannot be evaluated
        return None
    return kind if isinstance(kind, type) and dataclasses.is_dataclass(kind) else None
