"""REINFORCE that uses its last M batches again, weighted by how likely their actions are now.

    θ ← θ + Adam(ĝ),   ĝ = 1/N Σ_i Σ_t ρ-weights (G_it − b_it) ∇ log π(a_it | s_it; θ),   over N = M·n episodes

Source: Precup, Sutton & Singh 2000, "Eligibility traces for off-policy policy evaluation", for the weights, which are
those of `policysearch.gradients.off_policy`: by default the ratio of the single step
("first-order"), which ignores that other states are visited now; "per-decision" and "trajectory" do not,
and their variance grows exponentially with the length of the episodes. A batch of n episodes whose
effective sample size has fallen below `min_effective` of n is forgotten, whatever its age; it is counted
with the product of all ratios for "trajectory" and "per-decision", and by steps for "first-order".

Defaults: n = 10 and the learning rate are those of `reinforce`; M = 3 and the threshold of 0.5 are our choice.

Invariant to: with Adam, positive factors on returns.

When to use it: where an episode costs much more than computing with it.
When not: with long episodes, whose weights explode; expect no large gain: on CartPole and Pendulum its
returns were those of `reinforce`, within their intervals.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, get_args

import numpy as np
from jaxtyping import Float

from policysearch.core import Array, Domain, Needs, Ranges, Rollout, Search
from policysearch.gradients import baselines, off_policy, score_function
from policysearch.gradients.off_policy import Weighting
from policysearch.optimizers.adam import Adam
from policysearch.optimizers.batch import batch
from policysearch.optimizers.checks import one_of, positive, within


@dataclass(frozen=True)
class OffPolicyReinforce:
    """Gradient ascent from the rollouts of several past policies."""

    needs: ClassVar[Needs] = Needs(scores=True, kept_rollouts=True)
    #: 2: Adam's ε counts in units of the first gradient; 3: sums in another order; 4: rounding is no gradient.
    revision: ClassVar[int] = 4
    tunable: ClassVar[Ranges] = {"episodes": (2, 40), "learning_rate": (0.001, 1.0), "batches": (2, 10)}

    episodes: int = 10  # n, new ones per step
    batches: int = 3  # M, the new one among them
    learning_rate: float = 0.01
    weighting: Weighting = "first-order"
    self_normalised: bool = True
    discount: float = 0.99  # γ
    min_effective: float = 0.5  # share of a batch that has to count for it to be kept

    def __post_init__(self) -> None:
        within(self, 2, np.inf, "episodes")
        within(self, 1, np.inf, "batches")
        positive(self, "learning_rate", "discount")
        within(self, 0, 1, "discount", "min_effective")
        one_of(self, "weighting", get_args(Weighting))

    def search(self, domain: Domain, rng: np.random.Generator) -> Search:
        """Draw episodes, remember them, step along the gradient of all that still count."""
        theta, adam = domain.start, Adam(self.learning_rate, unit=0.0)
        kept: list[_Batch] = []
        diagnostics: dict[str, float] = {}
        while True:
            new, diagnostics = yield from batch(theta, self.episodes, diagnostics)
            batches = [*kept, _Batch(new, score_function.log_probs(new))] if new else kept
            logs = [off_policy.log_ratios(b.rollouts, theta, b.log_probs) for b in batches]
            useful = [i for i, log in enumerate(logs) if self._effective(log) >= self.min_effective]
            useful = useful[-self.batches :]
            kept = [batches[i] for i in useful]
            rollouts = [rollout for b in kept for rollout in b.rollouts]
            if len(rollouts) < 2:
                continue
            w = off_policy.weights(
                rollouts,
                theta,
                discount=self.discount,
                weighting=self.weighting,
                self_normalised=self.self_normalised,
                logs=[log for i in useful for log in logs[i]],
            )
            w = baselines.without_rounding(w, rollouts)
            theta = domain.clip(theta + adam.step(score_function.gradient(rollouts, w, theta)))
            diagnostics["batches"] = float(len(kept))

    def _effective(self, logs: Sequence[Float[Array, "_"]]) -> float:
        """The share of a batch that still counts, given the logarithms of the ratios of its steps.

        It goes from 0, a single weight dominates, to 1, all weights are equal.

        The effective sample size does not show that all weights have become small, so it is multiplied by their
        mean, which is 1 in expectation.
        """
        flat = np.concatenate(logs) if self.weighting == "first-order" else np.array([w.sum() for w in logs])
        if flat.size < 2:
            return float(not flat.any())
        share = (off_policy.effective_sample_size(flat) - 1) / (flat.size - 1)
        return share * min(1.0, float(np.mean(np.exp(np.minimum(flat, 0.0)))))


@dataclass(frozen=True, eq=False)
class _Batch:
    """Rollouts of one policy, and the logarithms of the probabilities with which it took its actions."""

    rollouts: tuple[Rollout, ...]
    log_probs: list[Float[Array, "_"]]
