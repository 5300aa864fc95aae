"""A linear controller whose gain is the best for a quadratic cost: the weights of that cost are what is tuned.

    u = −K x,   K = (1 + Bᵀ P B)⁻¹ Bᵀ P A,   P = Q + Aᵀ P (I + B Bᵀ P)⁻¹ A,   Q = diag(weights)

for a plant that one input moves from x to A x + B u in a step. The weight of the input is 1: only the ratios of
weights matter. P comes from the doubling of Anderson 1978, "Second-order convergent algorithms for the steady-state
Riccati equation":

    A ← A W A,   G ← G + A W G Aᵀ,   H ← H + Aᵀ H W A,   W = (I + G H)⁻¹      from G = B Bᵀ, H = Q; H → P

so that a rollout needs no call of Python. State: K, and whether it is there: it is computed once per episode.

When to use it: where a linear model is known and all of the state is measured: a few weights have meaning where
gains have none.
When not: where the state is not measured, or the plant is far from linear in what it does.
"""

# mypy: disable-error-code="name-defined, no-untyped-def, no-untyped-call, call-arg, var-annotated"

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from numba import njit

from policysearch.core import Array
from policysearch.jit import specialise
from policysearch.policies.controller import CompiledController, check_actions, check_observations
from policysearch.space import Parameter, Space

MAX_DOUBLINGS = 50  # of 2, 4, 8, … steps
ACCURACY = 1e-12  # of P, relative

#: Rows of a matrix.
Rows = tuple[tuple[float, ...], ...]


@njit(error_model="numpy")
def doubled(A, B, weights):
    """K of shape (x,), for B of shape (x,)."""
    n = len(B)
    one, G, H = np.eye(n), np.outer(B, B), np.diag(weights)
    A_k = A.copy()
    for _ in range(MAX_DOUBLINGS):
        W = np.linalg.inv(one + G @ H)
        WA, AWG = W @ A_k, A_k @ (W @ G)
        change = np.ascontiguousarray(A_k.T) @ (H @ WA)
        G, H = G + AWG @ np.ascontiguousarray(A_k.T), H + change
        A_k = A_k @ WA
        if np.abs(change).max() <= ACCURACY * np.abs(H).max():
            break
    PB = H @ B
    return (np.ascontiguousarray(A.T) @ PB) / (1.0 + B @ PB)


regulator = specialise(doubled)  # cached on disk: it takes seconds to compile


@njit(error_model="numpy")
def law(weights, obs, state, scratch, action):
    """u = −K x; K, computed at the first step, lies in the state from its second place on."""
    n, known = len(B), True
    if state[0] == 0.0:
        for i in range(n):
            known = known and not math.isnan(weights[i])
        state[1:] = regulator(np.array(A), np.array(B), weights.copy()) if known else np.full(n, np.nan)
        state[0] = 1.0
    action[0] = 0.0
    for i in range(n):
        action[0] -= state[1 + i] * obs[i]


@dataclass(frozen=True)
class LQRWeights(CompiledController):
    """The controller for a plant of one input whose state is observed."""

    law = staticmethod(law)
    action_size = 1

    space: Space  # a weight for each number of the state
    A: Rows
    B: tuple[float, ...]

    @classmethod
    def of(
        cls, interface: Any, names: tuple[str, ...], model: Callable[[], tuple[Array, Array]]
    ) -> "LQRWeights":
        """The controller for an environment (`Interface`) that is observed as the state of a model (A, B).

        Weights run from 10⁻⁴ to 10⁶ of the input's, and start at 1.

        Raises:
            ValueError: for other observations or actions.
        """
        size = len(names)
        check_observations("lqr-weights", interface, size, f"{size} observations, {', '.join(names)}")
        check_actions("lqr-weights", interface, 1, "one action")
        weights = Space(tuple(Parameter(f"weight of {name}", 1.0, 1e-4, 1e6, scale="log") for name in names))
        A, B = model()
        return cls(weights, tuple(tuple(row) for row in A.tolist()), tuple(B[:, 0].tolist()))

    @property
    def state_size(self) -> int:
        """The gain, and whether it is there."""
        return 1 + len(self.B)

    def gain(self, weights: Float[Array, "x"]) -> Float[Array, "x"]:
        """K for these weights."""
        return np.asarray(regulator(np.array(self.A), np.array(self.B), weights))
