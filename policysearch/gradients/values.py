"""State-value functions V(s_t), and the advantages that they give.

    δ_t = r_t + γ V(s_{t+1}) − V(s_t),   V(s_T) = 0,   A_t = Σ_{l≥0} (γλ)^l δ_{t+l}

(GAE; Schulman et al. 2016, eq. 16).

λ = 1 gives G_t − V(s_t), which any V leaves unbiased (γ = 1, or with γ^t) as long as it was fitted on
*other* rollouts: hence on past ones. λ < 1 trades variance for the bias of V. V is 0 after the end of an
episode, also where a time limit ended it: the return that is reported ends there (common implementations
continue it by V of the last observation, and so learn for another return).

Values therefore depend on the time within the episode too: `LinearValue` uses the
features of Duan et al. 2016 ("Benchmarking deep reinforcement learning"), section 5; `NetworkValue` appends
the time to the observations.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from policysearch.core import Array, Rollout
from policysearch.gradients.score_function import ends_of, parted, rewards_of, to_go
from policysearch.policies.mlp import MLP

#: Observations are cut to this size in features, so that one outlier does not rule a fit.
MAX_FEATURE = 10.0

#: Steps that a network is fitted on at most; of more, evenly spaced ones are taken.
MAX_STEPS = 5000
#: Units of the hidden layers of a value network.
HIDDEN = (32, 32)


@runtime_checkable
class Value(Protocol):
    """V(s_t) of the states of a rollout."""

    def __call__(self, rollout: Rollout) -> Float[Array, "T"]:
        """V at every observation on which an action followed."""


def advantages(
    rollouts: Sequence[Rollout],
    value: Value | None,
    *,
    discount: float,
    lam: float = 1.0,
) -> list[Float[Array, "_"]]:
    """w_it = A_it by generalized advantage estimation; without a value function V = 0."""
    if isinstance(value, LinearValue):
        V = value.of_all(rollouts)
    else:
        V = [np.zeros(r.rewards.size) if value is None else value(r) for r in rollouts]
    return parted(advantages_of(rollouts, np.concatenate(V), discount, lam), rollouts)


def advantages_of(
    rollouts: Sequence[Rollout], V: Float[Array, "S"], discount: float, lam: float
) -> Float[Array, "S"]:
    """A_t = Σ_{u≥t} (γλ)^{u−t} δ_u,   δ_t = r_t + γ V(s_{t+1}) − V(s_t), with V = 0 at the end, of all in a row."""
    ends, later = ends_of(rollouts), np.append(V[1:], 0.0)
    later[ends - 1] = 0.0
    return to_go(rewards_of(rollouts) + discount * later - V, ends, discount * lam)


def standardised(weights: Sequence[Float[Array, "_"]]) -> list[Float[Array, "_"]]:
    """Weights of mean 0 and standard deviation 1 over all steps of the batch; equal ones become 0.

    Common practice, and biased: mean and deviation contain the episode itself.
    """
    flat = np.concatenate(weights)
    mean, std = flat.mean(), flat.std()
    return [(w - mean) / std if std > 1e-12 * abs(mean) else np.zeros_like(w) for w in weights]


@dataclass(frozen=True, eq=False)
class LinearValue:
    """V(s_t) = φ(s_t, t)·c with φ = (s, s², τ, τ², τ³, 1), τ = t/100."""

    coefficients: Float[Array, "f"]

    def __call__(self, rollout: Rollout) -> Float[Array, "T"]:
        """φ·c at every observation."""
        return self.of_all([rollout])[0]

    def of_all(self, rollouts: Sequence[Rollout]) -> list[Float[Array, "_"]]:
        """The same of several rollouts."""
        return [phi @ self.coefficients for phi in parted(_features(rollouts), rollouts)]

    @classmethod
    def fitted(cls, rollouts: Sequence[Rollout], discount: float, ridge: float = 1e-5) -> "LinearValue":
        """The least-squares fit to the rewards-to-go; `ridge` counts in each feature's own mean square."""
        phi = _features(rollouts)
        G = to_go(rewards_of(rollouts), ends_of(rollouts), discount)
        size = np.sqrt(np.mean(phi**2, axis=0))
        size[size == 0] = 1.0  # a feature that is always zero gets no weight
        phi = phi / size
        gram = phi.T @ phi + ridge * len(phi) * np.eye(phi.shape[1])
        return cls(np.linalg.solve(gram, phi.T @ G) / size)


def memory(kind: str, o: int) -> int:
    """Bytes that the fit of a value holds at once: of a linear one the products of its features of o numbers."""
    return 3 * 8 * (2 * o + 4) ** 2 if kind == "linear" else 0


def _features(rollouts: Sequence[Rollout]) -> Float[Array, "_ f"]:
    s = np.clip(np.concatenate([rollout.obs for rollout in rollouts]), -MAX_FEATURE, MAX_FEATURE)
    of_time = _features_of_time(max(len(rollout.obs) for rollout in rollouts))
    return np.concatenate([s, s**2, np.concatenate([of_time[: len(r.obs)] for r in rollouts])], axis=1)


