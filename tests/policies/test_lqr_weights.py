"""A gain from weights, against SciPy."""

import numpy as np
import pytest
from scipy.linalg import solve_discrete_are

from policysearch.core import Array
from policysearch.policies import LQRWeights
from policysearch.seeding import stream
from policysearch.simulators.cart_pole_force import linear_model
from policysearch.space import Parameter, Space
from policysearch.tasks import find_task

POLICY = find_task("cart-pole-lqr").make_policy()
assert isinstance(POLICY, LQRWeights)
SPACE = POLICY.space


def riccati(A: Array, B: Array, weights: Array) -> Array:
    """K by SciPy."""
    P = solve_discrete_are(A, B, np.diag(weights), np.eye(1))
    return np.asarray(np.linalg.solve(1.0 + B.T @ P @ B, B.T @ P @ A)[0])


def test_the_gain_is_that_of_the_riccati_equation_all_over_the_space() -> None:
    A, B = linear_model()
    for coordinates in stream("weights").uniform(0.0, 1.0, (50, 4)):
        weights = SPACE.decode(coordinates)
        expected = riccati(A, B, weights)
        assert POLICY.gain(weights) == pytest.approx(expected, abs=1e-7 * np.abs(expected).max())


def test_the_gain_of_a_scalar_plant_worked_by_hand() -> None:
    # x' = x + u with weight 1: P = 1 + P / (1 + P), so P = (1 + √5)/2 = 1.618 and K = P / (1 + P) = 0.618
    policy = LQRWeights(Space((Parameter("weight of x", 1.0, 0.1, 10.0, scale="log"),)), ((1.0,),), (1.0,))
    assert policy.gain(np.ones(1)) == pytest.approx([(np.sqrt(5.0) - 1.0) / 2.0])


def test_the_gain_is_computed_at_the_first_step_and_kept() -> None:
    params, x = stream("params").uniform(0.0, 1.0, (1, 4)), np.array([[0.3, -0.2, 0.1, 0.4]])
    K = POLICY.gain(SPACE.decode(params[0]))
    first, state = POLICY.act(params, x, np.zeros((1, 5)))
    assert first[0, 0] == pytest.approx(-(K @ x[0]))
    assert state[0] == pytest.approx([1.0, *K])
    state[0, 1:] = 1.0, 0.0, 0.0, 0.0
    later, _ = POLICY.act(params, x, state)
    assert later[0, 0] == -0.3


def test_a_weight_that_is_not_a_number_fails_no_other_row() -> None:
    params = np.tile(SPACE.domain.start, (3, 1))
    params[1, 2] = np.nan
    actions, _ = POLICY.act(params, np.ones((3, 4)), np.zeros((3, 5)))
    assert np.isnan(actions[:, 0]).tolist() == [False, True, False]
