"""Environments of other packages as their users register them, importable as `their_environments:ID`."""

from typing import Any

import gymnasium as gym
import gymnasium_robotics
import highway_env
import minigrid
import numpy as np
import pybullet
import pybullet_data
import shimmy
from gymnasium import spaces, wrappers
from pettingzoo.classic import rps_v2

for _package in (gymnasium_robotics, highway_env, minigrid, shimmy):
    gym.register_envs(_package)


def grid() -> Any:
    """MiniGrid without the text of its mission, as the message advises."""
    return wrappers.FilterObservation(gym.make("MiniGrid-Empty-5x5-v0"), ["direction", "image"])


class Cart(gym.Env[Any, Any]):
    """Bullet's cart with a pole, in a physics server of its own that is closed with it."""

    observation_space = spaces.Box(-np.inf, np.inf, (4,))
    action_space = spaces.Box(-10.0, 10.0, (1,))

    def __init__(self) -> None:
        self.client = pybullet.connect(pybullet.DIRECT)
        pybullet.setAdditionalSearchPath(pybullet_data.getDataPath(), physicsClientId=self.client)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        pybullet.resetSimulation(physicsClientId=self.client)
        pybullet.setGravity(0.0, 0.0, -9.8, physicsClientId=self.client)
        self.cart = pybullet.loadURDF("cartpole.urdf", physicsClientId=self.client)
        for joint in (0, 1):
            angle = float(self.np_random.uniform(-0.05, 0.05))
            pybullet.resetJointState(self.cart, joint, angle, physicsClientId=self.client)
            pybullet.setJointMotorControl2(
                self.cart, joint, pybullet.VELOCITY_CONTROL, force=0.0, physicsClientId=self.client
            )
        return self._seen(), {}

    def _seen(self) -> Any:
        states = [pybullet.getJointState(self.cart, joint, physicsClientId=self.client) for joint in (0, 1)]
        return np.array([number for state in states for number in state[:2]], dtype=np.float32)

    def step(self, action: Any) -> Any:
        pybullet.setJointMotorControl2(
            self.cart, 0, pybullet.TORQUE_CONTROL, force=float(action[0]), physicsClientId=self.client
        )
        pybullet.stepSimulation(physicsClientId=self.client)
        seen = self._seen()
        return seen, 1.0 - abs(float(seen[2])), bool(abs(seen[2]) > 0.4), False, {}

    def close(self) -> None:
        pybullet.disconnect(self.client)


class Together(gym.Env[Any, Any]):
    """All agents of PettingZoo's parallel interface as one: their observations and actions in a row, the first one's reward."""

    def __init__(self) -> None:
        self.env = rps_v2.parallel_env(max_cycles=10)
        agents = self.env.possible_agents
        self.observation_space = spaces.Tuple([self.env.observation_space(agent) for agent in agents])
        self.action_space = spaces.MultiDiscrete([int(self.env.action_space(agent).n) for agent in agents])

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        seen, _ = self.env.reset(seed=seed)
        return tuple(seen[agent] for agent in self.env.possible_agents), {}

    def step(self, action: Any) -> Any:
        agents = self.env.possible_agents
        seen, rewards, ended, cut, _ = self.env.step(dict(zip(agents, action.tolist(), strict=True)))
        observations = tuple(seen[agent] for agent in agents)
        return observations, rewards[agents[0]], all(ended.values()), all(cut.values()), {}

    def close(self) -> None:
        self.env.close()


for _id, _make in {"Grid-v0": grid, "Cart-v0": Cart, "Together-v0": Together}.items():
    gym.register(_id, entry_point=_make)
