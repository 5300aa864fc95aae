"""How fast rollouts are: ours, and all others that run the same episodes, in one run.

    python experiments/benchmarks/rollouts.py --out results/benchmarks

Every row runs the same candidates in the same task: N parameter vectors around one that keeps episodes long
(CartPole: about 495 of 500 steps) or, where there is none, around zero. Every control step counts, also those
that environments which reset themselves make after the first episode of a candidate, until the last candidate
is done: an evaluation would throw them away. The rows of a case are timed alternately, five rounds after one to
warm up, and the median is reported.

    naive loop          gymnasium.make, one candidate after the other, the policy with NumPy
    env.step only       the same environment without wrappers, a fixed action, no policy
    vector environment  Gymnasium's own, 64 environments, the policy on the batch
    EnvPool             the same with EnvPool, where it is installed
    raw mj_step         MuJoCo's Python binding under the recorded controls, no policy, nothing observed
    mujoco.rollout      MuJoCo's threaded C++ rollouts under the recorded controls
    episodes, pool, compiled   ours, with 1 or 2 threads or processes

Episodes of HalfCheetah and Swimmer end after 250 steps here. Slow rows run the first of the candidates only.
Peak memory is that of a process that runs one row.
"""

import argparse
import functools
import importlib.metadata
import importlib.util
import itertools
import platform
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import matplotlib as mpl
import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

import policysearch
from policysearch.core import Array, Policy, Proposal
from policysearch.evaluators import CompiledEvaluator, EpisodeEvaluator, PoolEvaluator
from policysearch.evaluators.interface import Interface
from policysearch.policies import Gaussian, Softmax
from policysearch.seeding import stream
from policysearch.simulators import MUJOCO, Simulator, find_simulator
from policysearch.tasks import make_policy

mpl.use("Agg")
from matplotlib import pyplot as plt

CLASSIC = ("CartPole-v1", "Pendulum-v1", "Acrobot-v1", "MountainCar-v0", "MountainCarContinuous-v0")
LOCOMOTION = ("Hopper-v5", "HalfCheetah-v5", "Swimmer-v5")
SPIN = "spin 50 µs"
LIMITS = {SPIN: 200, "HalfCheetah-v5": 250, "Swimmer-v5": 250}  # steps per episode, where not Gymnasium's
SLOW_CANDIDATES = 8  # of which slow rows run
TURN_SECONDS = 0.2  # a row runs its candidates again and again for at least so long
KEY = (0, "benchmark")

Run = Callable[[], int]  # one round: returns its control steps


class Spin(gym.Env[Any, Any]):
    """An environment whose step keeps one processor busy for 50 µs."""

    observation_space = gym.spaces.Box(-1.0, 1.0, (4,))
    action_space = gym.spaces.Box(-1.0, 1.0, (1,))

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        """Start over."""
        super().reset(seed=seed)
        self._t = 0
        return np.zeros(4, dtype=np.float32), {}

    def step(self, action: Any) -> Any:
        """Spin."""
        self._t += 1
        until = time.perf_counter() + 50e-6
        while time.perf_counter() < until:
            pass
        return np.zeros(4, dtype=np.float32), 1.0, False, self._t == 200, {}


def make_env(task: str) -> Any:
    """The environment without Gymnasium's checks."""
    return Spin() if task == SPIN else gym.make(task, LIMITS.get(task), disable_env_checker=True)


@dataclass(frozen=True)
class Case:
    """Which candidates are run where."""

    task: str
    policy: str
    n: int

    def make_policy(self) -> Policy:
        """The policy, without its noise."""
        env = make_env(self.task)
        full: Any = make_policy(self.policy, Interface(env.observation_space, env.action_space))
        return full.mode

    def params(self) -> Array:
        """The candidates."""
        policy, rng = self.make_policy(), stream("benchmark", self.task, self.policy)
        centre = policy.start(rng)
        if (self.task, self.policy) == ("CartPole-v1", "linear"):
            centre[4:8] = [0.1, 0.4, 3.0, 1.0]
        scale = 0.05 if self.policy == "linear" else 0.01
        return centre + scale * rng.standard_normal((self.n, policy.num_params))

    def simulator(self) -> Simulator | None:
        """The compiled form."""
        return None if self.task == SPIN else find_simulator(make_env(self.task))

    def limit(self) -> int:
        """Steps per episode."""
        return LIMITS.get(self.task) or int(gym.spec(self.task).max_episode_steps or 1000)


