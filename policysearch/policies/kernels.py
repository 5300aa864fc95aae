"""The policies' compiled forms: one row at a time, inside a rollout.

`policysearch.core.PolicyKernel` says what an `act` is. The capitals are free names that `specialise` fills
in. The order of every sum is written down, without reassociation, so that every evaluator that uses a kernel
gets the same bits.
"""

# mypy: disable-error-code="name-defined, no-untyped-def, no-untyped-call, call-arg, var-annotated"

import math
from functools import lru_cache
from typing import Any

from numba import njit

from policysearch.core import PolicyKernel
from policysearch.elementary import exp, tanh_all
from policysearch.jit import merged, specialise
from policysearch.policies.products import affine


def linear(params, obs, scratch, out):
    """W s + b."""
    for i in range(ROWS):
        total = params[ROWS * COLUMNS + i] if BIAS else 0.0
        for j in range(COLUMNS):
            total += params[i * COLUMNS + j] * obs[j]
        out[i] = total


def mlp(params, obs, scratch, out):
    """h_l = tanh(W_l h_{l−1} + b_l), without tanh in the last layer; h_l lies in `scratch` from OFFSETS[l] on."""
    for i in range(SIZES[0]):
        scratch[OFFSETS[0] + i] = obs[i]
    weights, last = 0, len(SIZES) - 1
    for layer in range(1, len(SIZES)):
        rows, columns, z = SIZES[layer], SIZES[layer - 1], OFFSETS[layer]
        affine(params, scratch, (weights, OFFSETS[layer - 1], z, rows, columns))
        if layer < last:
            tanh_all(scratch, z, z + rows)
        weights += rows * (columns + 1)
    for i in range(SIZES[last]):
        out[i] = scratch[OFFSETS[last] + i]


def deterministic(params, obs, state, noise, scratch, action):
    """The map itself."""
    forward(params, obs, scratch, action)


@lru_cache
def map_kernel(policy: Any) -> PolicyKernel:
    """The kernel of a `Linear` or `MLP`."""
    forward, scratch = policy.forward_kernel()
    return policy_kernel(
        deterministic,
        scratch_size=scratch,
        revision=policy.kernel_revision,
        in_lanes=policy.in_lanes,
        forward=forward,
    )


def gaussian(params, obs, state, noise, scratch, action):
    """μ + σ·noise; the mean, where there is no noise."""
    forward(params, obs, scratch, action)
    if noise.size:
        for i in range(ACTIONS):
            action[i] += exp(params[LOG_STD + i]) * noise[i]


def softmax(params, obs, state, noise, scratch, action):
    """One discrete action; the logits are the first numbers of `scratch`."""
    forward(params, obs, scratch, scratch)
    if noise.size:
        action[0] = draw(scratch, 0, LOGITS, TEMPERATURE, noise[0])
    else:
        action[0] = largest(scratch, 0, LOGITS)


def softmaxes(params, obs, state, noise, scratch, action):
    """Several discrete actions, each with its own block of logits."""
    forward(params, obs, scratch, scratch)
    start = 0
    for k in range(len(CHOICES)):
        stop = start + CHOICES[k]
        if noise.size:
            action[k] = draw(scratch, start, stop, TEMPERATURE, noise[k])
        else:
            action[k] = largest(scratch, start, stop)
        start = stop


@njit(error_model="numpy")
def largest(y, start, stop):
    """The index within y[start:stop] of its largest entry, the first of equals; NaN if one is not finite."""
    best, top, finite = 0.0, -math.inf, True
    for i in range(stop - start):
        finite = finite and math.isfinite(y[start + i])
        if y[start + i] > top:
            best, top = float(i), y[start + i]
    return best if finite else math.nan


@njit(error_model="numpy")
def draw(y, start, stop, temperature, u):
    """The first index at which the cumulative sum of softmax(y[start:stop]/τ) exceeds u times its total."""
    best = largest(y, start, stop)
    if math.isnan(best):
        return best
    top, total = y[start + int(best)], 0.0
    for i in range(start, stop):
        total += exp((y[i] - top) / temperature)
    cumulative = 0.0
    for i in range(start, stop - 1):
        cumulative += exp((y[i] - top) / temperature)
        if u * total < cumulative:
            return float(i - start)
    return float(stop - 1 - start)


def act_on_rows(params, obs, state, noise, scratch, actions):
    """`act` for every row; `noise` has no columns where the mode is wanted. State is updated in place."""
    for row in range(len(obs)):
        act(params[row], obs[row], state[row], noise[row], scratch, actions[row])


#: Of the kernels that compute an exponential or hyperbolic tangent; 2: with those of `policysearch.elementary`.
REVISION = 2


def policy_kernel(
    head: Any,
    *,
    scratch_size: int,
    noise_size: int = 0,
    revision: int = REVISION,
    in_lanes: bool = False,
    **names: Any,
) -> PolicyKernel:
    """The kernel whose `act` is the template `head` with its free names bound."""
    if "forward" in names:
        names["forward"] = merged(names["forward"])  # a call of a function takes as long as ten units
    act = specialise(head, **names)
    rows = specialise(act_on_rows, act=act)
    return PolicyKernel(act, rows, scratch_size, noise_size, revision, in_lanes)
