"""Evaluators: the ways to run a proposal."""

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
