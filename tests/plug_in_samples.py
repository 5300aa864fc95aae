"""What a user might have in a module of their own: methods, policies and tasks, some of which are wrong."""

from dataclasses import dataclass

import gymnasium as gym
import numpy as np
from problems import Walk

from policysearch.core import Domain, Proposal, Search
from policysearch.evaluators.interface import Interface
from policysearch.policies import MLP, Gaussian
from policysearch.policies.pid import PID
from policysearch.space import Parameter, Space
from policysearch.tasks import Task

gym.register("Sampled-v0", entry_point=Walk, max_episode_steps=5)


@dataclass(frozen=True)
class Guess:
    """A method without any care."""

    tunable = {"sigma": (0.1, 1.0)}  # noqa: RUF012
    sigma: float = 0.5

    def search(self, domain: Domain, rng: np.random.Generator) -> Search:
        while True:
            yield Proposal(
                domain.start + self.sigma * rng.standard_normal((5, domain.start.size)), domain.start
            )


@dataclass(frozen=True)
class Misspelt(Guess):
    tunable = {"sgima": (0.1, 1.0)}  # noqa: RUF012


@dataclass(frozen=True)
class Needy(Guess):
    needs = "scores"


def policy(interface: Interface) -> Gaussian:
    return Gaussian(MLP(interface.obs_size, interface.action_size, (2,)))


class ByClass:
    """A class that stands for its class method."""

    @classmethod
    def of(cls, interface: Interface) -> Gaussian:
        return policy(interface)


def no_policy(interface: Interface) -> int:
    return interface.obs_size


def failing(interface: Interface) -> Gaussian:
    raise RuntimeError("no such plant")


def unbounded_gain(interface: Interface) -> PID:
    """A controller of a gain without bounds, whose unit is the size of its start."""
    names = ("kp", "ki", "kd", "filter time")
    return PID.of(interface, Space(tuple(Parameter(name, 0.5) for name in names)), 0.01)


TASK = Task("a name of its own", "Sampled-v0", policy="plug_in_samples:policy", normalise=(-10.0, 0.0))
