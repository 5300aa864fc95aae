"""The first reset and the first step of an environment, so that what it does wrong is said before any rollout.

An environment that raises in its first step may still be run: its episodes may fail.
"""

from typing import Any

import numpy as np

from policysearch.evaluators.episode import first_observation, of_shape, real_number
from policysearch.evaluators.interface import Interface
from policysearch.evaluators.runner import describe_error

#: What is part of an error message, and what to do about it.
REMEDIES = {
    "expected 5, got 4": "step returns four values, as before Gym 0.26: return observation, reward, terminated, "
    "truncated, info",
    "unexpected keyword argument 'seed'": "without a seed no episode can be repeated: write "
    "reset(self, *, seed=None, options=None), and draw from self.np_random after super().reset(seed=seed)",
    "required positional argument": "give it in a study file, as env = {NAME = VALUE} in the section of the task",
    "unexpected keyword argument 'options'": "write reset(self, *, seed=None, options=None)",
}


def try_out(env: Any, interface: Interface) -> None:
    """Reset an environment and take one step.

    Raises:
        ValueError: if it cannot be reset, or does not keep to the interface of Gymnasium; with what to do.
    """
    observe = interface.observer()
    try:
        first_observation(env.reset(seed=0), interface, observe)
    except Exception as error:  # the user's code may raise anything
        raise ValueError(in_one_line("reset", error)) from error
    action, _ = interface.row_actor()(np.zeros(interface.action_size))
    try:
        seen, reward, *_ = env.step(action)
    except Exception as error:  # as above
        if _remedies(error):
            raise ValueError(in_one_line("step", error)) from error
        return
    try:
        of_shape(seen if observe is None else observe(seen), (interface.obs_size,))
        real_number(reward)
    except Exception as error:  # as above
        raise ValueError(in_one_line("step", error)) from error


def in_one_line(where: str, error: Exception) -> str:
    """The error with its place in the user's code, and what to do where that is known."""
    return "; ".join([describe_error(f"{where}: ", error).partition("\n")[0], *_remedies(error)])


def _remedies(error: Exception) -> list[str]:
    return [remedy for part, remedy in REMEDIES.items() if part in str(error)]
