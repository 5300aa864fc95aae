"""The quadratic model: what it interpolates, the step that it takes, and how far it gets next to SciPy's COBYQA."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.linalg import null_space
from scipy.optimize import Bounds, minimize

from policysearch.core import Array, Domain, Evaluation, Proposal
from policysearch.optimizers import QuadraticModel
from policysearch.optimizers.multi_start import Best
from policysearch.optimizers.quadratic_model import _maximised, _Model, _Points
from policysearch.search import Budget, Generation, generations
from policysearch.seeding import stream
from policysearch.testing.problems import Values

Function = Callable[[Array], Array]


def points_of(y: Array, f: Array) -> _Points:
    points = _Points(y[0], Best(y[0]))
    points.y, points.f = y, f
    return points


def searched(function: Function, domain: Domain, rollouts: int) -> list[Generation]:
    return list(generations(QuadraticModel(), Values(function), domain, budget=Budget(rollouts), seed=1))


def rosenbrock(x: Array) -> Array:
    return np.asarray(-np.sum(100.0 * (x[:, 1:] - x[:, :-1] ** 2) ** 2 + (1.0 - x[:, :-1]) ** 2, axis=1))


def valley(x: Array) -> Array:
    """A quadratic function whose axes are not those of the parameters, of condition 100."""
    axes = np.linalg.qr(stream(3).standard_normal((x.shape[1], x.shape[1])))[0]
    return np.asarray(-(((x - 0.3) @ axes) ** 2) @ np.geomspace(1.0, 100.0, x.shape[1]))


def least_change(y: Array, f: Array, x: Array, H: Array) -> tuple[Array, Array]:
    """g and H of the interpolant whose H is nearest to a given one, by the null space of the conditions."""
    m, d = y.shape
    s = y - x
    quadratic = (s[:, :, None] * s[:, None, :]).reshape(m, d * d) / 2
    linear = np.column_stack([np.ones(m), s])
    free = null_space(linear.T).T  # what no c and g can change
    change = np.linalg.lstsq(free @ quadratic, free @ (f - quadratic @ H.ravel()), rcond=None)[0]
    new = H + change.reshape(d, d)
    return np.linalg.lstsq(linear, f - quadratic @ new.ravel(), rcond=None)[0][1:], new


def test_the_model_is_the_interpolant_whose_second_derivatives_change_least() -> None:
    rng, d = stream(5), 3
    y, f = rng.standard_normal((7, d)), rng.standard_normal(7)
    model, H = _Model(d), np.zeros((d, d))
    for _ in range(3):  # each begins with the second derivatives of the one before
        points = points_of(y, f)
        model.fit(points)
        g, H = least_change(y, f, points.best, H)
        unit = 2 * model._unit
        assert unit / model._R * model._g == pytest.approx(g)
        assert unit / model._R**2 * model._H == pytest.approx(H)
        y, f = np.vstack([y[1:], rng.standard_normal((1, d))]), np.append(f[1:], rng.standard_normal())


def test_a_lagrange_polynomial_is_one_at_its_point_and_zero_at_the_others() -> None:
    rng, d = stream(6), 4
    points = points_of(rng.standard_normal((9, d)), rng.standard_normal(9))
    model = _Model(d)
    model.fit(points)
    S, L = model._S, model._L
    values = ((S @ S.T) ** 2 / 2) @ L[:9] + L[9] + S @ L[10:]
    assert values == pytest.approx(np.eye(9), abs=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_the_step_is_the_maximum_that_scipy_finds_in_the_box_and_the_bounds(seed: int) -> None:
    rng, d = stream(seed), 6
    A, g = rng.standard_normal((d, d)), 3.0 * rng.standard_normal(d)
    H = -A @ A.T - 0.1 * np.eye(d)
    x = rng.uniform(0.0, 1.0, d)
    domain, delta = Domain(x, np.zeros(d), np.ones(d)), 0.4
    step, value = _maximised(g, H, domain, x, delta)
    low, high = np.maximum(-1.0, -x / delta), np.minimum(1.0, (1.0 - x) / delta)

    def negative(u: Array) -> tuple[float, Array]:
        return -float(g @ u + u @ H @ u / 2), -(g + H @ u)

    found = minimize(
        negative,
        np.zeros(d),
        method="L-BFGS-B",
        jac=True,
        bounds=Bounds(low, high),
        options={"ftol": 1e-15, "gtol": 1e-12},
    )
    assert value == pytest.approx(-found.fun, rel=1e-9)
    assert step / delta == pytest.approx(found.x, abs=1e-5)


def test_a_direction_that_curves_upwards_is_followed_to_its_limit() -> None:
    domain = Domain.unbounded(np.zeros(2))
    step, value = _maximised(np.array([0.1, 0.1]), np.diag([2.0, -1.0]), domain, np.zeros(2), 0.5)
    assert step.tolist() == pytest.approx([0.5, 0.05])
    assert value == pytest.approx(0.1 + 1.0 + 0.005)


def test_a_quadratic_function_needs_few_evaluations_more_than_its_axes() -> None:
    d = 10
    domain = Domain.unbounded(np.full(d, 0.3))
    made = searched(lambda x: -np.sum((x - 0.5) ** 2, axis=1), domain, 3 * d)
    assert np.abs(made[-1].recommendation - 0.5).max() < 1e-6


def test_a_linear_function_ends_in_the_corner_of_the_bounds() -> None:
    d = 8
    domain = Domain(np.full(d, 0.4), np.zeros(d), np.ones(d))
    slope = np.where(np.arange(d) % 2, 1.0, -2.0)
    made = searched(lambda x: x @ slope, domain, 2 * d)
    assert made[-1].recommendation.tolist() == (slope > 0).tolist()


@pytest.mark.parametrize(("function", "d"), [(rosenbrock, 2), (rosenbrock, 4), (valley, 4), (valley, 8)])
def test_it_takes_at_most_twice_the_evaluations_of_cobyqa(function: Function, d: int) -> None:
    start, target = np.full(d, -0.5), 1e-4
    told = list[float]()

    def cost(x: Array) -> float:
        told.append(-float(function(x[None])[0]))
        return told[-1]

    minimize(cost, start, method="COBYQA", options={"maxfev": 1000, "initial_tr_radius": 0.15})
    theirs = next(i for i, value in enumerate(told) if value < target)
    made = searched(function, Domain.unbounded(start), 2 * theirs)
    assert function(made[-1].recommendation[None])[0] > -target


def test_a_start_that_has_ended_is_followed_by_a_design_and_the_best_of_all_is_recommended() -> None:
    def peaks(x: Array) -> Array:
        low, high = (np.sum((x - centre) ** 2, axis=1) for centre in (0.2, 0.8))
        return np.asarray(np.exp(-50 * low) + 2 * np.exp(-50 * high))

    domain = Domain(np.full(2, 0.25), np.zeros(2), np.ones(2))
    made = searched(peaks, domain, 400)
    designs = [g for g in made[1:] if len(g.proposal.params) == 6]
    assert designs
    assert designs[0].recommendation == pytest.approx(0.2, abs=1e-3)
    assert np.sort(np.floor(6 * designs[0].proposal.params), axis=0).tolist() == [[i, i] for i in range(6)]
    assert made[-1].recommendation == pytest.approx(0.8, abs=1e-3)


def test_equal_returns_end_a_start_without_further_evaluations() -> None:
    domain = Domain(np.full(3, 0.5), np.zeros(3), np.ones(3))
    made = searched(lambda x: np.zeros(len(x)), domain, 40)
    assert [len(g.proposal.params) for g in made] == [4, 6, 4, 6, 4, 6, 4, 6]
    assert made[-1].recommendation.tolist() == domain.start.tolist()


def test_points_that_were_not_measured_are_no_part_of_the_model() -> None:
    search = QuadraticModel().search(Domain.unbounded(np.zeros(2)), stream(1))

    def told(proposal: Proposal, left_out: tuple[int, ...]) -> Evaluation:
        returns = -np.sum((proposal.params - 1.0) ** 2, axis=1, keepdims=True)
        returns[list(left_out)] = np.nan
        return Evaluation(proposal.params, returns, np.ones(returns.shape, dtype=int), unmeasured=left_out)

    first = next(search)
    second = search.send(told(first, (1,)))
    assert second.params[0, 0] == pytest.approx(0.0)  # nothing is known of that axis
    assert second.params[0, 1] > 0.1
    assert search.send(told(second, (0,))).recommendation.tolist() == first.params[2].tolist()


@pytest.mark.parametrize("unit", [2.0**-600, 2.0**1000])
def test_the_size_of_returns_changes_nothing(unit: float) -> None:
    def function(x: Array) -> Array:
        return np.asarray(-np.sum((x - 0.5) ** 4 + (x - 0.5) ** 2, axis=1))

    def scaled(x: Array) -> Array:
        return unit * function(x)

    domain = Domain.unbounded(np.full(3, 0.3))
    one, other = (searched(f, domain, 25)[-1].recommendation for f in (function, scaled))
    assert one == pytest.approx(other, abs=1e-9)


def test_what_is_known_takes_the_place_of_the_first_generation() -> None:
    known = Values().evaluate(Proposal(stream(4).standard_normal((9, 2)), np.zeros(2)), (1,))
    domain = Domain(known.params[known.fitness.argmax()], *np.full((2, 2), [[-9.0], [9.0]]), known=known)
    first = next(QuadraticModel().search(domain, stream(1)))
    assert first.params.shape == (1, 2)
    assert first.recommendation.tolist() == domain.start.tolist()


def test_an_axis_along_which_nothing_is_known_is_tried_first() -> None:
    known = Values().evaluate(Proposal(np.array([[0.0, 0.0, 0.0], [0.1, 0.0, 0.0]]), np.zeros(3)), (1,))
    first = next(
        QuadraticModel().search(
            Domain(np.zeros(3), *np.full((2, 3), [[-9.0], [9.0]]), known=known), stream(1)
        )
    )
    best = known.params[known.fitness.argmax()]
    assert (first.params - best).tolist() == pytest.approx(np.array([[0, 0.15, 0], [0, 0, 0.15]]))
