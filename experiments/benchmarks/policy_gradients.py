"""What PPO and TRPO cost: ours, and those of Stable-Baselines3, at equal rollouts, networks and epochs.

    python experiments/benchmarks/policy_gradients.py --out results/benchmarks

Searches on Pendulum-v1, whose episodes all have 200 steps: batches of 10 episodes, a policy of 64 × 64 tanh units,
a value network of 32 × 32. PPO: 10 epochs of minibatches of about 64 steps, Adam with 3·10⁻⁴. TRPO: 10 conjugate
gradients, and for the value network 25 steps of L-BFGS (ours) or 10 epochs of Adam (theirs). What is counted is
the CPU time of the whole search with its rollouts, one thread each, after a first search of a single batch, which
compiles. The searches are run alternately.

It needs the packages stable-baselines3 and sb3-contrib, which are no extra of this package.
"""

import argparse
import itertools
import platform
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pandas as pd
import sb3_contrib
import stable_baselines3
import torch
from threadpoolctl import threadpool_limits

from policysearch.optimizers import PPO, TRPO
from policysearch.search import Budget, generations
from policysearch.tasks import find_task, make_problem

ENV, EPISODES, STEPS = "Pendulum-v1", 10, 200
POLICY, VALUE = (64, 64), (32, 32)


def ours(optimizer: Any, batches: int, seed: int) -> float:
    """CPU seconds of a search of the package."""
    task = replace(find_task(ENV), policy=f"mlp:{POLICY[0]},{POLICY[1]}")
    problem = make_problem(task, optimizer, whitened=False, seed=seed, run=0)
    budget = Budget(rollouts=EPISODES * batches)
    began = time.process_time()
    for _ in generations(problem.optimizer, problem.evaluator, problem.domain, budget=budget, seed=seed):
        pass
    return time.process_time() - began


def theirs(kind: Any, options: dict[str, Any], batches: int, seed: int) -> float:
    """CPU seconds of a search of Stable-Baselines3."""
    network = {"net_arch": {"pi": list(POLICY), "vf": list(VALUE)}, "activation_fn": torch.nn.Tanh}
    model = kind(
        "MlpPolicy",
        gym.make(ENV),
        n_steps=EPISODES * STEPS,
        gamma=0.99,
        policy_kwargs=network,
        seed=seed,
        device="cpu",
        **options,
    )
    began = time.process_time()
    model.learn(EPISODES * STEPS * batches)
    return time.process_time() - began


def searches() -> dict[str, tuple[str, Callable[[int, int], float]]]:
    """Every search: its method, and its CPU seconds for so many batches and a seed."""
    ppo = {"batch_size": 64, "n_epochs": 10, "learning_rate": 3e-4, "gae_lambda": 0.95, "ent_coef": 0.0}
    trpo = {"batch_size": 64, "cg_max_steps": 10, "n_critic_updates": 10, "gae_lambda": 0.97}
    return {
        "ppo, ours": ("ppo", lambda n, seed: ours(PPO(), n, seed)),
        "ppo, stable-baselines3": ("ppo", lambda n, seed: theirs(stable_baselines3.PPO, ppo, n, seed)),
        "trpo, ours": ("trpo", lambda n, seed: ours(TRPO(value="network"), n, seed)),
        "trpo, sb3-contrib": ("trpo", lambda n, seed: theirs(sb3_contrib.TRPO, trpo, n, seed)),
    }


def main() -> None:
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batches", type=int, default=10, help="of ten episodes, of a search")
    parser.add_argument("--out", type=Path, help="folder for policy_gradients.csv")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    times: dict[str, list[float]] = {name: [] for name in searches()}
    with threadpool_limits(1):
        for _, search in searches().values():
            search(1, 0)
        for repeat, (name, (_, search)) in itertools.product(range(arguments.repeats), searches().items()):
            times[name].append(search(arguments.batches, repeat))
    rollouts, rows = EPISODES * arguments.batches, []
    for name, (method, _) in searches().items():
        peer = next(key for key in times if key.startswith(method) and not key.endswith("ours"))
        ratios = np.array(times[peer]) / np.array(times[name])
        rows.append(
            {
                "search": name,
                "rollouts_per_cpu_second_median": round(rollouts / float(np.median(times[name])), 1),
                "rollouts_per_cpu_second_min": round(rollouts / max(times[name]), 1),
                "rollouts_per_cpu_second_max": round(rollouts / min(times[name]), 1),
                "times_peer_median": round(float(np.median(ratios)), 2),
            }
        )
    table = pd.DataFrame(rows)
    print(table.to_string(index=False))
    if arguments.out is not None:
        arguments.out.mkdir(parents=True, exist_ok=True)
        path = arguments.out / "policy_gradients.csv"
        header = (
            f"# python experiments/benchmarks/policy_gradients.py --out {arguments.out}; Python "
            f"{platform.python_version()}, numpy {np.__version__}, torch {torch.__version__}, stable-baselines3 "
            f"{stable_baselines3.__version__}, sb3-contrib {sb3_contrib.__version__}; "
            f"{platform.machine()}, 1 thread, {rollouts} rollouts, {arguments.repeats} repeats\n"
        )
        path.write_text(header + table.to_csv(index=False), encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()
