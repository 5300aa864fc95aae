"""Turns of gymnax's rollouts on JAX, for `lanes.py`: it needs no other package than these two.

    python gymnax_rollouts.py TASK POLICY N STEPS THREADS

For every line on standard input, a number of seconds, it runs all candidates again and again for so long, and prints
control steps per second. Candidates are random networks or linear maps around zero. Environments do not reset
themselves. Every step counts, also those after an end, which JAX computes all the same.
"""

import json
import os
import sys
import time
from typing import Any

TASK, POLICY = sys.argv[1:3]
N, STEPS, THREADS = map(int, sys.argv[3:6])
if THREADS == 1:  # before JAX counts the processors
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

import gymnax  # type: ignore[import-not-found] # noqa: E402 - optional
import jax  # noqa: E402
from jax import numpy as jnp  # noqa: E402

env, env_params = gymnax.make(TASK)
discrete = hasattr(env.action_space(env_params), "n")
outputs = env.num_actions
hidden = tuple(map(int, POLICY.partition(":")[2].split(","))) if POLICY.startswith("mlp") else ()


def init(key: Any) -> Any:
    """Weights and biases of one candidate."""
    obs, _ = env.reset(key, env_params)
    sizes = (obs.size, *hidden, outputs)
    keys = jax.random.split(key, len(sizes))
    return [
        (0.1 * jax.random.normal(k, (after, before)), jnp.zeros(after))
        for k, before, after in zip(keys, sizes[:-1], sizes[1:], strict=False)
    ]


def act(weights: Any, obs: Any) -> Any:
    """The mode of the policy."""
    h = obs
    for W, b in weights[:-1]:
        h = jnp.tanh(W @ h + b)
    W, b = weights[-1]
    return jnp.argmax(W @ h + b) if discrete else W @ h + b


def episode(weights: Any, key: Any) -> Any:
    """The return of one candidate."""
    obs, state = env.reset(key, env_params)

    def step(carry: Any, _: Any) -> Any:
        obs, state, alive = carry
        obs, state, reward, done, _ = env.step_env(key, state, act(weights, obs), env_params)
        return (obs, state, alive * (1.0 - done)), alive * reward

    return jax.lax.scan(step, (obs, state, 1.0), None, length=STEPS)[1].sum()


run = jax.jit(jax.vmap(episode, in_axes=(0, None)))
candidates, key = jax.vmap(init)(jax.random.split(jax.random.PRNGKey(0), N)), jax.random.PRNGKey(1)
run(candidates, key).block_until_ready()
for line in sys.stdin:
    began, steps = time.perf_counter(), 0
    while (seconds := time.perf_counter() - began) < float(line):
        run(candidates, key).block_until_ready()
        steps += N * STEPS
    print(json.dumps(steps / seconds), flush=True)
