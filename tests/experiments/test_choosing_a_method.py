"""The driver of the study of methods, at tiny sizes."""

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from policysearch.core import Domain, Evaluation, Proposal
from policysearch.optimizers import CMAES, OPTIMIZERS, build, source_of
from policysearch.search import Budget, generations
from policysearch.testing.problems import Values

FOLDER = Path(__file__).parents[2] / "experiments/choosing_a_method"
PARTS = (
    "choose",
    "choice_problems",
    "choice_methods",
    "choice_peers",
    "choice_runs",
    "choice_scores",
    "choice_cost",
)
pytestmark = pytest.mark.filterwarnings("ignore")  # of `cma.bbobbenchmarks`, when it is imported
#: Those whose packages every installation for the tests has.
OTHERS = ("pycma", "cmaes", "cmaes lr_adapt", "scipy Nelder-Mead", "scipy Powell", "scipy COBYQA")


@pytest.fixture(scope="module")
def study() -> Iterator[Any]:
    """All names of the study's modules."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        parts = [importlib.import_module(name) for name in (*PARTS, "choice_page")]
        yield SimpleNamespace(**{name: value for part in parts for name, value in vars(part).items()})


def run(study: Any, results: Path, *more: str) -> pd.DataFrame:
    names = ["--problems", "coco-f1-d5", "coco-f104-d5"]
    methods = ["--methods", "hill-climbing", "reinforce", "pycma", "scipy Powell"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importlib.import_module("choice_runs"), "BUDGETS", (30, 60, 100))
        study.main(["run", *names, *methods, "--seeds", "2", "--nice", "0", "--results", str(results), *more])
    return study.read(results).drop(columns="seconds").sort_values(["problem", "method", "seed", "budget"])


def test_the_problems_are_at_least_thirty_and_none_is_in_both_parts(study: Any) -> None:
    problems = study.problems().values()
    evaluation = {p.name for p in problems if p.split == "evaluation"}
    tuning = {p.name for p in problems if p.split == "tuning"}
    assert len(evaluation) >= 30
    assert len(tuning) >= 15
    assert len(problems) == len(evaluation) + len(tuning)
    assert len({p.family for p in problems}) >= 8
    assert {2, 5, 10, 20, 40} <= {p.d for p in problems}
    functions = {
        split: {p.function for p in problems if p.split == split} for split in ("tuning", "evaluation")
    }
    assert functions["tuning"] & functions["evaluation"] == {0, 21}  # in other dimensions


def test_what_was_cut_off_or_made_in_parts_is_what_one_command_makes(study: Any, tmp_path: Path) -> None:
    whole = run(study, tmp_path / "whole")
    assert len(study.done(whole)) == 2 * 4 * 2
    path = tmp_path / "whole/runs-1-of-1.csv.gz"
    kept = path.read_bytes()
    run(study, tmp_path / "whole")
    assert path.read_bytes() == kept  # there is nothing left to do
    path.write_bytes(kept[:-5])
    pd.testing.assert_frame_equal(run(study, tmp_path / "whole"), whole, check_index_type=False)
    for part in ("1/2", "2/2"):
        parted = run(study, tmp_path / "parts", "--part", part)
    assert [p.name for p in sorted((tmp_path / "parts").iterdir())] == [
        "runs-1-of-2.csv.gz",
        "runs-2-of-2.csv.gz",
    ]
    assert parted.to_csv(index=False) == whole.to_csv(index=False)


def test_the_page_is_made_of_the_rows_that_are_kept_and_they_can_be_continued(
    study: Any, tmp_path: Path
) -> None:
    made = run(study, tmp_path / "whole")
    made.loc[made.index[0], "value"] = np.nan  # it failed in a held-out episode
    kept = study.keep(made.assign(seconds=0.5), tmp_path / "kept").drop(columns="seconds")
    by = ["problem", "method", "seed", "budget"]
    pd.testing.assert_frame_equal(
        *(table.sort_values(by).reset_index(drop=True) for table in (kept, made)),
        check_like=True,
        rtol=1e-7,
        atol=0,
    )
    names = ["--problems", "coco-f1-d5", "coco-f104-d5", "--methods", "pycma", "--seeds", "2"]
    out, again = (
        tmp_path / "page/README.md",
        ["--results", str(tmp_path / "kept"), "--kept", str(tmp_path / "kept")],
    )
    study.main(["page", *names, *again, "--method", "hill-climbing", "--out", str(out)])
    assert "2 of the 4 runs of the protocol gave a result" in out.read_text(encoding="utf-8")
    assert (out.parent / "families.png").read_bytes().startswith(b"\x89PNG")
    first = (tmp_path / "kept/runs-1-of-1.csv.gz").read_bytes()
    study.main(["page", *names, *again, "--method", "hill-climbing", "--out", str(out)])
    assert (tmp_path / "kept/runs-1-of-1.csv.gz").read_bytes() == first
    assert not list(study.todo(study.jobs(["coco-f1-d5"], ["pycma"], range(2)), tmp_path / "kept", 1, 1))


def test_a_method_that_cannot_search_a_problem_is_named_and_not_scored(study: Any, tmp_path: Path) -> None:
    rows = study.rows_of(study.Job("coco-f1-d5", "reinforce", 0), 300)
    assert [(row["budget"], row["note"]) for row in rows] == [
        (0, "not run: needs a stochastic policy, which a function is not")
    ]
    assert study.scored(pd.DataFrame(rows, columns=study.COLUMNS)).empty


@pytest.mark.parametrize(
    ("size", "generations", "expected"),
    [
        (10, 5, [(30, 30), (100, 40), (300, 40)]),
        (50, 2, [(100, 50), (300, 50)]),
        (10, 0, [(30, 0), (100, 0), (300, 0)]),
    ],
)
def test_a_method_that_raises_keeps_what_it_recommended_before(
    study: Any, monkeypatch: pytest.MonkeyPatch, size: int, generations: int, expected: list[tuple[int, int]]
) -> None:
    def failing(domain: Domain, seed: int, budget: int) -> Iterator[Proposal]:
        for _ in range(generations):
            yield Proposal(np.full((size, domain.start.size), 0.5), np.full(domain.start.size, 0.25))
        raise RuntimeError("out of luck")

    monkeypatch.setitem(study.PEERS, "failing", study.Peer("numpy", failing))
    rows = study.rows_of(study.Job("coco-f1-d5", "failing", 0), 300)
    assert [(row["budget"], row["spent"]) for row in rows] == expected
    assert {row["note"] for row in rows} == {"failed: RuntimeError: out of luck"}
    assert (rows[-1]["value"] != rows[-1]["start"]) == (generations > 0)


@pytest.mark.parametrize("name", OTHERS)
def test_a_peer_is_better_than_the_start_stays_in_the_bounds_and_spends_no_more(
    study: Any, name: str
) -> None:
    domain = Domain(np.full(3, 0.2), np.zeros(3), np.full(3, 1.5))
    evaluator, spent = Values(), 0
    for made in generations(study.method(name, 60), evaluator, domain, budget=Budget(60), seed=1):
        spent = made.rollouts
        assert (made.proposal.params == domain.clip(made.proposal.params)).all()
        last = made.recommendation
    assert evaluator.episodes == spent <= 60
    assert Values().function(last[None])[0] > Values().function(domain.start[None])[0] + 0.5


def test_a_peer_is_told_that_a_failed_rollout_is_worse_than_all_others(study: Any) -> None:
    told = Evaluation(np.zeros((3, 1)), np.array([[1.0], [np.nan], [3.0]]), np.ones((3, 1), dtype=int))
    assert study.costs(told) == [-1.0, 1.0, -3.0]


def test_a_searched_function_is_judged_without_its_noise(study: Any) -> None:
    made = study.problems()["coco-f104-d5"].searched(CMAES(), 3)
    twice = Proposal(np.array([made.domain.start] * 2), made.domain.start)
    returns = [made.evaluator.evaluate(twice, ("x", g)).returns for g in (0, 0, 1)]
    assert returns[0].tolist() == returns[1].tolist() != returns[2].tolist()
    assert np.unique(returns[0]).size == 2
    assert np.unique(made.judge(np.array([made.domain.start] * 3))).size == 1


def test_configuration_0_is_the_default_and_the_others_are_in_their_ranges(study: Any) -> None:
    names = study.configurations(3)
    assert "snes#0" in names
    assert "snes#2" in names
    assert not any(name.startswith(("reinforce", "bayesian")) for name in names)
    for name in names:
        plain, _, number = name.partition("#")
        if number == "0":
            assert study.method(name, 0) == OPTIMIZERS[plain]()
        else:
            assert study.drawn(plain, int(number)) == study.drawn(plain, int(number)) != {}


def table(study: Any, scores: dict[tuple[str, str], float], seeds: int = 30) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = [
        (problem, name, seed, 30, study.problems()[problem].family, "evaluation", "", 0,
         mean + 0.01 * rng.standard_normal())
        for (problem, name), mean in scores.items() for seed in range(seeds)
    ]  # fmt: skip
    columns = ["problem", "method", "seed", "budget", "family", "split", "note", "job", "score"]
    return pd.DataFrame(rows, columns=columns)


def test_the_best_peer_is_chosen_on_one_half_of_the_seeds_and_compared_on_the_other(study: Any) -> None:
    run = table(study, {("lqr", "auto"): 0.5, ("lqr", "a"): 0.4, ("lqr", "b"): 0.0, ("thermal-pid", "auto"): 0.2,
                        ("thermal-pid", "a"): 0.1, ("thermal-pid", "b"): 0.6})  # fmt: skip
    late = (run["method"] == "b") & (run["problem"] == "lqr") & (run["seed"] >= 15)
    run.loc[late, "score"] = 0.9  # luck on the seeds that do not choose
    found = {cell.problem: cell for cell in study.cells(run, "auto", ["a", "b"])}
    assert (found["lqr"].peer, found["lqr"].verdict) == ("a", "not behind")
    assert found["lqr"].difference == pytest.approx(0.1, abs=0.02)
    assert (found["thermal-pid"].peer, found["thermal-pid"].verdict) == ("b", "behind")
    wanted = [
        study.Job(p, m, seed)
        for p in ("lqr", "thermal-pid", "Ant-v5")
        for m in ("auto", "a", "b", "c")
        for seed in range(30)
    ]
    page = study.page(run, "auto", ["a", "b"], wanted, "x")
    assert (
        "Of 2 cells 2 are decided; 50% of these are not behind (1), 1 are behind. 0 (0%) are undecided. "
        "The aim, 95% of the decided cells and at most 10% undecided, is not reached." in page
    )
    assert "180 of the 360 runs of the protocol gave a result. Not run are the problems Ant-v5." in page
    assert "Not run are the methods c. A method has 30 seeds in a cell." in page
    assert (
        "### LQR\n\nlqr\n\n| method | 30 rollouts |\n| --- | ---: |\n| b | 0.45 |\n| auto | 0.50 |\n| a | 0.40 |"
        in page
    )
    assert "| thermal-pid | 30 | b | -0.40" in page


def test_means_of_a_family_are_over_the_same_problems(study: Any) -> None:
    run = table(study, {("thermal-pid", "auto"): 0.2, ("thermal-pid", "a"): 0.1, ("tanks-pid", "a"): 0.9,
                        ("thermal-pid", "b"): 0.3, ("lqr", "auto"): 0.5, ("lqr", "b"): 0.4})  # fmt: skip
    level = study.common(run, "auto")
    assert {*level[["problem", "method"]].itertuples(index=False, name=None)} == {
        ("thermal-pid", "auto"), ("thermal-pid", "a"), ("thermal-pid", "b"), ("lqr", "auto"), ("lqr", "b"),
    }  # fmt: skip
    assert "cells that it does not have: tanks-pid at 30." in study.left_out(run, level)
    more = table(study, {("tanks-pid", "auto"): 0.7})
    assert "b" not in {
        *study.common(pd.concat([run, more]), "auto").query("family == 'controllers'")["method"]
    }


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (-0.04, 0.3, "not behind"),
        (-0.2, -0.06, "behind"),
        (-0.06, 0.2, "undecided"),
        (-0.06, -0.04, "undecided"),
    ],
)
def test_a_cell_is_decided_by_both_ends_of_its_interval(
    study: Any, low: float, high: float, verdict: str
) -> None:
    assert study.Cell("lqr", 30, "a", 0.0, low, high).verdict == verdict


def test_scores_are_0_at_the_start_1_at_the_best_and_the_share_of_targets_of_functions(
    study: Any, tmp_path: Path
) -> None:
    (tmp_path / "references.csv").write_text("problem,gain\nthermal-pid/one,4.0\n", encoding="utf-8")
    rows = [
        ("thermal-pid/one", -8.0, -10.0, 0.5),
        ("thermal-pid/one", -99.0, -10.0, -1.0),
        ("thermal-pid/one", np.nan, -10.0, -1.0),
        ("thermal-pid", -79.1413, -50.0, 0.0),
        ("thermal-pid", -11.7419, -50.0, 1.0),
        ("coco-f1-d5", -2e-7, -5.0, 44 / 51),  # 10² to 10^−6.6
        ("coco-f1-d5", 0.0, -5.0, 1.0),
        ("coco-f1-d5", -101.0, -5.0, 0.0),
    ]
    made = pd.DataFrame(
        [(name, "x", 0, 0, 30, 30, value, start, 0.1, "") for name, value, start, _ in rows],
        columns=study.COLUMNS,
    )
    found = study.scored(made, tmp_path / "references.csv")["score"].tolist()
    assert found == pytest.approx([score for *_, score in rows])


def test_a_thousand_rollouts_are_run_only_where_the_pilot_says_that_they_take_less_than_half_a_minute(
    study: Any,
) -> None:
    pilot = pd.DataFrame(
        [("lqr", "snes", 100, 2.9), ("lqr", "pgpe", 100, 3.1)],
        columns=["problem", "method", "spent", "seconds"],
    )
    most = {
        name: study.longest(pilot, study.Job("lqr", name, 0)) for name in ("snes", "snes#2", "pgpe", "ars")
    }
    assert most == {"snes": 1000, "snes#2": 1000, "pgpe": 300, "ars": 300}
    assert study.seconds(pilot, study.Job("lqr", "pgpe", 0), 1000) == pytest.approx(9.3)
    assert study.seconds(pilot, study.Job("lqr", "snes", 0), 100) == pytest.approx(2.9)
    assert study.budgets_of(study.Job("lqr", "optuna GP", 0), 1000) == (30, 100)


@pytest.mark.nightly
def test_every_problem_is_searched_and_judged(study: Any) -> None:
    for name in study.problems():
        (row,) = study.rows_of(study.Job(name, "hill-climbing", 0), 30)
        assert row["note"] == "", name
        assert np.isfinite([row["value"], row["start"]]).all(), name


def test_one_episode_gives_a_candidate_the_same_return_in_every_generation(study: Any) -> None:
    made = study.problems()["tanks-pid/one"].searched(CMAES(), 0)
    twice = Proposal(np.array([made.domain.start] * 2), made.domain.start, episodes=2)
    returns = [made.evaluator.evaluate(twice, ("g", g)).returns for g in range(2)]
    assert np.unique(returns).tolist() == made.judge(made.domain.start[None]).tolist()
    made.close()


def test_gains_of_configurations_are_over_the_default_on_the_same_problems(study: Any) -> None:
    run = table(study, {("lqr", "snes#0"): 0.5, ("lqr", "snes#1"): 0.7, ("thermal-pid", "snes#0"): 0.1,
                        ("thermal-pid", "snes#1"): 0.2, ("lqr", "pycma"): 0.0})  # fmt: skip
    found = study.gains(run).set_index("configuration")
    assert found.loc["snes#1", "gain"] == pytest.approx(0.15, abs=0.01)
    assert found.loc["snes#1", "low"] < 0 < found.loc["snes#1", "high"]  # two problems
    assert found.loc["snes#0", "gain"] == 0
    assert list(found.index) == ["snes#1", "snes#0"]


def test_defaults_that_are_not_the_sources_won_on_the_tuning_problems() -> None:
    table = pd.read_csv(FOLDER / "defaults.csv")
    table["options"] = table["hyperparameters"].map(json.loads)
    won = table.groupby("configuration").filter(
        lambda rows: (rows["low"] > 0).any() and (rows["high"] >= 0).all()
    )
    for name in ("pgpe", "evolution-strategy", "finite-difference", "one-plus-one-cma-es"):
        rows = won[won["method"] == name]
        best = rows.groupby("configuration")["gain"].mean().idxmax()
        chosen = rows[rows["configuration"] == best]["options"].iloc[0]
        made = build(name, {})
        assert {field: getattr(made, field) for field in chosen} == chosen
        assert set(chosen) == set(source_of(type(made)))
    weakest = won[won["method"] == "cma-es"].groupby("configuration")["low"].max()
    assert weakest.min() < 0.001  # which is why it has its author's value


def test_what_the_guide_says_of_auto_is_what_the_page_says() -> None:
    root = FOLDER.parents[1]
    page = (root / "results/choosing_a_method/README.md").read_text(encoding="utf-8")
    guide = " ".join((root / "docs/explanation/choosing-a-method.md").read_text(encoding="utf-8").split())
    parts = dict(part.partition("\n")[::2] for part in page.split("\n### ")[1:])

    def means(family: str, method: str) -> list[str]:
        (row,) = (line for line in parts[family].splitlines() if line.startswith(f"| {method} |"))
        return [cell.split()[0].replace("-", "−") for cell in row.split("|")[2:5]]

    def of_30(family: str, method: str) -> str:
        return means(family, method)[0]

    auto, cobyqa = (means("controllers", method) for method in ("auto", "scipy COBYQA"))
    assert f"`auto` has {auto[0]}, {auto[1]} and {auto[2]} after 30, 100 and 300 rollouts" in guide
    assert f"COBYQA {cobyqa[0]} each time" in guide
    assert len(set(cobyqa)) == 1
    auto, small = (means("LQR", method) for method in ("auto", "cma-es of 0.1"))
    assert f"on the regulator `auto` has {auto[0]} then, and {auto[1]} after 100" in guide
    assert f"has {small[0]} and {small[1]}." in guide
    lost = page.split("\n| problem | budget |")[1].split("\n\n")[0].splitlines()[2:]
    won = [line.split(" | ")[0] for line in lost if "| scipy COBYQA |" in line]
    with_noise = sum(cell in ("| lqr", "| coco-f101-d5", "| CartPole-v1/mlp:8") for cell in won)
    assert (
        f"Of the {len(lost)} cells in which `auto` is behind COBYQA wins {len(won)}, of which {with_noise} have"
        in guide
    )
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| ") and line.count("|") == 6]
    words = {
        row[0].removeprefix("| "): row[-1].removesuffix(" |") for row in rows if row[2].count(" to ") == 1
    }
    assert {name for name, word in words.items() if word != "ahead"} == {"scipy COBYQA"}
    assert words["scipy COBYQA"] == "not distinguished"
    assert len(words) == 14  # thirteen peers, and CMA-ES with small steps


def test_what_the_guide_says_of_the_tuning_problems_is_in_the_table_of_rules() -> None:
    guide = (FOLDER.parents[1] / "docs/explanation/choosing-a-method.md").read_text(encoding="utf-8")
    table = pd.read_csv(FOLDER / "auto_rule.csv", index_col=["method", "budget"])["all"].unstack()
    for said, name in {
        "`auto`": "auto",
        "with `multi-start` in the place of the model": "multi-start without noise",
        "with a simplex where there are bounds too": "a simplex with noise and bounds too",
        "with `cma-es` in the place of `sep-cma-es`": "cma-es of 0.1 with noise",
        "`quadratic-model` alone": "quadratic-model alone",
        "`sep-cma-es` with σ = 0.1 alone": "sep-cma-es alone",
        "`cma-es` with σ = 0.1 alone, the earlier default of `tune`": "cma-es alone",
    }.items():
        assert f"| {said} | " + " | ".join(f"{mean:.3f}" for mean in table.loc[name]) + " |" in guide