def batch_actor(case: Case) -> Callable[[Array, Array], Any]:
    """(params, observations) → the environments' actions, with plain NumPy."""
    policy: Any = case.make_policy()
    body = policy.logits if isinstance(policy, Softmax) else policy
    space: Any = make_env(case.task).action_space  # Discrete or Box
    if isinstance(policy, Softmax):
        return lambda params, obs: body.act(params, obs, np.empty((len(obs), 0)))[0].argmax(axis=1)
    low, high = space.low, space.high
    return lambda params, obs: np.clip(body.act(params, obs, np.empty((len(obs), 0)))[0], low, high).astype(
        np.float32
    )


# ------------------------------------------------------------------------------------------ other people's


def naive_loop(case: Case, threads: int) -> Run:
    """What one writes first."""
    env: Any = gym.make(case.task, case.limit()) if case.task != SPIN else Spin()
    params = case.params()[:SLOW_CANDIDATES]
    policy: Any = case.make_policy()
    body, discrete = (policy.logits, True) if isinstance(policy, Softmax) else (policy, False)
    linear = case.policy == "linear"
    low, high = (None, None) if discrete else (env.action_space.low, env.action_space.high)

    def run() -> int:
        steps = 0
        for theta in params:
            obs, _ = env.reset(seed=0)
            W = theta[: body.action_size * body.obs_size].reshape(body.action_size, body.obs_size)
            b, over = theta[W.size :], False
            while not over:
                y = W @ obs + b if linear else body.forward(theta, obs[None])[0]
                action = int(np.argmax(y)) if discrete else np.clip(y, low, high).astype(np.float32)
                obs, _, terminated, truncated, _ = env.step(action)
                over = terminated or truncated
                steps += 1
        return steps

    return run


def step_only(case: Case, threads: int) -> Run:
    """The environment by itself."""
    env, lengths = make_env(case.task).unwrapped, case_lengths(case)[:SLOW_CANDIDATES]
    env.action_space.seed(0)
    action = env.action_space.sample()

    def run() -> int:
        for length in lengths:
            env.reset(seed=0)
            step = env.step
            for _ in range(length):
                step(action)
        return sum(lengths)

    return run


def vectorised(case: Case, threads: int, make: Callable[[], Any]) -> Run:
    """A vector environment that resets itself, run until every first episode has ended."""
    env, params, actor = make(), case.params(), batch_actor(case)

    def run() -> int:
        obs, _ = env.reset()
        alive, steps = np.ones(len(params), dtype=bool), 0
        while alive.any():
            obs, _, terminated, truncated, _ = env.step(actor(params, np.asarray(obs, dtype=float)))
            steps += len(params)
            alive &= ~(terminated | truncated)
        return steps

    return run


def gymnasium_vector(case: Case, threads: int) -> Run:
    """Gymnasium's own, with a vectorised implementation where it has one."""
    mode = "vector_entry_point" if gym.spec(case.task).vector_entry_point else "sync"
    options: dict[str, Any] = {"vectorization_mode": mode}
    if case.task in LIMITS:
        options["max_episode_steps"] = case.limit()
    return vectorised(case, threads, lambda: gym.make_vec(case.task, case.n, **options))


def envpool_vector(case: Case, threads: int) -> Run:
    """EnvPool."""
    import envpool  # noqa: PLC0415 - optional

    options: dict[str, Any] = {"env_type": "gymnasium", "num_envs": case.n, "num_threads": threads}
    options["max_episode_steps"] = case.limit()
    return vectorised(case, threads, lambda: envpool.make(case.task, **options))


def recorded_controls(case: Case) -> list[Array]:
    """The controls of each candidate's episode, as our compiled rollouts have them."""
    env = make_env(case.task)
    policy = make_policy(case.policy, Interface(env.observation_space, env.action_space))
    assert isinstance(policy, Gaussian)  # noqa: S101 - actions are continuous
    silent = np.full((case.n, policy.num_params - policy.mode.num_params), -50.0)  # log σ
    params = np.concatenate([case.params(), silent], axis=1)
    simulator = case.simulator()
    assert simulator is not None  # noqa: S101 - known task
    evaluator = CompiledEvaluator(simulator, policy, max_episode_steps=case.limit())
    evaluation = evaluator.evaluate(Proposal(params, params[0], sample=True, record=True), KEY)
    low, high = env.action_space.low, env.action_space.high
    return [np.clip(episodes[0].actions, low, high).astype(np.float32) for episodes in evaluation.rollouts]


