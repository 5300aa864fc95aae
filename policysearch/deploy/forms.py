"""The form in which a file describes a policy, so that nothing of its environment is needed to act.

observation   {"first": 0}, if an observation is an index, counted from there: one number of n is 1
sizes         of a map: numbers observed, units of each hidden layer, outputs
bias          whether a linear map has an offset
choices       the alternatives of each discrete action, whose logits the outputs are
draws         {"temperature": τ} or {"log_std": true}, if the policy was deployed by drawing its actions
controller    in place of sizes and bias: its class, and its fields
action        how the environment takes it: "kind" (index, indices, numbers), "first", "low", "high", "shape", "dtype"
"""

from typing import Any

import numpy as np
from gymnasium import spaces

from policysearch.core import Policy
from policysearch.deploy.controllers import described
from policysearch.evaluators.interface import Interface
from policysearch.policies import MLP, Gaussian, Linear, Softmax


def form_of(policy: Policy, interface: Interface, deploy: str) -> dict[str, Any] | None:
    """The form of a policy, deployed by its "mode" or by a "sample"; None for a policy of another package."""
    shape = _shape(policy, draws=deploy == "sample")
    if shape is None:
        return None
    space = interface.observation_space
    index = {"observation": {"first": int(space.start)}} if isinstance(space, spaces.Discrete) else {}
    return {**index, **shape, "obs_size": interface.obs_size, "action": _action(interface.action_space)}


def _shape(policy: Policy, *, draws: bool) -> dict[str, Any] | None:
    match policy:
        case Linear():
            return {"sizes": [policy.obs_size, policy.action_size], "bias": policy.bias}
        case MLP():
            return {"sizes": [policy.obs_size, *policy.hidden, policy.action_size], "bias": True}
        case Gaussian():
            return {
                **(_shape(policy.mean, draws=False) or {}),
                **({"draws": {"log_std": True}} if draws else {}),
            }
        case Softmax():
            noise = {"draws": {"temperature": policy.temperature}} if draws else {}
            body = _shape(policy.logits, draws=False) or {}
            return {**body, "choices": list(policy.choices), **noise}
        case _:
            return described(policy)


def _action(space: spaces.Space[Any]) -> dict[str, Any]:
    """How an environment takes actions; see `policysearch.evaluators.interface.Interface.row_actor`."""
    if isinstance(space, spaces.Discrete):
        return {"kind": "index", "first": [int(space.start)]}
    shape = list(space.shape or ())
    dtype = str(np.dtype(space.dtype))
    if isinstance(space, spaces.Box):
        bounds = {"low": space.low.ravel().tolist(), "high": space.high.ravel().tolist()}
        return {"kind": "numbers", **bounds, "shape": shape, "dtype": dtype}
    start = space.start if isinstance(space, spaces.MultiDiscrete) else np.zeros(space.shape or (), dtype=int)
    return {"kind": "indices", "first": start.ravel().tolist(), "shape": shape, "dtype": dtype}
