"""REINFORCE (Williams 1992) with reward-to-go and a baseline: the likelihood ratio over actions.

    θ ← θ + α ĝ  or  θ ← θ + Adam(ĝ),   ĝ = 1/N Σ_i Σ_t (G_it − b_it) ∇ log π(a_it | s_it; θ)

The estimate is `policysearch.gradients.score_function`. Episodes are drawn from π; failed ones are left
out. Defaults: discount 0.99 and Adam with a learning rate of 0.01, as in the REINFORCE example that ships
with PyTorch; N = 10 episodes per step is our choice.

Invariant to: constants added to the return of every episode, up to rounding: as a reward on the last step,
with the baselines "step" (for episodes of equal length) and "mean" (with discount 1); not without a
baseline. With Adam also to positive factors on returns. Not to rotation or scale of the parameters.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from policysearch.core import Domain, Proposal, Ranges, Search
from policysearch.gradients import score_function
from policysearch.optimizers.adam import Adam
from policysearch.optimizers.checks import positive, within


@dataclass(frozen=True)
class Reinforce:
    """Stochastic gradient ascent on the expected return, by the score function."""

    uses_scores: ClassVar[bool] = True
    tunable: ClassVar[Ranges] = {"episodes": (2, 40), "learning_rate": (0.001, 1.0)}

    episodes: int = 10  # N per step
    learning_rate: float = 0.01  # α
    ascent: Literal["adam", "plain"] = "adam"
    discount: float = 0.99  # γ
    baseline: Literal["none", "mean", "step"] = "step"
    reward_to_go: bool = True
    discounted_start: bool = False  # keep the factor γ^t: unbiased for the discounted return

    def __post_init__(self) -> None:
        within(self, 1, np.inf, "episodes")
        positive(self, "learning_rate", "discount")
        within(self, 0, 1, "discount")
        if self.ascent not in ("adam", "plain"):
            raise ValueError(f"ascent: expected 'adam' or 'plain', got {self.ascent!r}")
        if self.baseline not in ("none", "mean", "step"):
            raise ValueError(f"baseline: expected 'none', 'mean' or 'step', got {self.baseline!r}")
        if self.baseline != "none" and self.episodes < 2:
            raise ValueError(
                f"episodes: a baseline from the other episodes needs at least 2, got {self.episodes}; "
                "or set baseline = 'none'"
            )

    def search(self, domain: Domain, rng: np.random.Generator) -> Search:
        """Draw episodes, estimate the gradient, step."""
        theta, adam = domain.start, Adam(self.learning_rate)
        diagnostics: dict[str, float] = {}
        while True:
            evaluation = yield Proposal(
                theta[None], theta, self.episodes, sample=True, record=True, diagnostics=diagnostics
            )
            rollouts = evaluation.rollouts[0]
            diagnostics = {"dropped_episodes": float(self.episodes - len(rollouts))}
            if len(rollouts) < (1 if self.baseline == "none" else 2):
                continue
            weights = score_function.weights(
                rollouts,
                discount=self.discount,
                baseline=self.baseline,
                reward_to_go=self.reward_to_go,
                discounted_start=self.discounted_start,
            )
            g = score_function.gradient(rollouts, weights)
            diagnostics["gradient_norm"] = float(np.linalg.norm(g))
            theta = domain.clip(theta + (adam.step(g) if self.ascent == "adam" else self.learning_rate * g))
