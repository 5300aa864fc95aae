"""Our statistics beside rliable's own code; run by `make rliable`, in an environment of its own (pandas < 3)."""

import numpy as np
import pytest

pytest.importorskip("rliable", reason="needs an environment with pandas < 3: make rliable")

from rliable import library, metrics

from policysearch.compare.statistics import (
    aggregate_iqm,
    performance_profile,
    probability_of_improvement,
    stratified_interval,
)
from policysearch.seeding import stream

RUNS, TASKS = 10, 4


def scores(name: str) -> np.ndarray:
    return stream("rliable", name).gamma(2.0, 1.0, (RUNS, TASKS)) * np.array([1.0, 2.0, 0.5, 1.0])


def test_the_interquartile_mean_of_all_tasks_is_rliables() -> None:
    x = scores("x")
    assert aggregate_iqm(list(x.T)) == pytest.approx(metrics.aggregate_iqm(x), rel=1e-12)


def test_the_probability_of_improvement_is_rliables() -> None:
    x, y = scores("x"), scores("y")
    y[:3] = x[:3]  # ties
    ours = np.mean([probability_of_improvement(x[:, t], y[:, t]) for t in range(TASKS)])
    assert ours == pytest.approx(metrics.probability_of_improvement(x, y), rel=1e-12)


def test_performance_profiles_are_rliables() -> None:
    x, taus = scores("x"), np.linspace(0.0, 4.0, 21)
    theirs, _ = library.create_performance_profile({"x": x}, taus, reps=10)
    ours = np.mean([performance_profile(x[:, t], taus) for t in range(TASKS)], axis=0)
    assert ours == pytest.approx(theirs["x"], rel=1e-12)


def test_stratified_bootstrap_intervals_are_rliables_up_to_resampling() -> None:
    x = scores("x")
    _, theirs = library.get_interval_estimates(
        {"x": x}, lambda z: np.array([metrics.aggregate_iqm(z)]), reps=20_000
    )
    ours = stratified_interval(list(x.T), aggregate_iqm, 1)
    width = float(theirs["x"][1, 0] - theirs["x"][0, 0])
    assert ours == pytest.approx(theirs["x"][:, 0].tolist(), abs=0.05 * width)
