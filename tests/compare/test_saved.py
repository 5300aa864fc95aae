"""Files of saved parameters: one for a study, any run of it by name, and those of earlier versions."""

import io
import json
import re
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policysearch.compare.__main__ import main
from policysearch.compare.recommendation import replay, save, save_failures
from policysearch.compare.run import Job, execute
from policysearch.compare.saved import FAILURES_FILE, RECOMMENDATIONS_FILE, Header, load, load_all, write
from policysearch.compare.study import Study

ASSETS = Path(__file__).parent.parent / "assets"
#: Two tasks, two methods, two runs each.
NAMES = [
    f"{task}/{label}/{run}" for task in ("lqr", "ns/Walk-v0") for label in ("ars", "b c") for run in (0, 1)
]


def header(name: str, params: int = 3, **changes: Any) -> Header:
    task, label, run = name.rsplit("/", 2)
    facts = {
        "task": task, "env_id": task, "policy": "linear", "deploy": "mode", "max_episode_steps": 9,
        "stochastic": False, "optimizer": label, "seed": 0, "run": int(run), "report_episodes": 20,
        "final_return": -1.5, "final_return_se": 0.1, "param_names": [f"w[{i}]" for i in range(params)],
    }  # fmt: skip
    return Header(**facts | changes)


FACTS = json.loads(header("lqr/ars/0").model_dump_json(exclude={"format", "param_names"})) | {
    "param_names": 0
}


@pytest.mark.parametrize("env_id", ["", "x", "[[", "../../etc/passwd"])
def test_an_environment_that_cannot_be_made_is_named(env_id: str, tmp_path: Path) -> None:
    named = header("lqr/ars/0", 2, env_id=env_id)
    with pytest.raises(ValueError, match=re.escape(f"lqr: the environment {env_id!r} cannot be made")):
        named.make_evaluator()


def vectors() -> list[tuple[Header, Any]]:
    return [(header(name, 3 + i % 2), np.arange(3.0 + i % 2) + i) for i, name in enumerate(NAMES)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path / RECOMMENDATIONS_FILE, vectors())


def test_what_is_written_is_read_in_the_same_order_to_the_last_bit(tmp_path: Path) -> None:
    odd = np.array([np.pi, -0.0, np.nextafter(1.0, 2.0)])
    saved = [(header("a/b/0", final_return=np.nan, final_return_se=np.inf), odd), *vectors()]
    found = load_all(write(tmp_path / "file.npz", saved))
    assert [repr(head) for head, _ in found] == [repr(head) for head, _ in saved]
    assert [x.tobytes() for _, x in found] == [x.tobytes() for _, x in saved]


def test_the_same_vectors_give_the_same_bytes_on_any_day(file: Path, tmp_path: Path) -> None:
    assert write(tmp_path / "again.npz", vectors()).read_bytes() == file.read_bytes()
    with zipfile.ZipFile(file) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_a_file_that_cannot_be_written_leaves_the_old_one(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(stream: Any, **_: Any) -> None:
        stream.write(b"PK")
        raise OSError("no space left on device")

    before = file.read_bytes()
    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(OSError, match="no space left"):
        write(file, vectors()[:1])
    assert file.read_bytes() == before


@pytest.mark.parametrize("name", NAMES)
def test_a_vector_is_found_by_its_name(name: str, file: Path) -> None:
    head, params = load(file / name)
    assert head.name == name
    assert params.tolist() == vectors()[NAMES.index(name)][1].tolist()


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ("lqr/ars/1", "lqr/ars/1"),  # the whole name, though it is a part of another
        ("Walk-v0/b c/0", "ns/Walk-v0/b c/0"),
        ("only", "x/only/7"),
        ("7", "x/only/7"),
        ("x/lqr/ars", "x/lqr/ars/1"),
    ],
)
def test_a_part_of_a_name_is_enough_if_no_other_vector_has_it(part: str, name: str, tmp_path: Path) -> None:
    more = [(header(long), np.zeros(3)) for long in ("x/only/7", "x/lqr/ars/1", "x/only-this/77")]
    assert load(write(tmp_path / "file.npz", [*more, *vectors()]) / part)[0].name == name


def test_the_only_vector_needs_no_name(tmp_path: Path) -> None:
    path = write(tmp_path / "one.npz", vectors()[:1])
    assert load(path)[0].name == load(path / "ars")[0].name == NAMES[0]


