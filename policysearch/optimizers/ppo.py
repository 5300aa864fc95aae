"""Proximal policy optimization: several epochs of minibatch ascent on a clipped importance ratio.

    L(θ') = E_t[min(ρ_t A_t, clip(ρ_t, 1 − ε, 1 + ε) A_t)],     ρ_t = π_θ'(a_t|s_t)/π_θ(a_t|s_t)

Source: Schulman, Wolski, Dhariwal, Radford & Klimov 2017, eq. 7 and algorithm 1. Advantages are standardised
within a minibatch and the gradient is cut to a norm of 0.5, as in common implementations. Policy and value are
separate networks with an Adam each. A batch is N whole episodes, since whole episodes are what a budget of
rollouts counts (the paper has 2,048 steps, cut anywhere). Failed episodes are left out, so nothing is learned
from a failure.

Defaults: ε = 0.2 is that of section 6.1; Adam with 3·10⁻⁴, 10 epochs of minibatches of 64 steps, γ = 0.99 and
λ = 0.95 are those of table 3 (MuJoCo); N = 10 is our choice.

Invariant to: positive factors on returns, since advantages and the value network's targets are
standardised.

When to use it: for networks with a reward at every step and long episodes.
When not: with a few hundred episodes, unless the learning rates are raised (0.003); for controllers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float, Int

from policysearch.core import Array, Domain, Needs, Ranges, Rollout, Search, StochasticPolicy
from policysearch.gradients import score_function, values
from policysearch.optimizers.batch import batch
from policysearch.optimizers.checks import positive, within
from policysearch.policies.heads import NetworkHead, is_network
from policysearch.policies.linearised import Network, compiled, tile_steps


@dataclass(frozen=True)
class PPO:
    """Minibatch ascent that stops paying once the policy has changed by a factor of 1 ± ε."""

    needs: ClassVar[Needs] = Needs(scores=True)
    revision: ClassVar[int] = 3  # 2: small advantages are standardised too; 3: sums in another order
    tunable: ClassVar[Ranges] = {"episodes": (2, 40), "learning_rate": (1e-4, 0.1), "epochs": (2, 20)}

    episodes: int = 10  # N per batch
    learning_rate: float = 3e-4  # of the policy
    value_learning_rate: float = 3e-4
    clip: float = 0.2  # ε
    epochs: int = 10
    minibatch: int = 64  # steps
    discount: float = 0.99  # γ
    lam: float = 0.95  # λ of GAE
    entropy: float = 0.0  # β, of the entropy bonus
    max_gradient_norm: float = 0.5

    def __post_init__(self) -> None:
        within(self, 1, np.inf, "episodes", "epochs")
        within(self, 2, np.inf, "minibatch")
        positive(self, "learning_rate", "value_learning_rate", "clip", "discount", "max_gradient_norm")
        within(self, 0, 1, "discount", "lam")
        within(self, 0, np.inf, "entropy")

    def search(self, domain: Domain, rng: np.random.Generator) -> Search:
        """Draw episodes; then several passes over their steps in random minibatches."""
        bounds = domain.lower.copy(), domain.upper.copy()
        ascent = _Ascent(domain.start.copy(), (self.learning_rate, self.max_gradient_norm, *bounds))
        value_ascent: _Ascent | None = None
        value: values.NetworkValue | None = None
        diagnostics: dict[str, float] = {}
        while True:
            rollouts, diagnostics = yield from batch(ascent.params, self.episodes, diagnostics)
            if not rollouts:
                continue
            policy = _memoryless(rollouts[0].policy)
            if value is None:
                value = values.NetworkValue.unfitted(rollouts, self.discount, rng)
            value = value.rescaled(rollouts, self.discount)
            if value_ascent is None:
                infinity = np.full(value.params.size, np.inf)
                options = (self.value_learning_rate, self.max_gradient_norm, -infinity, infinity)
                value_ascent = _Ascent(value.params, options)
            value_ascent.params = value.params
            steps = _Steps.of(rollouts, value, self.discount, self.lam)
            clipped = []
            for order, ends in _minibatches(len(steps.A), self.epochs, self.minibatch, rng):
                shuffled = steps.taken(order)
                clipped += self._climb(policy, ascent, shuffled, ends)
                value_ascent.fit(value.network, shuffled, ends)  # in place: the parameters are the value's
            diagnostics["clipped_fraction"] = float(np.mean(clipped))

    def _climb(
        self, policy: StochasticPolicy, ascent: "_Ascent", batch: "_Steps", ends: Int[Array, "m"]
    ) -> list[float]:
        """A step of the policy for every minibatch; the fractions of its steps that the clip silences."""
        silenced = np.empty(len(ends))
        if is_network(policy):
            ascent.climb(policy, batch, ends, (self.clip, self.entropy), silenced)
            return silenced.tolist()
        for part, rows in enumerate(map(slice, (0, *ends[:-1]), ends)):
            g, silenced[part] = self._gradient(policy, ascent.params, batch, rows)
            ascent.step(g)
        return silenced.tolist()

    def _gradient(
        self, policy: StochasticPolicy, theta: Float[Array, "d"], batch: "_Steps", rows: slice
    ) -> tuple[Float[Array, "d"], float]:
        """∇L on a minibatch, and the fraction of its steps that the clip silences."""
        steps = score_function.linearised(policy, theta, batch.obs[rows], batch.actions[rows])
        log_prob, A = steps.log_prob, batch.A[rows]
        w = np.empty(A.size)
        weigh = _compiled("clipped_weights")
        silent = weigh(log_prob, batch.log_prob[rows], A, self.clip, self.entropy, w)
        return steps.score(w), silent


@dataclass(frozen=True, eq=False)
class _Steps:
    """All steps of a batch of episodes in a row, with what does not change during the epochs."""

    obs: Float[Array, "T o"]
    actions: Float[Array, "T a"]
    log_prob: Float[Array, "T"]  # under the policy that drew them
    A: Float[Array, "T"]  # in the units of the value network
    targets: Float[Array, "T"]  # A + V, in the units of the value network
    inputs: Float[Array, "T i"]  # of the value network

    @classmethod
    def of(
        cls, rollouts: Sequence[Rollout], value: values.NetworkValue, discount: float, lam: float
    ) -> "_Steps":
        inputs = value.inputs(rollouts)
        V = value.at(inputs)
        A = values.advantages_of(rollouts, V, discount, lam)
        return cls(
            np.concatenate([rollout.obs for rollout in rollouts]),
            np.concatenate([rollout.actions for rollout in rollouts]),
            np.concatenate(score_function.log_probs(rollouts)),
            A / value.scale,
            (A + V - value.mean) / value.scale,
            inputs,
        )

    def taken(self, order: Int[Array, "T"]) -> "_Steps":
        """The steps in another order."""
        columns = (np.asarray(getattr(self, column.name), dtype=float) for column in fields(self))
        return _Steps(*(column.take(order, axis=0) for column in columns))


@dataclass
class _Ascent:
    """Parameters that ascend in place, and the running moments of Adam."""

    params: Float[Array, "d"]
    options: tuple[float, float, Float[Array, "d"], Float[Array, "d"]]  # see `minibatch.ascend`
    m: Float[Array, "d"] = field(init=False)
    v: Float[Array, "d"] = field(init=False)
    t: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.m, self.v = np.zeros_like(self.params), np.zeros_like(self.params)

    def step(self, gradient: Float[Array, "d"]) -> None:
        """Move along a gradient, once it is cut to its greatest norm."""
        self.t = _compiled("ascend")(self.params, gradient, self.m, self.v, self.t, self.options)

    def climb(
        self,
        policy: NetworkHead,
        batch: _Steps,
        ends: Int[Array, "m"],
        terms: tuple[float, float],
        silenced: Float[Array, "m"],
    ) -> None:
        """Step along the gradients of a policy that is a network, for every minibatch; see `minibatch.climb`."""
        head, steps = policy.distribution, (batch.obs, batch.actions, batch.log_prob, batch.A)
        run = _compiled("climb", head.name)
        choices = np.array(head.choices, dtype=np.int64)
        network = policy.body.layout(self.params.size)
        self.t = run(self._state, self.t, network, (choices, head.temperature), steps, ends, terms, silenced)

    def fit(self, network: Network, batch: _Steps, ends: Int[Array, "m"]) -> None:
        """Step down the squared error of a network, for every minibatch."""
        layout = network.layout(self.params.size)
        self.t = _compiled("fit")(self._state, self.t, layout, batch.inputs, batch.targets, ends)

    @property
    def _state(self) -> tuple[Any, ...]:
        return self.params, self.m, self.v, self.options


@cache
def _compiled(name: str, distribution: str = "gaussian") -> Any:
    """A function of `minibatch`, compiled, for a distribution over actions."""
    from policysearch.jit import specialise  # noqa: PLC0415 - imports Numba
    from policysearch.optimizers import minibatch  # noqa: PLC0415

    template = getattr(minibatch, name)
    if name in ("ascend", "clipped_weights"):
        return specialise(template)
    parts = {part: _compiled(part) for part in ("ascend", "clipped_weights")}
    parts |= {part: compiled(part) for part in ("forward", "backward")}
    return specialise(template, STEPS=tile_steps(), distribution=compiled(distribution), **parts)


def _memoryless(policy: StochasticPolicy) -> StochasticPolicy:
    if policy.state_size:
        raise ValueError(
            f"policy: PPO shuffles single steps, so it needs a policy without memory, got {policy}; use "
            "reinforce, natural-gradient or trpo"
        )
    return policy


def _minibatches(
    steps: int, epochs: int, size: int, rng: np.random.Generator
) -> Iterator[tuple[Int[Array, "T"], Int[Array, "m"]]]:
    """For every epoch, an order of the steps, and the ends of the minibatches of about `size` steps in it."""
    parts = max(round(steps / size), 1)
    longer = steps % parts  # so many have one step more
    ends = np.cumsum([steps // parts + (i < longer) for i in range(parts)])
    for _ in range(epochs):
        yield rng.permutation(steps), ends
