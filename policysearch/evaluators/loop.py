"""The closed loop of policy and simulator, as a template for `specialise`.

Threads run it side by side, each in a world of its own, and take episodes from one counter until none is
left. It holds neither the interpreter lock nor any Python object. Free names: `reset`, `observe`, `step` of
the simulator; `act` of the policy; `to_environment`, one of the two functions for actions below; the sizes
OBS, ACTIONS, STATE and SCRATCH; FIRST_CHOICE, the numbers of the first alternatives; WHOLE, whether
continuous actions are whole numbers; SINGLE_OBS and SINGLE_ACTION, whether they are in single precision.
"""

# mypy: disable-error-code="name-defined, no-untyped-def, no-untyped-call, call-arg, var-annotated"

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from policysearch.core import Array
from policysearch.jit import fetch_add

# How an episode ended; −1, −2, … are the simulator's own failures.
RUNNING, TERMINATED, TRUNCATED, BAD_ACTION, BAD_OBSERVATION, BAD_REWARD, BAD_RETURN, RAISED = range(8)


class Batch(NamedTuple):
    """What to run: E episodes, of candidate[e] under draws[draw_of[e]]."""

    params: Array  # (n, d)
    candidate: Array  # (E,)
    draws: Array  # (S, …) of the simulator
    draw_of: Array  # (E,)
    action_noise: Array  # (E, limit, z), or no episodes: the mode
    low: Array  # (a,) bounds of continuous actions
    high: Array  # (a,)
    limit: int  # steps per episode


class Results(NamedTuple):
    """What came of each episode. The logs and moments have no episodes when they are not wanted."""

    returns: Array  # (E,); of a failed episode the number that failed it
    steps: Array  # (E,)
    clipped: Array  # (E,) steps whose action lay outside the bounds
    end: Array  # (E,)
    obs: Array  # (E, limit + 1, o)
    actions: Array  # (E, limit, a) as drawn
    rewards: Array  # (E, limit)
    mean: Array  # (E, o) of the observations acted on
    M2: Array  # (E, o)


def run_episodes(world, counter, current, batch, results):
    """Run episodes until the counter has passed the last one; `current[0]` is the one that is running."""
    state, scratch, silence = np.zeros(STATE), np.empty(SCRATCH), np.empty(0)
    obs, action, env_action = np.empty(OBS), np.empty(ACTIONS), np.empty(ACTIONS)
    recording, counting, sampling = len(results.obs) > 0, len(results.mean) > 0, len(batch.action_noise) > 0
    while True:
        e = fetch_add(counter)
        if e >= len(batch.candidate):
            return
        current[0] = e
        params = batch.params[batch.candidate[e]]
        reset(world, batch.draws[batch.draw_of[e]])
        state[:] = 0.0
        total, reward, t, clipped, end = 0.0, 0.0, 0, 0, RUNNING
        look(world, obs)
        while end == RUNNING:
            if sampling:
                act(params, obs, state, batch.action_noise[e, t], scratch, action)
            else:
                act(params, obs, state, silence, scratch, action)
            if not all_finite(action):
                end = BAD_ACTION if all_finite(obs) else BAD_OBSERVATION
                break
            if counting:
                count_in(obs, t + 1, results.mean[e], results.M2[e])
            if recording:
                write_both(obs, action, results, e, t)
            results.steps[e] = t + 1
            clipped += to_environment(action, batch.low, batch.high, env_action)
            reward, status = step(world, env_action)
            if recording:
                results.rewards[e, t] = reward
            total += reward
            t += 1
            if status < 0:
                end = int(status)
            elif not math.isfinite(reward):
                end = BAD_REWARD
            elif status:
                end = TERMINATED
            elif t == batch.limit:
                end = TRUNCATED
            if end == RUNNING or recording:
                look(world, obs)
        if recording:
            write(obs, results.obs, e, t)
        if end in (TERMINATED, TRUNCATED) and not math.isfinite(total):
            end = BAD_RETURN
        results.returns[e] = reward if end == BAD_REWARD else total  # also what a failure is about
        results.steps[e], results.clipped[e], results.end[e] = t, clipped, end


def look(world, obs):
    """The observation in the precision of its space."""
    observe(world, obs)
    if SINGLE_OBS:
        for i in range(OBS):
            obs[i] = np.float32(obs[i])


@njit(error_model="numpy")
def write(numbers, log, e, t):
    """Write the numbers of step t of episode e; a loop, since `log[e, t] = numbers` takes seconds to compile."""
    for i in range(numbers.size):
        log[e, t, i] = numbers[i]


@njit(error_model="numpy")
def write_both(obs, action, results, e, t):
    """Write observation and action of step t of episode e."""
    write(obs, results.obs, e, t)
    write(action, results.actions, e, t)


@njit(error_model="numpy")
def all_finite(numbers):
    """Whether every number is finite."""
    finite = True
    for i in range(numbers.size):
        finite = finite and math.isfinite(numbers[i])
    return finite


def discrete_action(action, low, high, out):
    """The alternatives counted from the space's first."""
    for i in range(ACTIONS):
        out[i] = action[i] + FIRST_CHOICE[i]
    return 0


def continuous_action(action, low, high, out):
    """The action within the bounds and in the precision of its space; 1 if it had to be clipped."""
    clipped = 0
    for i in range(ACTIONS):
        out[i] = min(max(action[i], low[i]), high[i])
        if out[i] != action[i]:
            clipped = 1
        if WHOLE:
            out[i] = np.rint(out[i])
        elif SINGLE_ACTION:
            out[i] = np.float32(out[i])
    return clipped


@njit(error_model="numpy")
def count_in(obs, count, mean, M2):
    """One more observation in the running mean and sum of squared deviations (Welford 1962)."""
    for i in range(obs.size):
        delta = obs[i] - mean[i]
        mean[i] += delta / count
        M2[i] += delta * (obs[i] - mean[i])
