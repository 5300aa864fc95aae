"""Evaluators: the ways to run a proposal."""

from policysearch.evaluators.episodes import EpisodeEvaluator
from policysearch.evaluators.functions import FunctionEvaluator

__all__ = ["EpisodeEvaluator", "FunctionEvaluator"]
