"""Saved policies act as they did in the search, also where nothing but NumPy can be imported, and in other languages."""

import ctypes
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import scipy.io
from gymnasium import spaces

import policysearch
from policysearch.compare.__main__ import main
from policysearch.compare.saved import Header, write
from policysearch.deploy import export
from policysearch.deploy.files import entries
from policysearch.deploy.forms import form_of
from policysearch.deploy.policy import SavedPolicy
from policysearch.evaluators.interface import Interface
from policysearch.plain_data import decode, encode
from policysearch.policies import MLP, Gaussian, Linear, Softmax
from policysearch.seeding import stream
from policysearch.tasks import find_task

FACTS: dict[str, Any] = {
    "task": "a task", "env_id": "X-v0", "policy": "linear", "deploy": "mode", "max_episode_steps": 9, "stochastic": True,
    "optimizer": "ars", "seed": 0, "run": 3, "report_episodes": 20, "final_return": 1.0, "final_return_se": 0.0,
}  # fmt: skip
PLAIN = spaces.Box(-9.0, 9.0, (3,), np.float64)


class Case(NamedTuple):
    """A policy, the spaces of its environment, and how it is deployed."""

    policy: Any
    observation: spaces.Space[Any] = PLAIN
    action: spaces.Space[Any] = spaces.Box(-0.3, 0.3, (2,), np.float32)


def pid() -> Case:
    task = find_task("motor-pid")
    interface = task.meet().interface
    return Case(task.make_policy(), interface.observation_space, interface.action_space)


CASES = {
    "linear": Case(Linear(3, 2)),
    "network": Case(Gaussian(MLP(3, 2, (4, 5)))),
    "unbounded": Case(Linear(3, 1), action=spaces.Box(-np.inf, 0.1, (1,), np.float64)),
    "whole numbers": Case(Linear(3, 2), action=spaces.Box(-2, 2, (2, 1), np.int16)),
    "image": Case(Linear(4, 2), spaces.Box(0, 255, (2, 2), np.uint8)),
    "choice": Case(Softmax(Linear(3, 4), (4,)), action=spaces.Discrete(4, start=-1)),
    "choices": Case(
        Softmax(MLP(3, 5, (4,)), (2, 3)), action=spaces.MultiDiscrete([2, 3], start=[1, 0], dtype=np.int32)
    ),
    "switches": Case(Softmax(Linear(3, 4), (2, 2)), action=spaces.MultiBinary(2)),
    "table": Case(Softmax(Linear(5, 2, bias=False), (2,)), spaces.Discrete(5, start=2), spaces.Discrete(2)),
    "controller": pid(),
}


def saved(case: Case, deploy: str = "mode", seed: int | None = None) -> SavedPolicy:
    """The policy as it comes out of a file."""
    policy, interface = case.policy, Interface(case.observation, case.action)
    form = decode(encode(form_of(policy, interface, deploy)))
    params = policy.start(stream(1)) + 0.5 * stream(2).standard_normal(policy.num_params)
    facts = FACTS | {"param_names": list(policy.param_names), "form": encode(form)}
    return SavedPolicy(form, params, facts, seed)


def observations(case: Case, count: int = 20) -> list[Any]:
    case.observation.seed(3)
    return [case.observation.sample() for _ in range(count)]


def expected(case: Case, params: Any) -> list[Any]:
    """The actions that the search's own rollouts take."""
    interface = Interface(case.observation, case.action)
    observe, act = interface.observer() or (lambda obs: obs), interface.row_actor()
    state, found = np.zeros((1, case.policy.state_size)), []
    for obs in observations(case):
        action, state = case.policy.act(params[None], np.asarray(observe(obs), dtype=float)[None], state)
        found.append(act(action[0])[0])
    return found


