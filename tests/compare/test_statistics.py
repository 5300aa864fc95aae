"""The interquartile mean and its interval."""

import numpy as np
import pytest
from scipy.stats import trim_mean

from policysearch.compare.statistics import bootstrap_interval, iqm
from policysearch.seeding import stream


def test_the_interquartile_mean_leaves_out_a_quarter_at_either_end() -> None:
    assert iqm(np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 800.0])) == pytest.approx(4.5)
    assert iqm(np.array([1.0, 2.0, 900.0])) == pytest.approx(301.0)  # too few to leave any out
    data = stream(1).standard_normal((3, 10))
    assert iqm(data) == pytest.approx(trim_mean(data, 0.25, axis=1))


def test_an_interval_belongs_to_its_key_and_a_single_run_has_none() -> None:
    data = stream(1).standard_normal(10)
    assert (
        bootstrap_interval(data, 1, "a")
        == bootstrap_interval(data, 1, "a")
        != bootstrap_interval(data, 1, "b")
    )
    assert np.isnan(bootstrap_interval(data[:1], 1)).all()
    low, high = bootstrap_interval(data, 1, "a")
    assert low < iqm(data) < high


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    # Ten normal runs: the percentile bootstrap of the interquartile mean is known to be a little short.
    # With 400 studies the error of the coverage is 1.2 %.
    hits = 0
    for study in range(400):
        low, high = bootstrap_interval(stream(study, "data").standard_normal(10), study)
        hits += low < 0.0 < high
    assert 0.88 < hits / 400 < 0.985
