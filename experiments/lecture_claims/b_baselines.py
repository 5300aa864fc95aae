"""A baseline leaves the score-function gradient unbiased; the average return is a good one, not the best.

    g = (R − b) S,  S = Σ_t ∇ log π(a_t|s_t):     tr Var g (b) = tr Var g (b*) + E‖S‖² (b − b*)²,
    b* = E[‖S‖² R]/E[‖S‖²]

(Greensmith, Bartlett & Baxter 2004). The average return is as good where ‖S‖² and R are not correlated. Exactly
on bandits, where they can be made so: an unlikely action has a large score. Elsewhere from many rollouts.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from a_reward_to_go import all_episodes, episodes, loan, start_and_gradient
from claim import Claim, Measured, bootstrap_interval, mean_interval
from jaxtyping import Float

from policysearch.compare.plots import COLOURS, figure_of
from policysearch.core import Array
from policysearch.gradients import baselines, score_function
from policysearch.gradients.estimators import FROM_ROLLOUTS
from policysearch.gradients.exact import LQR
from policysearch.gradients.tabular import MDP
from policysearch.simulators import lqr, problems

MANY = 40_000  # rollouts that the moments are taken from
FAR, GOOD = 2.0, 1.1  # ratios of variances that count as such


def variances(p: Float[Array, "n"], S2: Float[Array, "n"], R: Float[Array, "n"], R2: Float[Array, "n"], g2: float) -> dict[str, float]:
    """tr Var g without baseline, with the average return and with b*; R2 is E[R²] given the outcome."""
    ES2, ES2R, ES2R2 = p @ S2, p @ (S2 * R), p @ (S2 * R2)
    mean, best = p @ R, ES2R / ES2
    at = {"none": 0.0, "average": mean, "optimal": best}
    return {name: float(ES2R2 - 2 * b * ES2R + b**2 * ES2 - g2) for name, b in at.items()}
