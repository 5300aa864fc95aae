"""Trust region policy optimization: the natural gradient's step, shortened until it keeps its promises.

    maximise L(θ') = E[ρ A]  subject to  E[KL(π_θ ‖ π_θ')] ≤ δ,     ρ = π_θ'(a|s)/π_θ(a|s)

Source: Schulman, Levine, Moritz, Jordan & Abbeel 2015, section 6 and appendix C. The step is that of
`natural_gradient`; it is halved until the divergence on the batch is within δ *and* L has grown, ten times at
most, and else not taken. The batch that is there answers both questions, so the line search costs no rollout.

Defaults: δ = 0.01 and 10 conjugate gradients are the paper's, damping 0.1 is that of its code, λ = 0.97 as in
Schulman et al. 2016; N = 10 is our choice.

Invariant to: positive factors on returns.

When to use it: as the natural gradient, where some of its steps make the policy worse.
When not: for controllers, and where hill climbing or CMA-ES solve the task within a few hundred rollouts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float

from policysearch.core import Array, Domain, Needs, Ranges, Rollout, Search
from policysearch.gradients import natural, off_policy, score_function, values
from policysearch.optimizers.batch import batch
from policysearch.optimizers.checks import one_of, positive, within


@dataclass(frozen=True)
class TRPO:
    """The largest step uphill whose change of the policy stays within a limit."""

    needs: ClassVar[Needs] = Needs(scores=True)
    revision: ClassVar[int] = 2  # 2: sums in another order
    tunable: ClassVar[Ranges] = {"episodes": (2, 40), "max_kl": (0.001, 0.3), "damping": (0.001, 1.0)}

    episodes: int = 10  # N per step
    max_kl: float = 0.01  # δ, mean divergence of a step of an episode, nats
    damping: float = 0.1
    iterations: int = 10  # of conjugate gradients
    backtracks: int = 10  # halvings of the step
    discount: float = 0.99  # γ
    lam: float = 0.97  # λ of GAE
    value: Literal["linear", "network"] = "linear"

    def __post_init__(self) -> None:
        within(self, 2, np.inf, "episodes")
        within(self, 1, np.inf, "iterations")
        positive(self, "max_kl", "discount")
        within(self, 0, np.inf, "damping", "backtracks")
        within(self, 0, 1, "discount", "lam")
        one_of(self, "value", ("linear", "network"))

    def memory(self, d: int, o: int) -> int:
        """Bytes of the fit of the value."""
        return values.memory(self.value, o)

    def search(self, domain: Domain, rng: np.random.Generator) -> Search:
        """Draw episodes, step along the natural gradient, shorten the step until it is safe."""
        theta, value = domain.start, None
        diagnostics: dict[str, float] = {}
        while True:
            rollouts, diagnostics = yield from batch(theta, self.episodes, diagnostics)
            if len(rollouts) < 2:
                continue
            A = values.standardised(values.advantages(rollouts, value, discount=self.discount, lam=self.lam))
            value = values.refitted(self.value, value, rollouts, self.discount, rng)
            length = float(np.mean([rollout.rewards.size for rollout in rollouts]))
            F = natural.fisher_product(rollouts, self.damping * length)
            x = natural.conjugate_gradient(F, score_function.gradient(rollouts, A), self.iterations)
            step = natural.step_of_divergence(F, x, self.max_kl * length)
            before, own = theta, score_function.log_probs(rollouts)
            for _ in range(self.backtracks + 1):
                new = domain.clip(theta + step)
                if np.isfinite(new).all() and _kept(rollouts, A, own, new, self.max_kl):
                    theta = new
                    break
                step = step / 2
            diagnostics["step"] = float(np.linalg.norm(theta - before))


def _kept(
    rollouts: Sequence[Rollout],
    A: Sequence[Float[Array, "_"]],
    own: Sequence[Float[Array, "_"]],
    new: Float[Array, "d"],
    max_kl: float,
) -> bool:
    """Whether the surrogate has grown and the divergence is within its limit, both as means over the steps.

    `own` are the log-probabilities of the actions under the policy that drew them.
    """
    logs = np.concatenate(off_policy.log_ratios(rollouts, new, own))
    gain = (np.exp(np.minimum(logs, off_policy.MAX_LOG_WEIGHT)) - 1) @ np.concatenate(A)
    old = rollouts[0].params
    parts = [r[0].policy.kl(old, new, obs) for r, obs, _ in score_function.joined(rollouts)]
    return bool(gain > 0 and np.concatenate(parts).mean() <= max_kl)