def raw_mj_step(case: Case, threads: int) -> Run:
    """The physics under the recorded controls, one episode after the other."""
    import mujoco  # noqa: PLC0415 - optional

    env, controls = make_env(case.task).unwrapped, recorded_controls(case)
    model, data, start = env.model, mujoco.MjData(env.model), _start(case)

    def run() -> int:
        for episode in controls:
            mujoco.mj_resetData(model, data)
            data.qpos[:], data.qvel[:] = start[: model.nq], start[model.nq :]
            mujoco.mj_forward(model, data)
            ctrl, mj_step, skip = data.ctrl, mujoco.mj_step, env.frame_skip
            for control in episode:
                ctrl[:] = control
                mj_step(model, data, skip)
        return sum(map(len, controls))

    return run


def mujoco_rollout(case: Case, threads: int) -> Run:
    """MuJoCo's own threads; episodes cut or repeated to the median length, since it wants equal ones."""
    import mujoco  # noqa: PLC0415 - optional
    from mujoco import rollout  # noqa: PLC0415

    env, controls, start = make_env(case.task).unwrapped, recorded_controls(case), _start(case)
    model, data = env.model, [mujoco.MjData(env.model) for _ in range(threads)]
    data[0].qpos[:], data[0].qvel[:] = start[: model.nq], start[model.nq :]
    mujoco.mj_forward(model, data[0])
    kind = mujoco.mjtState.mjSTATE_FULLPHYSICS
    state = np.zeros(mujoco.mj_stateSize(model, kind))
    mujoco.mj_getState(model, data[0], state, kind)
    length = int(np.median([len(episode) for episode in controls]))
    fitted = np.array([np.resize(episode, (length, model.nu)) for episode in controls], dtype=float)
    held = np.repeat(fitted, env.frame_skip, axis=1)
    threaded = rollout.Rollout(nthread=threads)

    def run() -> int:
        threaded.rollout(model, data, np.tile(state, (len(held), 1)), held)
        return length * len(held)

    return run


def _start(case: Case) -> Array:
    simulator = case.simulator()
    assert simulator is not None  # noqa: S101 - known task
    return simulator.draw(np.random.Generator(np.random.PCG64(0)))


# ---------------------------------------------------------------------------------------------------- ours


def our_evaluator(case: Case, kind: str, threads: int) -> Any:
    """One of ours."""
    policy = case.make_policy()
    if kind == "compiled":
        simulator = case.simulator()
        assert simulator is not None  # noqa: S101 - known task
        return CompiledEvaluator(simulator, policy, max_episode_steps=case.limit(), threads=threads)
    episodes = EpisodeEvaluator(functools.partial(make_env, case.task), policy)
    return PoolEvaluator(episodes, workers=threads) if kind == "pool" else episodes


def ours(case: Case, threads: int, kind: str) -> Run:
    """Every candidate once."""
    evaluator, params = our_evaluator(case, kind, threads), case.params()
    proposal = Proposal(params, params[0])
    return lambda: int(evaluator.evaluate(proposal, KEY).steps.sum())


@functools.lru_cache
def case_lengths(case: Case) -> tuple[int, ...]:
    """The lengths of the candidates' episodes."""
    kind = "compiled" if case.simulator() is not None else "episodes"
    params = case.params()[: SLOW_CANDIDATES if kind == "episodes" else case.n]
    evaluation = our_evaluator(case, kind, 1).evaluate(Proposal(params, params[0]), KEY)
    return tuple(evaluation.steps.ravel().tolist())


# ----------------------------------------------------------------------------------------------- the matrix


@dataclass(frozen=True)
class Row:
    """One way to run one case."""

    case: Case
    method: str
    threads: int

    def prepare(self) -> Run:
        """What is timed."""
        makers: dict[str, Callable[[Case, int], Run]] = {
            "naive loop": naive_loop,
            "env.step only": step_only,
            "vector environment": gymnasium_vector,
            "EnvPool": envpool_vector,
            "raw mj_step": raw_mj_step,
            "mujoco.rollout": mujoco_rollout,
        }
        if self.method in makers:
            return makers[self.method](self.case, self.threads)
        return ours(self.case, self.threads, self.method)