@pytest.mark.parametrize("name", CASES)
def test_a_saved_policy_acts_as_in_the_search(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    policy = saved(case)
    again = policysearch.load(policy.export(tmp_path / "policy.npz"))
    again.reset()
    actions = [again.act(obs) for obs in observations(case)]
    for action, wanted in zip(actions, expected(case, policy.params), strict=True):
        assert case.action.contains(action)
        np.testing.assert_allclose(
            action, wanted, rtol=1e-6 if np.asarray(wanted).dtype == np.float32 else 1e-13
        )
    assert len({np.asarray(action).tobytes() for action in actions}) > 1


def test_a_controller_forgets_when_an_episode_begins() -> None:
    policy = saved(CASES["controller"])
    first, second = policy.act([1e-3, 0.0]), policy.act([1e-3, 0.001])
    policy.reset()
    assert (first.item(), policy.act([1e-3, 0.0]).item()) == (first.item(), first.item())
    assert policy.act([1e-3, 0.001]).item() == second.item()


@pytest.mark.parametrize(
    ("case", "rate"),
    [
        (Case(Softmax(Linear(3, 2), (2,), temperature=2.0), action=spaces.Discrete(2)), "shares"),
        (Case(Gaussian(Linear(3, 1)), action=spaces.Box(-99.0, 99.0, (1,), np.float64)), "spread"),
    ],
)
def test_where_the_study_drew_actions_the_policy_draws_them(case: Case, rate: str) -> None:
    policy, obs = saved(case, "sample", seed=0), [1.0, -1.0, 0.5]
    drawn = np.array([policy.act(obs) for _ in range(20_000)]).ravel()
    if rate == "shares":
        logits = case.policy.logits.act(policy.params[None], np.array([obs]), np.zeros((1, 0)))[0][0] / 2.0
        share = 1.0 / (1.0 + np.exp(logits[0] - logits[1]))
        assert 0.05 < share < 0.95
        assert abs(drawn.mean() - share) < 4 * np.sqrt(share * (1 - share) / len(drawn))
    else:
        sigma = np.exp(policy.params[-1])
        assert abs(drawn.std() / sigma - 1.0) < 4 / np.sqrt(2 * len(drawn))
    again = saved(case, "sample", seed=0)
    assert [again.act(obs) for _ in range(3)] == drawn[:3].tolist()


#: Only the standard library, NumPy and this package can be imported.
BLOCKED = """
import importlib.abc, json, sys
class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in sys.stdlib_module_names | {"numpy", "policysearch"} and not top.startswith("_"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocked())
import policysearch
try:
    policy = policysearch.load(sys.argv[1])
    print(json.dumps([float(x) for obs in json.loads(sys.argv[2]) for x in policy.act(obs).ravel()]))
except ImportError as error:
    print(error.name)
"""


@pytest.mark.parametrize("name", ["network", "controller"])
def test_a_saved_policy_needs_numpy_and_a_controller_numba(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    file = saved(case).export(tmp_path / "policy.npz")
    seen = [obs.tolist() for obs in observations(case, 5)]
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED, str(file), json.dumps(seen)],
        capture_output=True,
        text=True,
        check=True,
    )
    if name == "controller":
        assert done.stdout.strip() in ("numba", "jaxtyping")
    else:
        policy = policysearch.load(file)
        assert json.loads(done.stdout) == [float(x) for obs in seen for x in policy.act(obs).ravel()]


