"""Tunings that begin with earlier tries."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from policysearch.asking.prompt import Prompt
from policysearch.core import Domain, Evaluation
from policysearch.optimizers import CMAES, build
from policysearch.optimizers.warm_start import first_gaussian
from policysearch.search import Budget, generations
from policysearch.space import Choice, Parameter, Space
from policysearch.tune.__main__ import main
from policysearch.tune.api import tune
from policysearch.tune.journal import NAME, OtherRequest
from policysearch.tune.result import TuneResult

SPACE = Space((Parameter("a", 9.0, 0.0, 10.0), Parameter("b", 9.0, 0.0, 10.0)))
ONE = Space((Parameter("a", 9.0, 0.0, 10.0),))
POINTS = [
    {"a": 4.0, "b": 2.0, "return": 2.0},
    {"a": 8.0, "b": 1.0, "return": 25.0},
    {"a": 1.0, "b": 1.0, "return": None},
]


def cost(params: Mapping[str, Any], seed: int) -> float:
    """Least, 0, at a = 3 and b = 1."""
    return float((params["a"] - 3) ** 2 + (params.get("b", 1.0) - 1) ** 2)


def tuned(space: Space = SPACE, rollouts: int = 24, **options: Any) -> TuneResult:
    return tune(cost, space, rollouts, goal="minimise", report_rollouts=2, **options)


@pytest.mark.parametrize("source", ["points", "table", "csv", "result", "history", "ledger"])
def test_earlier_tries_come_in_every_form(source: str, tmp_path: Path) -> None:
    earlier = tuned(out=tmp_path / "old", optimizer="cma-es", safe=True, episodes_per_candidate=2)
    history = earlier.history
    (tmp_path / "folder").mkdir()
    history.to_csv(tmp_path / "folder/history.csv", index=False)
    sources: dict[str, Any] = {
        "points": history[["a", "b", "return"]].to_dict("records"),
        "table": history,
        "csv": tmp_path / "folder/history.csv",
        "history": str(tmp_path / "folder"),
        "ledger": tmp_path / "old",
        "result": earlier,
    }
    result = tuned(known=sources[source])
    assert len(result.rollouts) == 24  # none of which is an earlier one
    assert [known.ret for known in result.known] == history["return"].tolist()
    assert [dict(known.values) for known in result.known] == history[["a", "b"]].to_dict("records")
    assert f"{len(history)} earlier tries known from " in str(result)
    best = f"begins at the best, {history['return'].min():.5g}"
    assert f"not charged: auto learns from them, and {best}" in str(result)
    by_cma_es = tuned(known=sources[source], optimizer="cma-es")
    assert f"not charged: cma-es learns from them, and {best}" in str(by_cma_es)


def test_the_search_begins_at_the_best_that_is_known_and_it_may_stay_the_recommendation() -> None:
    result = tuned(known=POINTS, optimizer="hill-climbing", options={"neighbours": 5, "sigma": 1e-6})
    assert result.history[["a", "b"]].to_numpy()[0] == pytest.approx([4.0, 2.0])
    assert result.start == {"a": 9.0, "b": 9.0}  # with which the report compares
    assert "3 earlier tries known from points, not charged: the search begins at the best, 2" in str(result)
    luck = tuned(known=[{"a": 3.0, "b": 1.0, "return": 0.0}, *POINTS], optimizer="random-search", rollouts=21)
    assert luck.values == pytest.approx({"a": 3.0, "b": 1.0})
    assert luck.best_seen[1] == 0.0


def test_a_single_point_without_a_return_is_where_the_search_begins() -> None:
    result = tuned(known={"a": 5.0, "b": 6.0}, optimizer="hill-climbing")
    assert result.history[["a", "b"]].to_numpy()[0] == pytest.approx([5.0, 6.0])
    assert "1 earlier try known from a point, not charged: the search begins at it" in str(result)


def test_tries_that_could_not_be_made_are_left_out_and_counted() -> None:
    space = Space((*SPACE.parameters, Choice("f", ("x", "y"), "x")))
    rows = [
        {"a": 4.0, "b": 2.0, "f": "x", "return": 2.0},
        {"a": 11.0, "b": 2.0, "f": "x", "return": 1.0},  # outside
        {"a": 4.0, "b": 2.0, "f": "z", "return": 1.0},  # no option
        {"a": 1.0, "b": 2.0, "f": "x", "return": 1.0},  # breaks the constraint
        {"a": 4.0, "b": 2.0, "f": "y", "return": 1.0},  # not the fixed value
    ]
    result = tuned(space, known=rows, fixed={"f": "x"}, constraints=["b <= a"])
    assert [known.ret for known in result.known] == [2.0]
    assert "; 4 others are outside this tuning's bounds, fixed values or constraints" in str(result)


@pytest.mark.parametrize(
    ("known", "message"),
    [
        ([{"kp": 1.0, "return": 1.0}], "known: expected a value for every parameter (a, b), got kp, return in points, without a, b"),
        ([{"a": 1.0, "b": 1.0}] * 2, "known: expected what each of 2 tries gave, called return, got none in points"),
        ([{"a": 1.0, "b": "x", "return": 1.0}], "known: expected a number as b, got 'x'"),
        ([{"a": 1.0, "b": 1.0, "return": "x"}], "known: expected numbers as return, in points, got 'x'"),
        ([{"a": 99.0, "b": 1.0, "return": 1.0}], "got points: none of 1 could be made here, first: a = 99, not in 0 to 10"),
        (3, "known: expected a file, a folder, a table, or points by name, got 3"),
        ([3], "known: expected a file, a folder, a table, or points by name, got [3]"),
        ([], "known: expected a file, a folder, a table, or points by name, got []"),
        ("nowhere.csv", "known: cannot read nowhere.csv: No such file or directory"),
    ],
)  # fmt: skip
def test_what_are_no_tries_of_this_tuning_is_refused(known: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        tuned(known=known)


def test_a_search_with_earlier_tries_continues_to_the_same_end(tmp_path: Path) -> None:
    for method in ("local-regression", "cma-es", "auto", "cross-entropy", "nelder-mead"):
        space, out = ONE if method == "local-regression" else SPACE, tmp_path / method
        options: dict[str, Any] = {"optimizer": method, "known": POINTS}
        options |= {"options": {"population_size": 12, "elites": 3}} if method == "cross-entropy" else {}
        whole = tuned(space, 48, **options)
        tuned(space, 24, out=out, **options)
        again = tuned(space, 48, out=out, **options | {"known": None})  # they are in the ledger
        assert again.history.equals(whole.history)
        assert str(again) == str(whole)
        assert tuned(space, 48, out=out, **options).history.equals(whole.history)
        assert not tuned(space, 48, optimizer=method, options=options.get("options")).history.equals(
            whole.history
        )
    with pytest.raises(OtherRequest, match="a search begun from 3 earlier tries, not with those given now"):
        tuned(space, 48, out=out, **options | {"known": POINTS[:2]})
    tuned(out=tmp_path / "without")
    with pytest.raises(OtherRequest, match="a search begun without earlier tries"):
        tuned(out=tmp_path / "without", known=POINTS)
    chained = tuned(known=out)  # a ledger that itself began with earlier tries
    assert [known.ret for known in chained.known] == whole.history["return"].tolist()


def test_what_a_person_has_tried_is_known(tmp_path: Path) -> None:
    answers = iter(["5", "failed", *["4"] * 40])
    quiet = Prompt(lambda prompt: "" if "Enter" in prompt else next(answers), lambda _: None)
    by_hand = tune(quiet, SPACE, 6, "cma-es", goal="minimise", out=tmp_path)
    result = tuned(known=tmp_path)
    assert len(result.known) == 6 + 6  # three more of the recommendation, and of the start
    assert [known.ret for known in result.known][:2] == pytest.approx(
        by_hand.history["return"].tolist()[:2], nan_ok=True
    )


def test_the_command_line_takes_earlier_tries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    Path("plants.py").write_text(
        "def cost(a, b):\n    return (a - 3) ** 2 + (b - 1) ** 2\n", encoding="utf-8"
    )
    table = "[parameters.a]\nlower = 0.0\nupper = 10.0\n[parameters.b]\nlower = 0.0\nupper = 10.0\n"
    Path("p.toml").write_text(
        f'function = "plants:cost"\ngoal = "minimise"\nrollouts = 12\n{table}', encoding="utf-8"
    )
    pd.DataFrame(POINTS).to_csv("tries.csv", index=False)
    assert main(["p.toml", "--from", "tries.csv", "--out", "out"]) == 0
    assert "3 earlier tries known from tries.csv, not charged" in capsys.readouterr().out
    Path("p.toml").write_text(f'known = "tries.csv"\n{Path("p.toml").read_text()}', encoding="utf-8")
    assert main(["p.toml", "--out", "again"]) == 0
    assert Path("again/history.csv").read_text() == Path("out/history.csv").read_text()
    assert main(["p.toml", "--from", "out", "--out", "third"]) == 0
    Path("other.csv").write_text("kp,return\n1,2\n", encoding="utf-8")
    assert main(["p.toml", "--from", "other.csv", "--out", "fourth"]) == 2
    assert "got kp, return in other.csv, without a, b" in capsys.readouterr().err
    assert (tmp_path / "out" / NAME).exists()


def known_domain(points: Any, returns: Any) -> Domain:
    params, values = np.array(points, dtype=float), np.array(returns, dtype=float)[:, None]
    known = Evaluation(params, values, np.zeros(values.shape, dtype=int))
    d = params.shape[1]
    return Domain(np.full(d, 0.9), np.zeros(d), np.ones(d), known=known)


def test_the_first_distribution_is_that_of_the_best_tenth() -> None:
    points = np.linspace(0.0, 1.0, 30)[:, None] * np.ones(2)
    mean, std = first_gaussian(known_domain(points, -np.abs(points[:, 0] - 0.5)), 0.3)
    best = points[[14, 15, 13]]  # of 30, three
    assert mean == pytest.approx(best.mean(axis=0))
    assert std == pytest.approx(np.sqrt(0.01 + best.var(axis=0)))
    assert first_gaussian(known_domain(points, -np.abs(points[:, 0] - 0.5)), 0.05)[1] == pytest.approx(
        [0.05, 0.05]
    )
    assert first_gaussian(known_domain(points, np.full(30, np.nan)), 0.3)[0] == pytest.approx([0.9, 0.9])


@pytest.mark.parametrize("name", ["cma-es", "cross-entropy", "local-regression"])
def test_a_method_that_learns_from_earlier_tries_begins_around_the_best_of_them(name: str) -> None:
    d = 1 if name == "local-regression" else 3
    rng = np.random.default_rng(0)
    points = rng.random((60, d))
    returns = -((points - 0.25) ** 2).sum(axis=1)
    returns[rng.random(60) < 0.2] = np.nan  # failures

    class Distances:
        def evaluate(self, proposal: Any, key: Any) -> Evaluation:
            values = -((proposal.params - 0.25) ** 2).sum(axis=1)[:, None]
            return Evaluation(proposal.params, values, np.ones(values.shape, dtype=int))

    def first(domain: Domain) -> float:
        (made, *_) = generations(build(name, {}), Distances(), domain, budget=Budget(100), seed=0)
        return float(np.median(np.abs(made.proposal.params - 0.25)))

    known = known_domain(points, returns)
    assert first(known) < 0.6 * first(Domain(known.start, known.lower, known.upper))


def test_a_known_domain_changes_nothing_where_nothing_has_succeeded() -> None:
    failed = known_domain([[0.5, 0.5]], [np.nan])
    (one, two) = (
        next(CMAES().search(domain, np.random.default_rng(0))).params
        for domain in (failed, Domain(failed.start, failed.lower, failed.upper))
    )
    assert one == pytest.approx(two, abs=1e-12)


def test_cma_es_takes_each_standard_deviation_of_the_first_distribution() -> None:
    rng = np.random.default_rng(1)
    points = np.column_stack([0.5 + 0.4 * rng.standard_normal(40), np.full(40, 0.5)]).clip(0, 1)
    domain = known_domain(points, np.zeros(40))
    candidates = np.concatenate(
        [
            next(CMAES(sigma=0.9, population_size=40).search(domain, np.random.default_rng(i))).params
            for i in range(9)
        ]
    )
    assert candidates.std(axis=0)[0] > 1.5 * candidates.std(axis=0)[1]


def test_a_search_with_earlier_tries_begins_better_where_costs_are_minimised() -> None:
    rng = np.random.default_rng(2)
    points = [{"a": a, "b": b} for a, b in 10 * rng.random((40, 2))]
    known = [point | {"return": cost(point, 0)} for point in points]
    warm, cold = (
        tuned(rollouts=6, optimizer="cma-es", **more).history["return"] for more in ({"known": known}, {})
    )
    assert warm.max() < cold.min()
    warm, cold = (tuned(rollouts=8, **more).history["return"] for more in ({"known": known}, {}))
    assert warm.min() < 0.1 * cold.min()
    assert warm.max() < cold.median()


def test_earlier_tries_that_break_constraints_on_outputs_count_as_failures() -> None:
    def measured(params: Mapping[str, Any], seed: int) -> dict[str, float]:
        return {"return": cost(params, seed), "peak": params["a"]}

    points = [
        {"a": 3.0, "b": 1.0, "return": 0.0, "peak": 3.0},
        {"a": 1.0, "b": 2.0, "return": 5.0, "peak": 1.0},
    ]
    options: dict[str, Any] = {"goal": "minimise", "outputs": ["peak <= 2"], "report_rollouts": 2}
    result = tune(measured, SPACE, 12, known=points, **options)
    assert [known.ret for known in result.known] == pytest.approx([np.nan, 5.0], nan_ok=True)
    with pytest.raises(
        ValueError, match="outputs: expected peak to be reported, as peak <= 2 needs it, got a, b, return"
    ):
        tune(measured, SPACE, 12, known=POINTS, **options)
