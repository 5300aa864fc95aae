"""`tune`: from a function of named parameters to better parameters, and how much better they are.

The search spends `rollouts`; then the recommendation and the start are tried on the same fresh seeds, which no search
has met. With a folder everything is logged as it happens, and the same call goes on with what is there.
"""

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any, get_type_hints

from policysearch.asking.prompt import Asker
from policysearch.constraints import Constraint
from policysearch.evaluators import FunctionEvaluator, GivingUp, PoolEvaluator, ProgramEvaluator, Runner
from policysearch.evaluators.functions import OWN_COLUMNS, Goal
from policysearch.optimizers import Repeated, Trusted, build
from policysearch.space import Choice, Space, space_of
from policysearch.tune import ask
from policysearch.tune.journal import opened
from policysearch.tune.result import TuneResult
from policysearch.tune.sensitivity import REACH as BESIDE
from policysearch.tune.sensitivity import least_rollouts
from policysearch.tune.tuning import Say, Tuning

#: Fresh rollouts of the recommendation, and as many of the start: of a function or a program, and by a person.
REPORT, REPORT_BY_HAND = 20, 3
#: The first step size of CMA-ES, as a share of the ranges.
SIGMA = 0.1
#: As a share of a parameter's range, how far `safe` goes from what has worked.
REACH = 0.1

Function = Callable[[Any, int], float | Mapping[str, float]]


def tune(
    function: Function | str | Asker,
    space: Space | type | None = None,
    rollouts: int = 200,
    optimizer: str | None = None,
    *,
    options: Mapping[str, Any] | None = None,
    goal: Goal = "maximise",
    constraints: Sequence[Constraint | str] = (),
    margin: float = 0.0,
    safe: bool | float = False,
    episodes_per_candidate: int = 1,
    report_rollouts: int | None = None,
    sensitivity_rollouts: int = 0,
    perturb: Mapping[str, Function | str] | None = None,
    metrics: Mapping[str, Goal] | None = None,
    seed: int = 0,
    workers: int = 1,
    timeout: float | None = None,
    out: str | Path | None = None,
    progress: Say | None = None,
) -> TuneResult:
    """Better parameters for `function`, and how much better they are.

    Args:
        function: `function(params, seed)` gives a return, or a mapping with `return`, `steps`, `violation` and other
            numbers; or a command line with a `{placeholder}` per parameter (see `policysearch.evaluators`); or an
            `Asker`, who has a person try the parameters and type what was measured.
        space: the parameters: a `Space`, or a dataclass for `space_of`; None if the function's first parameter is
            annotated with a dataclass: it is then given instances of it.
        rollouts: how often the search may try.
        optimizer: the method, by its name in the registry; None for that of `default_method`.
        options: its hyperparameters; those of `default_method`, if it is that one, stay unless they are named.
        goal: "maximise" or "minimise".
        constraints: what parameters have to meet, as in "kd <= kp / 2"; others are not tried, and counted.
        margin: the share of every range that is left free at both of its ends.
        safe: never change a parameter by more than this share of its range from values that have worked together;
            True is a tenth.
        episodes_per_candidate: tries that are averaged for each candidate, all of them charged.
        report_rollouts: fresh tries of the recommendation, and as many of the start; not charged.
        sensitivity_rollouts: tries around the recommendation that show which parameters matter; not charged.
        perturb: changed plants by name, each a function or a command line like `function`, on which the
            recommendation and the start are tried too.
        metrics: for what else is measured, whether it is to be minimised (unless said) or maximised.
        seed: of everything random here; tries get seeds of their own.
        workers: processes; the results do not depend on their number.
        timeout: the longest that a try may take, in seconds, where there are processes that can be ended.
        out: a folder that keeps everything.
        progress: is told in words how far it is; `print` will do.

    Raises:
        ValueError: for an unknown method, hyperparameter or placeholder, a constraint that makes no sense, ….
        LedgerError: if the folder holds something else, or cannot be written.
    """
    _check(
        sensitivity_rollouts=(sensitivity_rollouts, 0),
        report_rollouts=(report_rollouts, 2),
        episodes_per_candidate=(episodes_per_candidate, 1),
        workers=(workers, 1),
    )
    space, typed = _space(function, space)
    space = space.within(margin) if margin else space
    reach = REACH if safe is True else float(safe)
    default, first_options = default_method(space)
    if optimizer in (None, default):
        optimizer, options = default, first_options | dict(options or {})
    configured = build(optimizer, options or {})
    texts = [str(getattr(constraint, "text", constraint)) for constraint in constraints]
    asked: dict[str, Any] = {"goal": goal, "constraints": texts}
    request = asked | {
        "function": _name(function),
        "space": [dataclasses.asdict(parameter) for parameter in space.parameters],
        "optimizer": {"method": optimizer, **dataclasses.asdict(configured)},  # type: ignore[call-overload]
        "safe": reach,
        "episodes_per_candidate": episodes_per_candidate,
        "seed": seed,
    }
    method = Repeated(configured, episodes_per_candidate) if episodes_per_candidate > 1 else configured
    method = Trusted(method, reach) if safe else method
    say = progress or (lambda line: None)
    tuning = Tuning(method, optimizer, space, goal, dict(metrics or {}), rollouts, seed, say)
    tuning.check()
    if broken := _broken(space, asked):
        raise ValueError(f"start: expected values that meet the constraints, got some that break {broken}")
    if isinstance(function, Asker):
        if perturb or sensitivity_rollouts:
            raise ValueError("perturb and sensitivity_rollouts: expected none where a person is asked")
        with opened(out, request) as journal:
            answers = ask.Answers(journal.of(*ask.KINDS), journal.write)
            person = ask.AskEvaluator(space, function, answers=answers, tries=rollouts, **asked)
            episodes = report_rollouts or REPORT_BY_HAND
            return ask.asked(lambda person: tuning.run(person, person, episodes, rival=False), person)
    if 0 < sensitivity_rollouts < (least := least_rollouts(space)):
        raise ValueError(f"sensitivity_rollouts: expected 0, or at least {least}, got {sensitivity_rollouts}")
    with ExitStack() as stack:

        def runner(run: Function | str) -> Runner:
            given = _Typed(run, typed) if typed and not isinstance(run, str) else run
            return stack.enter_context(_runner(given, space, workers, timeout, **asked))

        plant, episodes = runner(function), report_rollouts or REPORT
        plants = {name: runner(changed) for name, changed in (perturb or {}).items()}
        journal = stack.enter_context(opened(out, request))
        if known := journal.rollouts:
            say(f"{known} rollouts are known from {out}: they are not tried again")
        tried = journal.once(plant)
        result = tuning.run(GivingUp(journal.recorded(plant)), tried, episodes)
        if sensitivity_rollouts:
            beside = min(reach, BESIDE) if safe else BESIDE
            result = replace(result, sensitivity=tuning.around(tried, result, sensitivity_rollouts, beside))
        perturbed = {}
        for name, changed in plants.items():
            say(f"trying what was found and the start on {name}")
            tried = journal.once(changed, f"{name}: {_name((perturb or {})[name])}")
            perturbed[name] = tuning.beside_start(tried, result.recommendation, episodes)
        return replace(result, perturbed=perturbed)