def test_who_names_none_or_several_is_told_what_there_is(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    all_of_them = ", ".join(str(file / name) for name in NAMES)
    for path, message in (
        (file, f"{file}: fits 8 saved vectors; expected one of {all_of_them}"),
        (file / "ars/1", f"fits 2 saved vectors; expected one of {file}/lqr/ars/1, {file}/ns/Walk-v0/ars/1"),
        (file / "cma-es", f"{file}/cma-es: fits no saved vector; expected one of {all_of_them}"),
        (file.parent / "none.npz/lqr", f"{file.parent}/none.npz/lqr: no such file"),
    ):
        assert main(["replay", str(path)]) == 2
        assert message in capsys.readouterr().err
    many = [(header(f"lqr/ars/{run}"), np.zeros(3)) for run in range(30)]
    write(file, [*many, *vectors()[2:]])
    assert main(["replay", str(file)]) == 2
    said = capsys.readouterr().err
    assert (
        f"expected one of {file}/lqr/ars/0, …; tasks: lqr, ns/Walk-v0; methods: ars, b c; runs: 0 to 29"
        in said
    )


def test_one_hostile_entry_does_not_hide_the_others(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("policysearch.deploy.files.MAX_BYTES", 1 << 20)
    bomb = io.BytesIO()
    np.save(bomb, np.zeros(1 << 18))
    with zipfile.ZipFile(file) as archive:
        entries = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in (entries | {"1.npy": bomb.getvalue()}).items():
            archive.writestr(name, data)
    assert load(file / NAMES[0])[1].tolist() == [0.0, 1.0, 2.0]
    with pytest.raises(ValueError, match="expected at most 1048576 bytes, got 2097280"):
        load(file / NAMES[1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"format": "policysearch recommendations 9"},
            "format: Input should be 'policysearch recommendations 1'",
        ),
        ({"stray": 1}, "stray: Extra inputs are not permitted"),
        ({"entries": [{"task": "lqr"}]}, "expected a saved recommendation"),
        ({"param_names": []}, "expected a saved recommendation"),
        (
            {"entries": [{**FACTS, "report_episodes": 10**9}]},
            "report_episodes: Input should be less than or equal",
        ),
        (
            {"entries": [{**FACTS, "max_episode_steps": 10**30}]},
            "max_episode_steps: Input should be less than",
        ),
        ({"param_names": [["w[0]"], ["w[0]"]]}, "expected 1 parameters, got shape (3,)"),
    ],
)
def test_a_header_that_is_none_is_refused(changes: dict[str, Any], message: str, file: Path) -> None:
    with np.load(file) as arrays:
        entries = dict(arrays)
    data = json.loads(str(entries["header"])) | changes
    np.savez(file, **entries | {"header": np.array(json.dumps(data))})
    with pytest.raises(ValueError, match=re.escape(str(file))) as refused:
        load(file / NAMES[0])
    assert message in str(refused.value)


def test_a_recommendation_and_a_failure_of_the_first_version_are_replayed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = ASSETS / "recommendation_v1.npz"
    replayed = replay(path)
    assert (replayed.header.name, replayed.same) == ("lqr/random-search/0", True)
    assert main(["replay", str(path / "lqr/random-search/0")]) == 0
    assert "the same to the last digit" in capsys.readouterr().out
    assert (
        main(["replay", str(ASSETS / "failure_v1.npz"), "--trust", "counting_env"]) == 1
    )  # the reason names another folder and line
    assert "it fails:  step: RuntimeError: a leg broke" in capsys.readouterr().out
    assert load(ASSETS / "failure_v1.npz")[0].name == "counting_env:Failing-v0/random-search/0/0"


def test_an_episode_that_ended_its_process_is_replayed_in_another(tmp_path: Path) -> None:
    study = Study.resolve({"tasks": ["counting_env:Failing-v0"], "optimizers": ["random-search"], "runs": 1})
    result = execute(study, Job("counting_env:Failing-v0", "random-search", 0))
    (example, *_), kinds = result.examples, []
    for reason in (
        "step: RuntimeError: a leg broke",
        "the rollout was stopped: it ended its process (exit code 7)",
    ):
        failed = replace(example, failure=replace(example.failure, reason=reason))
        file = save_failures(tmp_path, study, [replace(result, examples=(failed,))])
        assert file is not None
        kinds.append(load(file)[0].evaluator)
    assert kinds == ["auto", "pool"]


def test_runs_are_saved_in_the_order_of_the_study_and_failures_by_number(tmp_path: Path) -> None:
    task = "counting_env:Failing-v0"
    methods = ["random-search", "hill-climbing"]
    study = Study.resolve({"tasks": [task], "optimizers": methods, "rollouts": 60, "runs": 2})
    results = [execute(study, Job(task, label, run)) for run in (1, 0) for label in reversed(methods)]
    several = [
        replace(result, examples=tuple(replace(example, key=(*example.key, i)) for i in range(2)))
        for result in results
        for example in result.examples[:1]
    ]
    assert len(several) == 4
    saved = load_all(save(tmp_path, study, results))
    names = [f"{task}/{label}/{run}" for label in methods for run in (0, 1)]
    assert [head.name for head, _ in saved] == names
    failures = save_failures(tmp_path, study, several)
    assert failures == tmp_path / FAILURES_FILE
    assert [head.name for head, _ in load_all(failures)] == [f"{name}/{i}" for name in names for i in (0, 1)]
    second = load(failures / f"{names[3]}/1")[0].failed
    assert second is not None
    assert second.key[-1] == second.number == 1


def test_failures_of_a_study_that_has_none_any_more_are_removed(tmp_path: Path) -> None:
    study = Study.resolve({"tasks": ["lqr"], "optimizers": ["random-search"], "rollouts": 20, "runs": 1})
    result = execute(study, Job("lqr", "random-search", 0))
    (tmp_path / FAILURES_FILE).write_bytes(b"of an earlier start")
    assert save_failures(tmp_path, study, [result]) is None
    assert not (tmp_path / FAILURES_FILE).exists()
