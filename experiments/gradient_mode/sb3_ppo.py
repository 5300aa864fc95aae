"""Our PPO and the PPO of Stable-Baselines3: the same environments, policy network, steps and hyperparameters.

    pip install stable-baselines3 torch==2.13.0
    python experiments/gradient_mode/sb3_ppo.py --out results/gradient_mode

Both have a tanh network of 64 × 64 for the policy and 32 × 32 for the value, Adam with 3e-4, minibatches of
64, 10 epochs, clip 0.2, γ = 0.99, λ = 0.95 and gradients cut to 0.5. What remains different:
Stable-Baselines3 updates every 2,048 steps, wherever an episode stands, and ours after whole episodes (10,
or `--episodes`); it initialises orthogonally and starts with a standard deviation of 1, ours with N(0,
1/fan-in) and 0.5; its value function sees the observation and continues beyond a time limit; ours sees the
time too and ends there. The result is the mean return of the policy's mode on 50 fresh episodes, the same
for both.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

import policysearch
from policysearch.core import Proposal
from policysearch.optimizers import PPO
from policysearch.search import Budget, generations
from policysearch.tasks import find_task, make_problem

FRESH = 50  # episodes of the report


def ours(env_id: str, steps: int, seed: int, episodes: int) -> tuple[float, int]:
    """The return after so many steps, and the episodes that they were."""
    task = replace(find_task(env_id), policy="mlp:64,64")
    problem = make_problem(task, PPO(episodes=episodes), whitened=False, seed=0, run=seed)
    last = None
    for generation in generations(
        problem.optimizer,
        problem.evaluator,
        problem.domain,
        budget=Budget(steps=steps),
        seed=seed,
        problem=(env_id,),
    ):
        last = generation
    assert last is not None  # noqa: S101 - the budget allows one generation
    final = Proposal(last.recommendation[None], last.recommendation, FRESH)
    return float(problem.evaluator.evaluate(final, (seed, "report")).returns.mean()), last.rollouts


def theirs(env_id: str, steps: int, seed: int) -> tuple[float, int]:
    """The same with Stable-Baselines3."""
    import torch  # noqa: PLC0415 - not a dependency of the project
    from stable_baselines3 import PPO as TheirPPO  # noqa: PLC0415, N811
    from stable_baselines3.common.monitor import Monitor  # noqa: PLC0415

    torch.set_num_threads(1)
    env = Monitor(gym.make(env_id))
    network: dict[str, Any] = {"net_arch": {"pi": [64, 64], "vf": [32, 32]}, "activation_fn": torch.nn.Tanh}
    model = TheirPPO("MlpPolicy", env, seed=seed, policy_kwargs=network, device="cpu")
    model.learn(steps)
    returns, fresh = [], gym.make(env_id)
    for episode in range(FRESH):
        obs, total, ended = fresh.reset(seed=1_000_000 + 1000 * seed + episode)[0], 0.0, False
        while not ended:
            action, _ = model.predict(obs, deterministic=True)
            obs, reward, terminated, truncated, _ = fresh.step(action)
            total, ended = total + float(reward), terminated or truncated
        returns.append(total)
    return float(np.mean(returns)), len(env.get_episode_rewards())


def main() -> None:
    """Run both, and write sb3_ppo.csv and sb3_ppo.md."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("results/gradient_mode"))
    parser.add_argument("--steps", type=int, default=50_000, help="environment steps per run")
    parser.add_argument("--seeds", type=int, default=5, help="runs of each")
    parser.add_argument("--episodes", type=int, default=10, help="per batch of ours")
    arguments = parser.parse_args()
    import stable_baselines3  # noqa: PLC0415 - not a dependency of the project
    import torch  # noqa: PLC0415

    rows = []
    for env_id in ("CartPole-v1", "Pendulum-v1"):
        for seed in range(arguments.seeds):
            for name in ("policysearch", "stable-baselines3"):
                began = time.perf_counter()
                with threadpool_limits(1):
                    if name == "policysearch":
                        value, episodes = ours(env_id, arguments.steps, seed, arguments.episodes)
                    else:
                        value, episodes = theirs(env_id, arguments.steps, seed)
                row = {"task": env_id, "ppo": name, "seed": seed, "return": value, "episodes": episodes}
                rows.append(row | {"seconds": round(time.perf_counter() - began, 1)})
                print(rows[-1], flush=True)
    table = pd.DataFrame(rows)
    arguments.out.mkdir(parents=True, exist_ok=True)
    table.to_csv(arguments.out / "sb3_ppo.csv", index=False, float_format="%.6g")
    flags = f"--steps {arguments.steps} --seeds {arguments.seeds} --episodes {arguments.episodes}"
    versions = (
        f"policysearch {policysearch.__version__}, stable-baselines3 {stable_baselines3.__version__}, "
        f"torch {torch.__version__}, numpy {np.__version__}"
    )
    lines = [
        f"# PPO after {arguments.steps:,} steps, ours and Stable-Baselines3's",
        "",
        f"Written by `python experiments/gradient_mode/sb3_ppo.py {flags}` ({versions}); the script says",
        "what differs.",
        "",
        "| task | PPO | returns of all runs | mean ± standard error | episodes | seconds |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for task, name in table[["task", "ppo"]].drop_duplicates().itertuples(index=False):
        part = table[(table["task"] == task) & (table["ppo"] == name)]
        error = part["return"].std() / np.sqrt(len(part))
        each = ", ".join(f"{value:.0f}" for value in sorted(part["return"]))
        lines.append(
            f"| {task} | {name} | {each} | {part['return'].mean():.0f} ± {error:.0f} | {part['episodes'].mean():.0f} "
            f"| {part['seconds'].mean():.0f} |"
        )
    (arguments.out / "sb3_ppo.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines[3:]))


if __name__ == "__main__":
    main()
