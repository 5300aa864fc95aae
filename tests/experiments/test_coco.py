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
    assert page == study.PAGE.format(table=study.summary(table))
    assert set(table.method) == {pair.method for pair in study.PAIRS}
    assert table.groupby("method").size().min() >= 24 * 3
