"""REINFORCE (Williams 1992) with reward-to-go and a baseline: the likelihood ratio over actions.

    θ ← θ + α ĝ  or  θ ← θ + Adam(ĝ),   ĝ = 1/N Σ_i Σ_t (G_it − b_it) ∇ log π(a_it | s_it; θ)

The estimate is that of `policysearch.gradients`: `score_function` for the sums and the meaning of the
discount, `baselines` and `values` for b_it. Episodes are drawn from π; failed ones are left out, so nothing
is learned from a failure. A fitted baseline ("linear", "network") is fitted on the batch before, and in the
first step is the average "step". `entropy` adds β Σ_t ∇H(π(·|s_t)).

Defaults: discount 0.99 and Adam with a learning rate of 0.01, as in the REINFORCE example that ships with
PyTorch; N = 10 episodes per step is our choice.

Invariant to: constants added to the return of every episode, up to rounding: as a reward on the last step,
with the baselines "step" (for episodes of equal length) and "mean" (with discount 1); not without a
baseline. With Adam also to positive factors on returns. Not to rotation or scale of the parameters.

When to use it: for stochastic policies whose every step has a reward, and where the best policy is stochastic.
When not: for controllers, which are no distributions; on plateaus, where all returns are the same; with a few
hundred rollouts, unless the learning rate is raised (0.1, say).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import numpy as np
from jaxtyping import Float

from policysearch.core import Array, Domain, Needs, Ranges, Rollout, Search
from policysearch.gradients import baselines, score_function, values
from policysearch.optimizers.adam import Adam
from policysearch.optimizers.batch import batch
from policysearch.optimizers.checks import one_of, positive, within

Baseline = Literal["none", "mean", "step", "optimal", "optimal-scalar", "linear", "network"]


@dataclass(frozen=True)
class Reinforce:
    """Stochastic gradient ascent on the expected return, by the score function."""

    needs: ClassVar[Needs] = Needs(scores=True)
    #: 2: Adam's ε counts in units of the first gradient; 3: sums in another order; 4: rounding is no gradient.
    revision: ClassVar[int] = 4
    tunable: ClassVar[Ranges] = {"episodes": (2, 40), "learning_rate": (0.001, 1.0)}

    episodes: int = 10  # N per step
    learning_rate: float = 0.01  # α
    ascent: Literal["adam", "plain"] = "adam"
    discount: float = 0.99  # γ
    baseline: Baseline = "step"
    reward_to_go: bool = True
    discounted_start: bool = False  # keep the factor γ^t: unbiased for the discounted return
    entropy: float = 0.0  # β, of the entropy bonus

    def __post_init__(self) -> None:
        within(self, 1, np.inf, "episodes")
        positive(self, "learning_rate", "discount")
        within(self, 0, 1, "discount")
        within(self, 0, np.inf, "entropy")
        one_of(self, "ascent", ("adam", "plain"))
        one_of(self, "baseline", get_args(Baseline))
        if self.baseline != "none" and self.episodes < 2:
            raise ValueError(
                f"episodes: a baseline from the other episodes needs at least 2, got {self.episodes}; "
                "or set baseline = 'none'"
            )
        if self.baseline in ("linear", "network") and not self.reward_to_go:
            raise ValueError(f"reward_to_go: the baseline {self.baseline!r} is a value to go, expected true")

    def memory(self, d: int, o: int) -> int:
        """Bytes of the fit of the value."""
        return values.memory(self.baseline, o)

    def search(self, domain: Domain, rng: np.random.Generator) -> Search:
        """Draw episodes, estimate the gradient, step."""
        theta, adam = domain.start, Adam(self.learning_rate, unit=0.0)
        value: values.Value | None = None
        diagnostics: dict[str, float] = {}
        while True:
            rollouts, diagnostics = yield from batch(theta, self.episodes, diagnostics)
            if len(rollouts) < (1 if self.baseline == "none" else 2):
                continue
            g = self.gradient(rollouts, value)
            if self.baseline == "linear" or self.baseline == "network":  # noqa: PLR1714 - narrows the type
                value = values.refitted(self.baseline, value, rollouts, self.discount, rng)
            diagnostics["gradient_norm"] = float(np.linalg.norm(g))
            new = domain.clip(theta + (adam.step(g) if self.ascent == "adam" else self.learning_rate * g))
            theta = new if np.isfinite(new).all() else theta

    def gradient(self, rollouts: Sequence[Rollout], value: values.Value | None = None) -> Float[Array, "d"]:
        """ĝ, with a value function that was fitted on other rollouts where the baseline is one."""
        w = baselines.without_rounding(self._weights(rollouts, value), rollouts)
        bonus = score_function.entropy_weights(rollouts) if self.entropy else None
        if self.baseline in ("optimal", "optimal-scalar"):
            by_component = self.baseline == "optimal"
            g = baselines.optimal_gradients(rollouts, w, per_component=by_component).mean(axis=0)
            return g if bonus is None else g + self.entropy * score_function.gradient(rollouts, bonus)
        return score_function.gradient(
            rollouts, w if bonus is None else score_function.added(w, bonus, self.entropy)
        )

    def _weights(self, rollouts: Sequence[Rollout], value: values.Value | None) -> list[Float[Array, "_"]]:
        if value is not None:
            w = values.advantages(rollouts, value, discount=self.discount)
            return score_function.from_start(w, self.discount) if self.discounted_start else w
        simple: dict[str, baselines.Simple] = {"none": "none", "mean": "mean"}
        unbiased: baselines.Simple = "none" if self.baseline.startswith("optimal") else "step"
        return baselines.weights(
            rollouts,
            discount=self.discount,
            baseline=simple.get(self.baseline, unbiased),
            reward_to_go=self.reward_to_go,
            discounted_start=self.discounted_start,
        )
