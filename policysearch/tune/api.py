"""`tune`: from a function of named parameters to better parameters, and how much better they are.

The search spends `rollouts`; then the recommendation and the start are tried on the same fresh seeds, which no search
has met. With a folder everything is logged as it happens, and the same call goes on with what is there.
"""

import dataclasses
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from policysearch.configuration import build
from policysearch.constraints import Constraint
from policysearch.core import Evaluation, Proposal
from policysearch.evaluators import FunctionEvaluator, PoolEvaluator, ProgramEvaluator
from policysearch.evaluators.functions import Goal, sign_of
from policysearch.evaluators.recorded import Recorded
from policysearch.ledger import Ledger, LedgerError, decode, encode
from policysearch.optimizers import Repeated
from policysearch.search import Budget, Generation, SearchFailed, generations
from policysearch.space import Space, space_of
from policysearch.tune.result import Trial, TuneResult

NAME = "tune.sqlite"
#: Fresh rollouts of the recommendation, and as many of the start, unless something else is asked for.
REPORT = 20

Function = Callable[[Mapping[str, Any], int], float | Mapping[str, float]]
Runner = FunctionEvaluator | PoolEvaluator | ProgramEvaluator


def tune(
    function: Function | str,
    space: Space | type,
    rollouts: int = 200,
    optimizer: str = "cma-es",
    *,
    options: Mapping[str, Any] | None = None,
    goal: Goal = "maximise",
    constraints: Sequence[Constraint | str] = (),
    episodes_per_candidate: int = 1,
    report_rollouts: int = REPORT,
    seed: int = 0,
    workers: int = 1,
    timeout: float | None = None,
    out: str | Path | None = None,
    watch: Callable[[Generation], None] | None = None,
) -> TuneResult:
    """Better parameters for `function`, and how much better they are.

    Args:
        function: `function(params, seed)` gives a return, or a mapping with `return`, `steps`, `violation` and other
            numbers; or a command line with a `{placeholder}` per parameter. See `policysearch.evaluators`.
        space: the parameters: a `Space`, or a dataclass for `space_of`.
        rollouts: how often the search may try.
        optimizer: the method, by its name in the registry.
        options: its hyperparameters.
        goal: "maximise" or "minimise".
        constraints: what parameters have to meet, as in "kd <= kp / 2"; others are not tried, and counted.
        episodes_per_candidate: tries that are averaged for each candidate, all of them charged.
        report_rollouts: fresh tries of the recommendation, and as many of the start; not charged.
        seed: of everything random here; tries get seeds of their own.
        workers: processes; the results do not depend on their number.
        timeout: the longest that a try may take, in seconds, where there are processes that can be ended.
        out: a folder that keeps everything.
        watch: is shown every generation as it ends.

    Raises:
        ValueError: for an unknown method, hyperparameter or placeholder, a constraint that makes no sense, ….
        LedgerError: if the folder holds something else, or cannot be written.
    """
    space = space if isinstance(space, Space) else space_of(space)
    configured = build(optimizer, options or {})
    method = Repeated(configured, episodes_per_candidate) if episodes_per_candidate > 1 else configured
    evaluator = _runner(function, space, workers, timeout, goal=goal, constraints=constraints)
    request = {
        "function": function if isinstance(function, str) else _name(function),
        "space": [dataclasses.asdict(parameter) for parameter in space.parameters],
        "optimizer": {"method": optimizer, **dataclasses.asdict(configured)},  # type: ignore[call-overload]
        "goal": goal,
        "constraints": [str(getattr(constraint, "text", constraint)) for constraint in constraints],
        "episodes_per_candidate": episodes_per_candidate,
        "seed": seed,
    }
    trials, ended = list[Trial](), ""
    recommendation = space.domain.start
    with closing(evaluator), _journal(out, request) as (known, write):
        turns = generations(
            method,
            Recorded(evaluator, known, lambda record: write("generation", record)),
            space.domain,
            budget=Budget(rollouts),
            seed=seed,
            problem=("tune",),
            label=optimizer,
        )
        try:
            for turn in turns:
                trials += Trial.of(turn.proposal, turn.evaluation, space, turn.index, sign_of(goal))
                recommendation = turn.recommendation
                if watch is not None:
                    watch(turn)
        except SearchFailed as failed:
            ended = str(failed)
        fresh = _fresh(evaluator, np.array([recommendation, space.domain.start]), report_rollouts, seed)
    if not trials:
        raise ValueError(
            f"rollouts: expected at least one generation of {optimizer}, got {rollouts}; raise it or set smaller ones"
        )
    returns, start_returns = sign_of(goal) * fresh.returns
    return TuneResult(space, goal, recommendation, tuple(trials), returns, start_returns, ended)


def _fresh(evaluator: Runner, params: np.ndarray, episodes: int, seed: int) -> Evaluation:
    return evaluator.evaluate(
        Proposal(params, params[0], episodes, purpose="report"), (seed, "tune", "report")
    )


def _runner(
    function: Function | str, space: Space, workers: int, timeout: float | None, **asked: Any
) -> Runner:
    """What runs the tries."""
    if isinstance(function, str):
        return ProgramEvaluator(function, space, workers=workers, timeout=timeout, **asked)
    evaluator = FunctionEvaluator(function, space, **asked)
    if workers > 1 or timeout is not None:
        return PoolEvaluator(evaluator, workers=workers, timeout=timeout)
    return evaluator


def _name(function: Any) -> str:
    return (
        f"{getattr(function, '__module__', '')}:{getattr(function, '__qualname__', type(function).__name__)}"
    )


@contextmanager
def _journal(
    out: str | Path | None, request: dict[str, Any]
) -> Iterator[tuple[list[Any], Callable[[str, Any], None]]]:
    """The records of the generations that a folder holds, and what writes further ones.

    Raises:
        LedgerError: if the folder holds another request.
    """
    if out is None:
        yield [], lambda kind, body: None
        return
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    with Ledger(folder / NAME) as ledger:

        def write(kind: str, body: Any) -> None:
            ledger.append(kind, (), body)
            ledger.commit()

        wanted = decode(encode(request))
        if not ledger.events:
            write("request", request)
        elif (held := ledger.events[0].body) != wanted:
            changed = [
                f"{name} was {held.get(name)}, is {wanted[name]}"
                for name in wanted
                if held.get(name) != wanted[name]
            ]
            raise LedgerError(
                f"{ledger.path}: holds another request: {'; '.join(changed)}; choose another folder"
            )
        yield [event.body for event in ledger.events if event.kind == "generation"], write


def progress(goal: str) -> Callable[[Generation], None]:
    """A line on standard error per generation, for `watch`."""

    def say(turn: Generation) -> None:
        best = sign_of(goal) * np.nanmax(np.append(turn.evaluation.returns, -np.inf))
        found = f"the best of it {best:.4g}" if np.isfinite(best) else "all of it failed"
        sys.stderr.write(f"generation {turn.index + 1}: {turn.rollouts} rollouts, {found}\n")

    return say