def rows_of(case: Case, *, full: bool) -> Iterator[Row]:
    """The rows of a case; without `full`, the naive loop and ours compiled."""
    yield Row(case, "naive loop", 1)
    if full:
        yield Row(case, "env.step only", 1)
        if case.task != SPIN:
            yield Row(case, "vector environment", 1)
            if importlib.util.find_spec("envpool"):
                yield from (Row(case, "EnvPool", threads) for threads in (1, 2))
        yield Row(case, "episodes", 1)
        if case.task in ("CartPole-v1", "Hopper-v5", SPIN):
            yield from (Row(case, "pool", workers) for workers in (1, 2))
        if case.task in MUJOCO:
            yield Row(case, "raw mj_step", 1)
            yield from (Row(case, "mujoco.rollout", threads) for threads in (1, 2))
    if case.task != SPIN:
        yield from (Row(case, "compiled", threads) for threads in (1, 2))


def cases() -> Iterator[tuple[Case, bool]]:
    """All tasks at N = 64; CartPole and Hopper also with other N and with a 64×64 network."""
    has_mujoco = importlib.util.find_spec("mujoco") is not None
    for task in (*CLASSIC, *(LOCOMOTION if has_mujoco else ()), SPIN):
        yield Case(task, "linear", 64), True
    for task in ("CartPole-v1", *(("Hopper-v5",) if has_mujoco else ())):
        for policy, n in itertools.product(("linear", "mlp:64,64"), (8, 64, 512, 4096)):
            if (policy, n) != ("linear", 64):
                yield Case(task, policy, n), False


def measure(case: Case, *, full: bool, repeats: int) -> list[dict[str, Any]]:
    """Steps per second of every row of a case, timed alternately."""
    rows = list(rows_of(case, full=full))
    runs = [row.prepare() for row in rows]
    speeds: list[list[float]] = [[] for _ in rows]
    for repeat in range(repeats + 1):
        for run, measured in zip(runs, speeds, strict=True):
            steps, began = 0, time.perf_counter()
            while (seconds := time.perf_counter() - began) < TURN_SECONDS:
                steps += run()
            if repeat:  # the first round warms up
                measured.append(steps / seconds)
    naive = np.array(speeds[0])
    with ThreadPoolExecutor(2) as pool:
        memories = list(pool.map(peak_memory, rows))
    return [
        {
            "task": case.task,
            "policy": case.policy,
            "N": case.n,
            "method": row.method,
            "threads": row.threads,
            "steps_per_second": round(float(np.median(measured))),
            "slowest": round(min(measured)),
            "fastest": round(max(measured)),
            "times_naive": round(float(np.median(np.array(measured) / naive)), 2),
            "peak_memory_mb": memory,
        }
        for row, measured, memory in zip(rows, speeds, memories, strict=True)
    ]


def peak_memory(row: Row) -> int:
    """MB that a process holds at most while it runs one row once (of a pool: without its workers)."""
    case = row.case
    arguments = [case.task, case.policy, str(case.n), row.method, str(row.threads)]
    command = [sys.executable, "-W", "ignore", __file__, "--row", *arguments]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


BARS = (
    ("CartPole-v1", "compiled", 1, "naive loop", 1, 250.0),
    ("CartPole-v1", "compiled", 2, "compiled", 1, 1.8),
    ("Pendulum-v1", "compiled", 1, "naive loop", 1, 250.0),
    ("Acrobot-v1", "compiled", 1, "naive loop", 1, 100.0),
    ("MountainCar-v0", "compiled", 1, "naive loop", 1, 100.0),
    *((task, "compiled", 1, "raw mj_step", 1, 0.95) for task in LOCOMOTION),
    *((task, "compiled", 2, "mujoco.rollout", 2, 0.95) for task in LOCOMOTION),
    *((task, "compiled", threads, "EnvPool", threads, 1.2) for task in LOCOMOTION for threads in (1, 2)),
    *((task, "episodes", 1, "env.step only", 1, 0.9) for task in (*CLASSIC, SPIN)),
    (SPIN, "pool", 2, "pool", 1, 1.85),
)