@lru_cache(8)
def _features_of_time(steps: int) -> Float[Array, "T 4"]:
    tau = np.arange(steps)[:, None] / 100.0
    return np.concatenate([tau, tau**2, tau**3, np.ones_like(tau)], axis=1)


@dataclass(frozen=True, eq=False)
class NetworkValue:
    """V(s_t) = m + σ·f((s_t − μ)/σ_s, t/100; φ): a network f of normalised observations and time."""

    network: MLP
    params: Float[Array, "p"]  # φ
    centre: Float[Array, "o"]  # μ
    gain: Float[Array, "o"]  # 1/σ_s
    mean: float  # m, of the rewards-to-go
    scale: float  # σ, their standard deviation

    def __call__(self, rollout: Rollout) -> Float[Array, "T"]:
        """The network's output at every observation."""
        return self.at(self.inputs([rollout]))

    def at(self, inputs: Float[Array, "T i"]) -> Float[Array, "T"]:
        """V where the network sees `inputs`."""
        return self.mean + self.scale * self.network.forward(self.params, inputs)[:, 0]

    def inputs(self, rollouts: Sequence[Rollout]) -> Float[Array, "S i"]:
        """What the network sees of the rollouts, all in a row."""
        obs = np.concatenate([rollout.obs for rollout in rollouts])
        s = np.clip((obs - self.centre) * self.gain, -MAX_FEATURE, MAX_FEATURE)
        time = np.concatenate([np.arange(len(rollout.obs)) for rollout in rollouts])
        return np.concatenate([s, time[:, None] / 100.0], axis=1)

    @classmethod
    def unfitted(
        cls, rollouts: Sequence[Rollout], discount: float, rng: np.random.Generator
    ) -> "NetworkValue":
        """A network at a random start, its inputs and outputs scaled as in these rollouts."""
        network = MLP(rollouts[0].obs.shape[1] + 1, 1, HIDDEN)
        return cls(network, network.start(rng), *_statistics(rollouts, discount))

    def rescaled(self, rollouts: Sequence[Rollout], discount: float) -> "NetworkValue":
        """The same function, inputs and outputs scaled as in these rollouts (Pop-Art; van Hasselt et al. 2016)."""
        centre, gain, mean, scale = _statistics(rollouts, discount)
        # the old inputs are (gain/gain')·(x' − gain'(μ − μ')) of the new ones; time stays as it is
        params = self.network.fold(
            self.params, np.append(gain * (self.centre - centre), 0.0), np.append(self.gain / gain, 1.0)
        )
        params[-HIDDEN[-1] - 1 :] *= self.scale / scale
        params[-1] += (self.mean - mean) / scale
        return NetworkValue(self.network, params, centre, gain, mean, scale)

    def fitted(self, rollouts: Sequence[Rollout], discount: float, iterations: int = 25) -> "NetworkValue":
        """The network after some steps of L-BFGS on the mean squared error, from where it stands."""
        from scipy import optimize  # noqa: PLC0415 - slow to import, and needed by few

        x = self.inputs(rollouts)
        G = to_go(rewards_of(rollouts), ends_of(rollouts), discount)
        every = 1 + (len(G) - 1) // MAX_STEPS
        x, G = x[::every], G[::every]
        y = (G - self.mean) / self.scale

        def loss(phi: Float[Array, "p"]) -> tuple[float, Float[Array, "p"]]:
            tape = self.network.tape(phi, x)
            error = tape.outputs()[:, 0] - y
            gradient = tape.pull(tape.tiled(error[:, None] / len(y)), np.ones(len(y)))
            return 0.5 * float(np.mean(error**2)), gradient

        best = optimize.minimize(
            loss, self.params, jac=True, method="L-BFGS-B", options={"maxiter": iterations}
        )
        return NetworkValue(self.network, best.x, self.centre, self.gain, self.mean, self.scale)


#: Kinds of value functions; see `refitted`.
ValueKind = Literal["linear", "network"]


def refitted(
    kind: ValueKind,
    value: Value | None,
    rollouts: Sequence[Rollout],
    discount: float,
    rng: np.random.Generator,
) -> Value:
    """A value function fitted on these rollouts, to be used for later ones; a network continues from `value`."""
    if kind == "linear":
        return LinearValue.fitted(rollouts, discount)
    if isinstance(value, NetworkValue):
        return value.rescaled(rollouts, discount).fitted(rollouts, discount)
    return NetworkValue.unfitted(rollouts, discount, rng).fitted(rollouts, discount)


def _statistics(
    rollouts: Sequence[Rollout], discount: float
) -> tuple[Float[Array, "o"], Float[Array, "o"], float, float]:
    """μ and 1/σ_s of the observations, m and σ of the rewards-to-go."""
    s = np.concatenate([rollout.obs for rollout in rollouts])
    G = to_go(rewards_of(rollouts), ends_of(rollouts), discount)
    with np.errstate(over="ignore", invalid="ignore"):
        scale = float(G.std())
    return (
        s.mean(axis=0),
        1.0 / np.maximum(s.std(axis=0), 1e-6),
        float(G.mean()),
        scale if 0 < scale < np.inf else 1.0,
    )
