"""Evaluators: the ways to run a proposal, each imported when it is first used."""

from typing import TYPE_CHECKING

from policysearch.exports import exports

if TYPE_CHECKING:  # for editors and type checkers
    from policysearch.evaluators.capping import Capped
    from policysearch.evaluators.compiled import CompiledEvaluator
    from policysearch.evaluators.episodes import EpisodeEvaluator
    from policysearch.evaluators.functions import FunctionEvaluator
    from policysearch.evaluators.pool import PoolEvaluator
    from policysearch.evaluators.programs import ProgramEvaluator
    from policysearch.evaluators.runner import Divisible, Runner

__all__ = [
    "Capped",
    "CompiledEvaluator",
    "Divisible",
    "EpisodeEvaluator",
    "FunctionEvaluator",
    "PoolEvaluator",
    "ProgramEvaluator",
    "Runner",
]

__getattr__ = exports(
    __name__,
    {
        "Capped": "capping",
        "CompiledEvaluator": "compiled",
        "Divisible": "runner",
        "EpisodeEvaluator": "episodes",
        "FunctionEvaluator": "functions",
        "PoolEvaluator": "pool",
        "ProgramEvaluator": "programs",
        "Runner": "runner",
    },
)
