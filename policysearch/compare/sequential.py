"""Sequential testing: groups of runs until every pair of methods is decided, or the last group has been made.

After Mathieu, Della Vecchia, Shilova, Centa de Medeiros, Kohler, Maillard & Preux 2023, "AdaStop: adaptive
statistical testing for sound comparisons of deep RL agents": a group-sequential permutation test. At each look
the largest statistic of the undecided pairs is compared with a boundary such that, were the methods equal,
boundaries up to look k would be crossed with probability at most α k/K. So one may look after every group and
still call equal methods different in at most 5 % of the studies of a task, all pairs and all looks together.

Ours flips the signs of paired differences (runs are paired), its statistic is that of `statistics.paired_tests`.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from policysearch.compare.statistics import ALPHA, SIGN_PATTERNS, capped
from policysearch.core import Array
from policysearch.seeding import stream


@dataclass(frozen=True, eq=False)
class Decisions:
    """What is known after some looks."""

    different: Bool[Array, "pairs"]
    looks: Float[Array, "pairs"]  # after which group each pair was decided; ∞ where it was not
    direction: Float[Array, "pairs"]  # then: 1 where the differences are positive, −1 where negative


def decide(gaps: Float[Array, "runs pairs"], group: int, groups: int, *key: int | str) -> Decisions:
    """The decisions after every group of runs that all undecided pairs have made.

    Args:
        gaps: paired differences (`statistics.differences`) by run; NaN where a pair has no such run.
        group: runs per group.
        groups: K, the most groups that will ever be made.
        key: names the random sign patterns.
    """
    runs, pairs = gaps.shape
    looks, direction = np.full(pairs, np.inf), np.zeros(pairs)
    signs = 1 - 2 * stream(*key).integers(2, size=(SIGN_PATTERNS, group * groups))
    signs[0] = 1
    crossed = np.zeros(SIGN_PATTERNS, dtype=bool)  # patterns beyond a boundary at an earlier look
    for look in range(1, min(groups, runs // group) + 1):
        n = look * group
        undecided = np.flatnonzero(np.isinf(looks))
        if np.isnan(gaps[:n, undecided]).any():  # the group is not complete
            break
        while undecided.size:
            flipped = signs[:, :n] @ capped(gaps[:n, undecided])
            T = np.abs(flipped)
            largest = T.max(axis=1)
            boundary = _boundary(largest[~crossed], ALPHA * look / groups * SIGN_PATTERNS - crossed.sum())
            beyond = T[0] > boundary
            if not beyond.any():
                crossed |= largest > boundary
                break
            looks[undecided[beyond]] = look
            direction[undecided[beyond]] = np.sign(flipped[0, beyond])
            undecided = undecided[~beyond]
    return Decisions(np.isfinite(looks), looks, direction)


def _boundary(largest: Float[Array, "m"], allowed: float) -> float:
    """The smallest boundary beyond which at most `allowed` of the statistics lie."""
    ordered = np.sort(largest)[::-1]
    k = int(max(allowed, 0.0))
    return float(ordered[k]) + 1e-9 if k < ordered.size else -np.inf
