"""Methods next to the same methods by others: the score, and the published page."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "experiments/coco"))
    return __import__("coco")


@pytest.mark.filterwarnings("ignore")
def test_a_score_is_the_share_of_targets_that_the_best_point_within_the_budget_reaches(study: Any) -> None:
    from cma import bbobbenchmarks

    function, optimum = bbobbenchmarks.instantiate(1, 1)
    top = function.xopt if hasattr(function, "xopt") else None
    asked = []

    def search(values: Any, start: Any, seed: int) -> None:
        while True:
            asked.append(float(values(start[None])[0]))

    one = study.score(search, 1, 1, 2, 3)
    assert len(asked) == 3
    assert one == np.mean(asked[0] - optimum <= study.TARGETS)
    assert top is None or study.score(lambda values, start, seed: values(top[None]), 1, 1, 2, 3) == 1.0


def test_the_published_page_is_made_of_the_published_scores(study: Any) -> None:
    table = pd.read_csv(ROOT / "results/coco/scores.csv")
    page = (ROOT / "results/coco/README.md").read_text(encoding="utf-8")
    defaults = pd.read_csv(ROOT / "results/coco/defaults.csv")
    import above_uniform

    assert page == study.PAGE.format(table=study.summary(table), defaults=above_uniform.summary(defaults))
    assert set(defaults.method) == set(above_uniform.METHODS)
    assert set(defaults.groupby("method").size()) == {24 * 3}
    assert set(table.method) == {pair.method for pair in study.PAIRS}
    assert table.groupby("method").size().min() >= 24 * 3


@pytest.mark.filterwarnings("ignore")
def test_a_method_in_the_box_begins_at_the_start_and_never_leaves_it(study: Any) -> None:
    import above_uniform

    asked = []

    def values(points: Any) -> Any:
        asked.extend(points.tolist())
        if len(asked) > 60:
            raise study.Spent
        return np.sum(points, axis=1)

    start = np.array([3.0, -2.0])
    with pytest.raises(study.Spent):
        above_uniform.in_box(above_uniform.METHODS["nelder-mead"])(values, start, 1)
    assert np.allclose(asked[0], start)
    assert np.abs(asked).max() == 5.0  # less is better, and the corner is the best