def against_bars(table: pd.DataFrame) -> pd.DataFrame:
    """What was to be reached, and what was."""
    at_64 = table[(table["N"] == 64) & (table["policy"] == "linear")]
    speed = at_64.set_index(["task", "method", "threads"])["steps_per_second"]
    lines = []
    for task, method, threads, other, other_threads, bar in BARS:
        here, there = (task, method, threads), (task, other, other_threads)
        if here in speed.index and there in speed.index:
            ratio = float(speed[here] / speed[there])
            pair = f"{method} ({threads}) / {other} ({other_threads})"
            lines.append({"task": task, "ratio of": pair, "aim": bar, "reached": round(ratio, 2)})
    return pd.DataFrame(lines)


def draw(table: pd.DataFrame, path: Path) -> None:
    """Bars of steps per second, one panel per task."""
    at_64 = table[(table["N"] == 64) & (table["policy"] == "linear")]
    tasks = list(dict.fromkeys(at_64["task"]))
    figure, axes = plt.subplots(3, 3, figsize=(13, 8.5), layout="constrained")
    for axis, task in itertools.zip_longest(axes.ravel(), tasks):
        if task is None:
            axis.set_visible(False)
            continue
        part = at_64[at_64["task"] == task][::-1]
        labels = [f"{m}, {t}" if t > 1 else m for m, t in zip(part["method"], part["threads"], strict=True)]
        mine = part["method"].isin(("compiled", "episodes", "pool"))
        axis.barh(labels, part["steps_per_second"], color=["#1f77b4" if own else "#b0b0b0" for own in mine])
        for y, value in enumerate(part["steps_per_second"]):
            text = f" {value / 1e6:.3g} M" if value >= 1e6 else f" {value / 1e3:.3g} k"
            axis.text(value, y, text, va="center", fontsize=8)
        axis.set(
            xscale="log",
            title=task,
            xlim=(part["steps_per_second"].min() / 3, part["steps_per_second"].max() * 6),
        )
        axis.tick_params(labelsize=8)
    figure.supxlabel("control steps per second, linear policy, 64 candidates (blue: policysearch)")
    figure.savefig(path.with_suffix(".svg"))
    figure.savefig(path.with_suffix(".png"), dpi=110)


def main() -> None:
    """Parse the flags, measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, help="folder for rollouts.csv and its picture")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--row", nargs=5, help=argparse.SUPPRESS)  # one row, for its memory
    arguments = parser.parse_args()
    if arguments.row is not None:
        task, policy, n, method, threads = arguments.row
        with threadpool_limits(1):
            Row(Case(task, policy, int(n)), method, int(threads)).prepare()()
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        print(next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM")))
        return
    warnings.simplefilter("ignore")
    records: list[dict[str, Any]] = []
    with threadpool_limits(1):
        for case, full in cases():
            records += measure(case, full=full, repeats=arguments.repeats)
            print(pd.DataFrame([r for r in records if r["task"] == case.task][-8:]).to_string(index=False))
    table = pd.DataFrame(records)
    bars = against_bars(table)
    print(bars.to_string(index=False))
    if arguments.out is None:
        return
    arguments.out.mkdir(parents=True, exist_ok=True)
    versions = {
        "numpy": np.__version__,
        "gymnasium": gym.__version__,
        "policysearch": policysearch.__version__,
    }
    for name in ("numba", "mujoco", "envpool"):
        if importlib.util.find_spec(name):
            versions[name] = importlib.metadata.version(name)
    header = (
        f"# python experiments/benchmarks/rollouts.py --out {arguments.out}; "
        f"Python {platform.python_version()}, "
        + ", ".join(f"{name} {version}" for name, version in versions.items())
        + f"; {platform.machine()}, 2 threads at most, median of {arguments.repeats}\n"
    )
    (arguments.out / "rollouts.csv").write_text(header + table.to_csv(index=False), encoding="utf-8")
    (arguments.out / "rollouts_aims.csv").write_text(header + bars.to_csv(index=False), encoding="utf-8")
    draw(table, arguments.out / "rollouts")
    print(arguments.out / "rollouts.csv")


if __name__ == "__main__":
    main()