@pytest.mark.parametrize(
    ("name", "obs", "message"),
    [
        ("linear", [1.0, 2.0], "obs: expected 3 numbers, got 2"),
        ("linear", [1.0, np.nan, 0.0], "is not a finite number"),
        ("choice", [np.inf, 0.0, 0.0], "is not a finite number"),
        ("table", 7, "obs: expected 2 … 6, got 7"),
        ("table", 1, "obs: expected 2 … 6, got 1"),
    ],
)
def test_what_gives_no_action_is_refused(name: str, obs: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        saved(CASES[name]).act(obs)


def in_c(header: Path, observed: int, actions: int) -> Any:
    """The function of a C header."""
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("gcc is not installed")
    library, source = header.with_suffix(".so"), header.with_suffix(".c")
    source.write_text(
        f'#include "{header.name}"\nint act(const double *x, double *u) {{ return policy_act(x, u); }}\n'
    )
    options = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-O2", "-ffp-contract=off", "-shared", "-fPIC"]
    subprocess.run(
        [compiler, *options, str(source), "-o", str(library), "-lm"], check=True, cwd=header.parent
    )
    act = ctypes.CDLL(str(library)).act

    def called(obs: Any) -> tuple[int, Any]:
        x, u = np.ravel(obs).astype(float), np.full(actions, np.nan)
        assert x.size == observed
        pointer = ctypes.POINTER(ctypes.c_double)
        return act(x.ctypes.data_as(pointer), u.ctypes.data_as(pointer)), u

    return called


@pytest.mark.parametrize("name", [name for name in CASES if name not in ("controller", "image", "switches")])
def test_a_c_header_acts_as_the_policy(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    policy = saved(case)
    header = policy.export(tmp_path / "policy.h")
    sizes = re.findall(r"#define POLICY_\w+ (\d+)", header.read_text(encoding="utf-8"))
    act = in_c(header, *map(int, sizes))
    for obs in observations(case):
        code, action = act(obs)
        assert code == 0
        np.testing.assert_allclose(action, np.ravel(policy.act(obs)), rtol=1e-6)
    if name != "table":
        assert act([np.nan, 0.0, 0.0])[0] == 1
    else:
        assert (act(1)[0], act(7)[0]) == (1, 1)


def test_a_policy_that_draws_has_no_c(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="draws its actions, for which there is no C"):
        saved(CASES["choice"], "sample").export(tmp_path / "policy.h")


@pytest.mark.parametrize("name", ["network", "table", "controller"])
def test_json_and_matlab_hold_every_number(name: str, tmp_path: Path) -> None:
    policy = saved(CASES[name])
    told = json.loads(policy.export(tmp_path / "policy.json").read_text(encoding="utf-8"))
    matlab = scipy.io.loadmat(policy.export(tmp_path / "policy.mat"), simplify_cells=True)["policy"]
    if name == "controller":
        assert list(told) == ["kp", "ki", "kd", "filter time"]
        assert [matlab[key] for key in ("kp", "ki", "kd", "filter_time")] == list(told.values())
        assert list(told.values()) == [*policy.values.values()]
        return
    for i, (W, b) in enumerate(policy.layers, start=1):
        assert np.array_equal(told[f"W{i}"], W)
        assert np.array_equal(matlab[f"W{i}"].reshape(W.shape), W)
        assert np.array_equal(np.ravel(matlab[f"b{i}"]), b)
    assert told["action"]["kind"] == matlab["action"]["kind"]


def test_values_of_every_kind_are_written_in_c(tmp_path: Path) -> None:
    named = {"kp": 0.1, "pid.kd": np.inf, "window": 3, "filter": 'a"b', "fast": True}
    header = export.values(tmp_path / "gains.h", named, {"kp": "V/rad */"}, "a */ title").read_text(
        encoding="utf-8"
    )
    assert "static const double gains_kp = 0.1; /* kp, V/rad * / */" in header
    assert "gains_pid_kd = INFINITY;" in header
    assert "static const int gains_window = 3;" in header
    assert 'static const char *const gains_filter = "a\\"b";' in header
    assert "static const int gains_fast = 1;" in header
    if compiler := shutil.which("gcc"):
        command = [compiler, "-std=c99", "-fsyntax-only", str(tmp_path / "gains.h")]
        subprocess.run(command, check=True)
    with pytest.raises(ValueError, match=r"several of a\.b, a b become a_b"):
        export.values(tmp_path / "gains.h", {"a.b": 1.0, "a b": 2.0}, {}, "")
    with pytest.raises(
        ValueError, match=re.escape(r"gains.txt: expected a name that ends in .json, .h or .mat")
    ):
        export.values(tmp_path / "gains.txt", {"a": 1.0}, {}, "")


def recommendations(folder: Path, **changes: Any) -> Path:
    policy = saved(CASES["choice"])
    header = Header(
        **FACTS | {"param_names": policy.header["param_names"], "form": encode(policy.form)} | changes
    )
    return write(
        folder / "recommendations.npz",
        [(header, policy.params), (header.model_copy(update={"run": 4}), policy.params)],
    )


@pytest.mark.parametrize(
    ("changes", "name", "message"),
    [
        ({}, "", "fits 2 saved vectors"),
        ({}, "ars/9", "fits no saved vector"),
        ({"form": None}, "ars/4", "does not say how its policy acts"),
        ({"form": "{}"}, "ars/4", "the policy does not fit its parameters"),
        ({"form": "[[["}, "ars/4", "the policy does not fit its parameters"),
        ({"form": encode({"controller": "os:system", "fields": {}, "obs_size": 1, "action": {}})}, "ars/4",
         "expected one of policysearch, got 'os:system'"),
        ({"form": encode({"controller": "policysearch.files:Path", "fields": {}, "obs_size": 1, "action": {}})}, "ars/4",
         "has no controller Path"),
    ],
)  # fmt: skip
def test_a_file_that_has_no_such_policy_is_refused(
    changes: dict[str, Any], name: str, message: str, tmp_path: Path
) -> None:
    file = recommendations(tmp_path, **changes)
    with pytest.raises(ValueError, match=re.escape(message)):
        policysearch.load(file / name)


def test_what_is_no_file_of_policies_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nothing.npz: no such file"):
        policysearch.load(tmp_path / "nothing.npz")
    (tmp_path / "text.npz").write_text("text", encoding="utf-8")
    with pytest.raises(ValueError, match=r"text.npz: expected a saved policy \(.npz\), got"):
        policysearch.load(tmp_path / "text.npz")


def test_a_recommendation_of_an_earlier_version_is_exported_with_the_help_of_its_environment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = Path(__file__).parent.parent / "assets/recommendation_v1.npz"
    with pytest.raises(ValueError, match="policysearch compare export"):
        policysearch.load(old)
    out = tmp_path / "policy.npz"
    assert main(["export", str(old), "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"written: {out}\n"
    policy = policysearch.load(out)
    assert policy.params.tolist() == entries(old, ["params"])[0].tolist()
    assert policy.act(np.zeros(policy.form["obs_size"])) is not None
    assert main(["export", str(old), "--out", str(tmp_path / "policy.txt")]) == 2
    assert "expected a name that ends in" in capsys.readouterr().err
    assert main(["export", str(tmp_path / "none.npz"), "--out", str(out)]) == 2
    assert "no such file" in capsys.readouterr().err
