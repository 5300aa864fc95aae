"""Imported by the server that forks workers, where their rollouts are compiled: what each would import for itself."""

from policysearch.evaluators import compiled  # noqa: F401
from policysearch.policies import gaussian, softmax  # noqa: F401
