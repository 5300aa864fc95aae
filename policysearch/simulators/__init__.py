"""Simulators that ship with the package; importing this module registers them with Gymnasium.

`find_simulator` knows which environments have a compiled form: ours, any `SimulatorEnv`, and those of
Gymnasium that `policysearch.simulators` reproduces.
"""

import importlib
from typing import TYPE_CHECKING, Any, cast

import gymnasium as gym
from gymnasium import wrappers

from policysearch.exports import exports

if TYPE_CHECKING:  # for editors and type checkers
    from policysearch.simulators.simulator import Simulator, SimulatorEnv, compiled_functions

__all__ = ["CLASSIC_CONTROL", "MUJOCO", "Simulator", "SimulatorEnv", "compiled_functions", "find_simulator"]

#: Gymnasium's environments of classic control that a simulator of ours reproduces, and where it is.
CLASSIC_CONTROL = {
    "CartPole-v1": "cart_pole:CartPoleEnv",
    "Pendulum-v1": "pendulum:PendulumEnv",
    "Acrobot-v1": "acrobot:AcrobotEnv",
    "MountainCar-v0": "mountain_car:MountainCarEnv",
    "MountainCarContinuous-v0": "mountain_car:MountainCarContinuousEnv",
}
#: Those of MuJoCo.
MUJOCO = (
    "Swimmer-v5", "Hopper-v5", "HalfCheetah-v5", "Walker2d-v5", "Ant-v5", "Humanoid-v5",
    "InvertedPendulum-v5", "InvertedDoublePendulum-v5", "Reacher-v5", "Pusher-v5",
)  # fmt: skip

gym.register("policysearch/LQR-v0", entry_point="policysearch.simulators.lqr:LQREnv")
for _id, _place in CLASSIC_CONTROL.items():
    gym.register(
        f"policysearch/{_id}",
        entry_point=f"policysearch.simulators.{_place}",
        max_episode_steps=gym.spec(_id).max_episode_steps,
    )

#: Finite decision processes: which of `problems.PROBLEMS` each id is.
TABULAR = {
    "Bandit-v0": "bandit",
    "Chain-v0": "chain",
    "AliasedGridworld-v0": "aliased_gridworld",
    "AliasedGridworldHistory-v0": "aliased_gridworld",
}
for _id, _problem in TABULAR.items():
    gym.register(
        f"policysearch/{_id}",
        entry_point="policysearch.simulators.tabular:make_env",
        kwargs={"problem": _problem},
        # a policy with a memory of one step: the first observation stands for the one before it too
        additional_wrappers=(wrappers.FrameStackObservation.wrapper_spec(stack_size=2),)
        if "History" in _id
        else (),
    )
gym.register(
    "policysearch/RockPaperScissors-v0",
    entry_point="policysearch.simulators.rock_paper_scissors:RockPaperScissorsEnv",
)

#: Plants to tune a controller on: the module of each, and the most steps of an episode.
PLANTS = {
    "Motor": ("motor", 400),
    "Thermal": ("thermal", 300),
    "Tanks": ("tanks", 240),
    "CartPoleForce": ("cart_pole_force", 400),
    "Quadrotor": ("quadrotor", 300),
}
for _id, (_module, _steps) in PLANTS.items():
    gym.register(
        f"policysearch/{_id}-v0",
        entry_point=f"policysearch.simulators.{_module}:{_id}Env",
        max_episode_steps=_steps,
    )

__getattr__ = exports(
    __name__,
    dict.fromkeys(("Simulator", "SimulatorEnv", "compiled_functions"), "simulator"),
)

#: Wrappers that change neither observations nor rewards nor, but for the time limit, the end.
_TRANSPARENT = (wrappers.TimeLimit, wrappers.OrderEnforcing, wrappers.PassiveEnvChecker)


_found: dict[str, "Simulator"] = {}  # one of each, so that its rollouts are compiled once


def find_simulator(env: Any) -> "Simulator | None":
    """The compiled form of an environment, if there is one."""
    from policysearch.simulators.simulator import SimulatorEnv  # noqa: PLC0415 - imports Numba

    spec = env.spec
    while isinstance(env, gym.Wrapper):
        if not isinstance(env, _TRANSPARENT):
            return None
        env = env.env
    if isinstance(env, SimulatorEnv):
        return env.simulator
    if spec is None or spec.kwargs or spec.id not in (*CLASSIC_CONTROL, *MUJOCO):
        return None
    if spec.id not in _found:
        _found[spec.id] = _make_simulator(env, spec.id)
    return _found[spec.id]


def _make_simulator(env: Any, env_id: str) -> "Simulator":
    if env_id in MUJOCO:
        from policysearch.simulators import mujoco_robots  # noqa: PLC0415 - needs the extra mujoco

        return mujoco_robots.make_simulator(env)
    module, _, name = CLASSIC_CONTROL[env_id].partition(":")
    return cast("Simulator", getattr(importlib.import_module(f"{__name__}.{module}"), name).simulator)
