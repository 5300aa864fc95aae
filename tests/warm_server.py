"""Imported by the process from which the workers of the tests are forked: what they would load one by one."""

import counting_env  # noqa: F401
import nasty  # noqa: F401
from problems import WALKER, Walk

import policysearch.compare.workers  # noqa: F401
from policysearch.evaluators import EpisodeEvaluator

EpisodeEvaluator(
    Walk, WALKER
).compile()  # Numba takes a quarter of a second to begin, also with its files on disk
