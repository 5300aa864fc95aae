"""The motion of plants under an input that is held for a step: exact where they are linear, else by Runge–Kutta."""

# mypy: disable-error-code="name-defined, no-untyped-def"

import numpy as np
from jaxtyping import Float
from numba import njit

from policysearch.core import Array


def discretised(
    A: Float[Array, "x x"], B: Float[Array, "x u"], dt: float
) -> tuple[Float[Array, "x x"], Float[Array, "x u"]]:
    """The matrices of x' = A x + B u over a step of `dt` seconds under a constant u."""
    from scipy.signal import cont2discrete  # noqa: PLC0415 - slow to import

    outputs, direct = np.eye(len(A)), np.zeros(B.shape)
    A_d, B_d, *_ = cont2discrete((A, B, outputs, direct), dt)
    return A_d, B_d


@njit(error_model="numpy")
def runge_kutta(x, u, plant, dt, work):
    """Advance `x` by `dt` seconds with the classical method of fourth order: a template for `specialise`.

    `derivative(x, u, plant, rate)` writes the rates of change; `work` has room for three times the state.
    """
    rate, stage, after = work[0], work[1], work[2]
    stage[:] = x
    after[:] = x
    for i in range(4):
        derivative(stage, u, plant, rate)
        share, ahead = (dt / 6.0 if i in (0, 3) else dt / 3.0), (dt if i == 2 else 0.5 * dt)
        for j in range(x.size):
            after[j] += share * rate[j]
            stage[j] = x[j] + ahead * rate[j]
    x[:] = after
