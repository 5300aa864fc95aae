"""Traversals of the simulated AIBO per second, compared with the physics alone.

    python experiments/benchmarks/aibo.py --out results/benchmarks

The start gait of Kohl & Stone and gaits around it. "physics alone" is MuJoCo under the very commands that the
servos sent, without policy, servos, observations or rewards: `mj_step` called from Python, and `mujoco.rollout`,
which runs whole traversals in native code. All are timed alternately in one run; medians. The reduced model, which
needs no MuJoCo, is timed, too.
"""

import argparse
import itertools
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pandas as pd
from mujoco import rollout

from policysearch.aibo import robot as aibo
from policysearch.aibo.half_ellipse_gait import EPSILONS_PER_UNIT, SPACE
from policysearch.aibo.traversal import FRAME, FRAMES
from policysearch.core import Array, Proposal
from policysearch.seeding import stream
from policysearch.tasks import find_task, make_evaluator

GAITS = 32
STEPS_PER_FRAME = round(FRAME / aibo.TIMESTEP)


def gaits() -> Array:
    """The start gait, and gaits one ε around it."""
    around = stream(0, "gaits").standard_normal((GAITS, SPACE.domain.start.size)) / EPSILONS_PER_UNIT
    around[0] = 0.0
    return SPACE.domain.clip(SPACE.domain.start + around)


def commands(params: Array) -> tuple[Array, Array]:
    """What the servos send in a traversal of each gait, and the state that each starts from."""
    env: Any = aibo.AiboEnv()
    policy = find_task("aibo-gait").make_policy()
    sent = np.empty((len(params), FRAMES, env.action_space.shape[0]))
    for gait, theta in enumerate(params):
        obs, _ = env.reset(seed=gait)
        for frame in range(FRAMES):
            action, _ = policy.act(theta[None], obs[None], np.zeros((1, 0)))
            obs, _, fallen, _, _ = env.step(np.clip(action[0], env.action_space.low, env.action_space.high))
            sent[gait, frame:] = env._world.reference  # the last one holds after a fall
            if fallen:
                break
    return sent, np.array(aibo.standing_still())


def by_step(model: Any, sent: Array, start: Array) -> None:
    """`mj_step` from Python, a frame's steps in one call."""
    data = mujoco.MjData(model)
    for controls in sent:
        mujoco.mj_resetData(model, data)
        data.qpos[:], data.qvel[:] = start[: model.nq], start[model.nq :]
        for control in controls:
            data.ctrl[:] = control
            mujoco.mj_step(model, data, STEPS_PER_FRAME)


def by_rollout(model: Any, sent: Array, start: Array, threads: int) -> Callable[[], None]:
    """`mujoco.rollout` of all traversals at once."""
    datas = [mujoco.MjData(model) for _ in range(threads)]
    first = np.concatenate([[0.0], start])[None].repeat(len(sent), axis=0)
    controls = sent.repeat(STEPS_PER_FRAME, axis=1)

    def run() -> None:
        rollout.rollout(model, datas, first, controls)

    return run


def ours(task: str, params: Array, threads: int) -> Callable[[], None]:
    """The compiled evaluator."""
    chosen = find_task(task)
    evaluator = make_evaluator(chosen, chosen.make_policy(), threads=threads)
    evaluator.compile()
    numbers = itertools.count()

    def run() -> None:
        evaluator.evaluate(Proposal(params, params[0]), ("benchmark", next(numbers)))

    return run


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    params = gaits()
    (sent, start), model = commands(params), aibo.make_model()
    contestants: dict[str, Callable[[], None]] = {
        "physics alone: mj_step from Python": lambda: by_step(model, sent, start),
        "physics alone: mujoco.rollout": by_rollout(model, sent, start, 1),
        "physics alone: mujoco.rollout, 2 threads": by_rollout(model, sent, start, 2),
        "ours": ours("aibo-gait", params, 1),
        "ours, 2 threads": ours("aibo-gait", params, 2),
        "ours, reduced model": ours("aibo-gait-reduced", params, 1),
    }
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(arguments.repeats + 1):  # the first warms up
        for name, run in contestants.items():
            began = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - began)
    rows = [
        {"contestant": name, "traversals_per_second": GAITS / float(np.median(taken[1:]))}
        | {"seconds_per_1035": 1035 * float(np.median(taken[1:])) / GAITS}
        for name, taken in seconds.items()
    ]
    table = pd.DataFrame(rows).round(2)
    table["mujoco"], table["machine"] = mujoco.__version__, platform.machine()
    arguments.out.mkdir(parents=True, exist_ok=True)
    table.to_csv(arguments.out / "aibo.csv", index=False, lineterminator="\n")
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
