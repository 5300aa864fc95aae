"""The nondominated, or Pareto, front: no other row is better in one quantity without being worse in another.

One row of costs dominates another if it is nowhere larger and somewhere smaller. Means of few noisy rollouts are
partly on the front by luck.
"""

import numpy as np
from jaxtyping import Bool, Float

from policysearch.core import Array


def front(costs: Float[Array, "n m"]) -> Bool[Array, "n"]:
    """Which rows no other row dominates, all columns to be minimised.

    Equal rows are on the front together; one with NaN never is, and dominates none.
    """
    known = np.flatnonzero(~np.isnan(costs).any(axis=1))
    order = known[np.lexsort(costs[known].T[::-1])]  # none is dominated by a later one
    mask = np.zeros(len(costs), dtype=bool)
    best = np.empty((0, costs.shape[1]))
    for i in order:
        if not ((best <= costs[i]).all(axis=1) & (best < costs[i]).any(axis=1)).any():
            mask[i] = True
            best = costs[mask]
    return mask
