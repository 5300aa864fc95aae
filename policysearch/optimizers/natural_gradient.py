"""The truncated natural policy gradient (TNPG): steps of a given change of the policy, not of the parameters.

    θ ← θ + √(2δ / xᵀFx) x,     F x = ĝ,     F the Fisher matrix with `damping` added to its diagonal

Source: Kakade 2001; the conjugate gradients and the step of a given divergence δ as in Duan et al. 2016 (TNPG)
and Schulman et al. 2015, appendix C. The damping counts in the length of the step too, which therefore changes
the policy by less than δ, to second order. Advantages are those of a state value fitted on the batch before, by
GAE.

With solver "enac" the direction is the regression of episodic natural actor-critic instead (Peters & Schaal
2008), which knows returns only: `lam` and `value` play no part, and damping only in the length of the step.
It wants more episodes than parameters; with fewer it takes the shortest of its many solutions.

Failed episodes are left out, so nothing is learned from a failure.

Defaults: δ = 0.01 per step and 10 iterations are those of Schulman et al. 2015, damping 0.1 that of their code;
N = 10 is our choice.

Invariant to: positive factors on returns; without damping, also to any smooth change of the policy's
parameters, as far as the conjugate gradients converge.

When to use it: for networks with a reward at every step: of 1,000 rollouts on Pendulum its
returns were far above those of every gradient-free method.
When not: for controllers, and where hill climbing or CMA-ES solve the task within a few hundred rollouts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float

from policysearch.core import Array, Domain, Needs, Ranges, Rollout, Search
from policysearch.gradients import natural, score_function, values
from policysearch.optimizers.batch import batch
from policysearch.optimizers.checks import one_of, positive, within


@dataclass(frozen=True)
class NaturalGradient:
    """Ascent along the natural gradient, in steps of limited divergence."""

    needs: ClassVar[Needs] = Needs(scores=True)
    revision: ClassVar[int] = 2  # 2: sums in another order
    tunable: ClassVar[Ranges] = {"episodes": (2, 40), "max_kl": (0.001, 0.3), "damping": (0.001, 1.0)}

    episodes: int = 10  # N per step
    max_kl: float = 0.01  # δ, mean divergence of a step of an episode, nats
    damping: float = 0.1
    iterations: int = 10  # of conjugate gradients
    solver: Literal["cg", "enac"] = "cg"
    discount: float = 0.99  # γ
    lam: float = 0.97  # λ of GAE
    value: Literal["linear", "network"] = "linear"
    entropy: float = 0.0  # β, of the entropy bonus, in units of standardised advantages

    def __post_init__(self) -> None:
        within(self, 2, np.inf, "episodes")
        within(self, 1, np.inf, "iterations")
        positive(self, "max_kl", "discount")
        within(self, 0, np.inf, "damping", "entropy")
        within(self, 0, 1, "discount", "lam")
        one_of(self, "solver", ("cg", "enac"))
        one_of(self, "value", ("linear", "network"))
        if self.solver == "enac" and self.entropy:
            raise ValueError(f"entropy: the solver 'enac' knows returns only, expected 0, got {self.entropy}")

    def memory(self, d: int, o: int) -> int:
        """Bytes of the fit of the value."""
        return values.memory(self.value, o)

    def search(self, domain: Domain, rng: np.random.Generator) -> Search:
        """Draw episodes, estimate gradient and curvature, step."""
        theta = domain.start
        value: values.Value | None = None
        diagnostics: dict[str, float] = {}
        while True:
            rollouts, diagnostics = yield from batch(theta, self.episodes, diagnostics)
            if len(rollouts) < 2:
                continue
            length = float(np.mean([rollout.rewards.size for rollout in rollouts]))
            F = natural.fisher_product(rollouts, self.damping * length)
            if self.solver == "enac":
                S = score_function.total_scores(rollouts)
                x, _ = natural.enac(S, score_function.discounted_returns(rollouts, self.discount))
            else:
                g = score_function.gradient(rollouts, self._weights(rollouts, value))
                x = natural.conjugate_gradient(F, g, self.iterations)
                value = values.refitted(self.value, value, rollouts, self.discount, rng)
            new = domain.clip(theta + natural.step_of_divergence(F, x, self.max_kl * length))
            diagnostics["step"] = float(np.linalg.norm(new - theta))
            theta = new if np.isfinite(new).all() else theta

    def _weights(self, rollouts: Sequence[Rollout], value: values.Value | None) -> list[Float[Array, "_"]]:
        """Standardised advantages, and the entropy bonus."""
        A = values.advantages(rollouts, value, discount=self.discount, lam=self.lam)
        w = values.standardised(A)
        if self.entropy:
            w = score_function.added(w, score_function.entropy_weights(rollouts), self.entropy)
        return w
