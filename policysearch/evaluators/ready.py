"""Imported by the server that forks workers, where their rollouts are compiled: what each would load for itself.

Numba takes a quarter of a second to begin, also where its compiled code is on disk.
"""

from numba.core.registry import cpu_target

from policysearch.evaluators import compiled  # noqa: F401
from policysearch.policies import gaussian, softmax  # noqa: F401

cpu_target.typing_context.refresh()
cpu_target.target_context.refresh()
