"""What a policy does in running episodes: its actions, for one row or for many."""

from collections.abc import Callable
from typing import cast

import numpy as np

from policysearch.core import Array, Policy, PolicyKernel, StochasticPolicy

NOISE_BLOCK = 64  # steps of action noise drawn at a time; the numbers do not depend on it


def row_actor(
    policy: Policy, action_size: int, *, sampling: bool
) -> Callable[[Array, Array, Array, Array], Array]:
    """As `actor`, for a single row."""
    kernel: PolicyKernel | None = getattr(policy, "kernel", None)
    if kernel is not None:
        scratch, action, act_kernel = np.empty(kernel.scratch_size), np.empty(action_size), kernel.act

        def act_compiled(params: Array, obs: Array, state: Array, noise: Array) -> Array:
            act_kernel(params, obs, state, noise, scratch, action)
            return action

        return act_compiled
    batch = actor(policy, action_size, sampling=sampling)
    return lambda params, obs, state, noise: batch(params[None], obs[None], state[None], noise[None])[0]


def actor(
    policy: Policy, action_size: int, *, sampling: bool
) -> Callable[[Array, Array, Array, Array], Array]:
    """(params, obs, state, noise) → actions, the state updated in place, by the kernel if there is one."""
    kernel = getattr(policy, "kernel", None)
    if kernel is not None:
        scratch = np.empty(kernel.scratch_size)

        def act_compiled(params: Array, obs: Array, state: Array, noise: Array) -> Array:
            actions = np.empty((len(obs), action_size))
            kernel.act_on_rows(params, obs, state, noise, scratch, actions)
            return actions

        return act_compiled

    def act(params: Array, obs: Array, state: Array, noise: Array) -> Array:
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows fails as not finite
            if sampling:
                actions, after = cast(StochasticPolicy, policy).sample(params, obs, state, noise)
            else:
                actions, after = policy.act(params, obs, state)
        state[:] = after
        return actions

    return act
