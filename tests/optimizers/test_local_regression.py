"""Local regression: its arithmetic, what it promises without noise and under it, and the public checks."""

from collections.abc import Callable

import numpy as np
import pytest
from problems import Values, proposals

from policysearch.core import Array, Domain, Evaluation, Proposal
from policysearch.optimizers import LocalRegression, build, method_of
from policysearch.optimizers.local_regression import _loess
from policysearch.search import Budget, generations
from policysearch.seeding import Key, stream
from policysearch.testing import optimizer_checks
from policysearch.testing.optimizers import CHECKS

UNIT = Domain(np.array([0.1]), np.array([0.0]), np.array([1.0]))
ANYWHERE = Domain.unbounded(np.array([1.0]))


def found(function: Callable[[Array], Array], domain: Domain, noise: float, budget: int, seed: int) -> float:
    """The recommendation after a budget of rollouts."""
    evaluator = Values(lambda params: function(params[:, 0]), noise)
    made = generations(LocalRegression(), evaluator, domain, budget=Budget(budget), seed=seed)
    return float([*made][-1].recommendation[0])


def test_a_quadratic_is_fitted_without_error_whatever_the_number_of_neighbours() -> None:
    x = stream(1).random(30)
    y = 3 * x**2 - x + 2
    for k in (4, 12, 30):
        fitted, missed = _loess(x, y, k)
        assert fitted == pytest.approx(y, abs=1e-6)
        assert missed == pytest.approx(np.zeros(30), abs=1e-5)


def test_a_point_is_missed_by_as_much_as_if_it_was_left_out() -> None:
    rng = stream(2)
    x = rng.random(12)
    y = np.sin(4 * x) + 0.1 * rng.standard_normal(12)
    _, missed = _loess(x, y, 12)
    for i in range(12):
        h = 1.1 * np.abs(x - x[i]).max()
        u = np.delete(x - x[i], i) / h
        w = np.sqrt((1 - np.abs(u) ** 3) ** 3)
        terms = np.vander(u, 3, increasing=True)
        b = np.linalg.lstsq(w[:, None] * terms, w * np.delete(y, i), rcond=None)[0]
        assert missed[i] == pytest.approx(abs(y[i] - b[0]), rel=1e-3)


def two_optima(x: Array) -> Array:
    """The start is near the smaller one; the larger one is at 0.757249 (Forrester, Sobester & Keane 2008)."""
    return np.asarray(-((6 * x - 2) ** 2) * np.sin(12 * x - 4))


@pytest.mark.parametrize(
    ("function", "domain", "best", "error"),
    [
        (lambda x: -((x - 0.73) ** 2), UNIT, 0.73, 1e-3),
        (lambda x: -np.maximum(0.37 - x, 4 * (x - 0.37)), UNIT, 0.37, 2e-3),
        (np.sqrt, UNIT, 1.0, 1e-3),
        (two_optima, UNIT, 0.757249, 1e-3),
        (lambda x: np.maximum(0.0, 0.04 - (x - 0.7) ** 2), UNIT, 0.7, 1e-3),  # a plateau around the start
        (lambda x: -np.abs(x - 30.0), ANYWHERE, 30.0, 0.1),
        (lambda x: -np.maximum(np.abs(x + 30.0), 20.0), ANYWHERE, -30.0, 20.1),  # equal returns in [-11, 13]
    ],
)
def test_the_optimum_is_found_without_noise(
    function: Callable[[Array], Array], domain: Domain, best: float, error: float
) -> None:
    for seed in range(3):
        assert found(function, domain, 0.0, 90, seed) == pytest.approx(best, abs=error)


def test_under_noise_the_optimum_is_found_by_averaging() -> None:
    # the start is worth −0.4, a rollout has a noise of 0.1; with 4 neighbours only the error would be 0.09
    errors = [found(lambda x: -((x - 0.73) ** 2), UNIT, 0.1, 120, seed) - 0.73 for seed in range(5)]
    assert np.mean(np.square(errors)) < 0.06**2
    assert np.max(np.abs(errors)) < 0.25


@pytest.mark.parametrize("factor", [1e-12, 1.0, 1e12, 1e300])
def test_the_unit_of_the_return_does_not_matter(factor: float) -> None:
    plain = proposals(LocalRegression(), 8, lambda x: np.sin(3 * x[:, 0]), UNIT, noise=0.0)
    scaled = proposals(LocalRegression(), 8, lambda x: factor * np.sin(3 * x[:, 0]), UNIT, noise=0.0)
    for a, b in zip(plain, scaled, strict=True):
        assert b.params == pytest.approx(a.params, rel=1e-6)


def test_equal_returns_widen_the_search_and_leave_the_start_recommended() -> None:
    asked = proposals(LocalRegression(), 6, lambda x: np.full(len(x), 0.1), ANYWHERE)
    assert [float(p.recommendation[0]) for p in asked] == [1.0] * len(asked)
    widths = [float(np.ptp(p.params)) for p in asked]
    assert widths[-1] > 8 * widths[0]


def test_a_point_that_failed_is_never_recommended() -> None:
    class Fails:
        def evaluate(self, proposal: Proposal, key: Key) -> Evaluation:
            x = proposal.params
            returns = np.where(x > 0.5, np.nan, x)
            return Evaluation(x, returns, np.ones(x.shape, dtype=int))

    made = [*generations(LocalRegression(), Fails(), UNIT, budget=Budget(80), seed=0)]
    assert all(g.recommendation[0] <= 0.5 for g in made)
    assert made[-1].recommendation[0] == pytest.approx(0.5, abs=1e-3)


def test_only_one_parameter_is_searched() -> None:
    with pytest.raises(ValueError, match="local-regression: expected 1 parameter, got 2; use another"):
        next(LocalRegression().search(Domain.unbounded(np.zeros(2)), stream(0)))


def test_it_has_a_name_although_comparisons_do_not_list_it() -> None:
    assert build("local-regression", {"points": 5}) == LocalRegression(points=5)
    assert method_of(LocalRegression(points=5))[0] == "local-regression"


@pytest.mark.parametrize(
    "check",
    [
        pytest.param(
            c, marks=[pytest.mark.nightly] * (c in ("improvement", "corners", "plateau", "one parameter"))
        )
        for c in CHECKS
    ],
)
def test_it_passes_the_public_checks(check: str) -> None:
    dict(optimizer_checks(LocalRegression))[check]()