def _check(**limits: tuple[int | None, int]) -> None:
    """Raise ValueError for a number below its least."""
    for name, (value, least) in limits.items():
        if value is not None and value < least:
            raise ValueError(f"{name}: expected at least {least}, got {value}")


def _broken(space: Space, asked: dict[str, Any]) -> str:
    """The constraints that the start breaks; empty if there is none."""
    return FunctionEvaluator(lambda params, seed: 0.0, space, **asked).broken(space.named(space.domain.start))


def default_method(space: Space) -> tuple[str, dict[str, Any]]:
    """The method that `tune` takes for these parameters, and hyperparameters that are not its own defaults.

    CMA-ES, which starts with a tenth of the ranges where they are bounded: with 30 and 100 rollouts of seven
    controllers that does better than its usual three tenths (`results/controllers/default_method.md`). With
    options to choose among it starts as usual, since small steps hardly leave the first. A single parameter,
    which CMA-ES does not search, is left to hill climbing.
    """
    if len(space.parameters) == 1:
        return "hill-climbing", {}
    chooses = any(isinstance(parameter, Choice) for parameter in space.parameters)
    return "cma-es", {"sigma": SIGMA} if space.domain.enclosed and not chooses else {}


def _runner(
    function: Function | str, space: Space, workers: int, timeout: float | None, **asked: Any
) -> Runner:
    """What runs the tries."""
    if isinstance(function, str):
        return ProgramEvaluator(function, space, workers=workers, timeout=timeout, **asked)
    evaluator = FunctionEvaluator(function, space, **asked)
    if workers == 1 and timeout is None:
        return evaluator
    try:
        ForkingPickler.dumps(evaluator)
    except Exception as error:  # whatever the objects inside raise when they are to be sent
        raise ValueError(
            "function: expected one that a module holds, since workers and time limits need processes of their own, "
            f"got {_name(function)}"
        ) from error
    return PoolEvaluator(evaluator, workers=workers, timeout=timeout)


@dataclass(frozen=True)
class _Typed:
    """A function that is given instances of a dataclass instead of mappings."""

    function: Function
    cls: type

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self.function)

    def __call__(self, params: Mapping[str, Any], seed: int, **more: float) -> Any:
        return self.function(self.cls(**params), seed, **more)


def _space(function: Function | str | Asker, space: Space | type | None) -> tuple[Space, type | None]:
    """The parameters, and the dataclass that the function wants them as, if any.

    Raises:
        ValueError: if nobody says which parameters there are.
    """
    typed = None if isinstance(function, str | Asker) else _annotated(function)
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
    if isinstance(function, Asker):
        return "a person"
    return (
        f"{getattr(function, '__module__', '')}:{getattr(function, '__qualname__', type(function).__name__)}"
    )
