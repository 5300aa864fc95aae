"""What scores cost: our backward pass, and PyTorch's automatic differentiation of the pseudo-loss.

    python experiments/benchmarks/scores.py --out results/benchmarks

Σ_t w_t ∇ log π(a_t | s_t; θ) of 64 rollouts with 1,000 steps each, by a network of 64 × 64 tanh units on 11
observations, with a Gaussian head for 3 actions and with a softmax head for 3 alternatives. "batch": all steps
in one call; "per rollout": a call for each rollout, the results summed. The tensors of PyTorch are made outside
the clock. One thread each, timed alternately, after a check that the scores agree.
"""

import argparse
import itertools
import platform
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from threadpoolctl import threadpool_limits
from torch import nn
from torch.nn.utils import vector_to_parameters

from policysearch.core import Array, StochasticPolicy
from policysearch.policies import MLP, Gaussian, Softmax
from policysearch.seeding import stream

ROLLOUTS, STEPS = 64, 1000
POLICIES: dict[str, StochasticPolicy] = {
    "gaussian": Gaussian(MLP(11, 3, (64, 64))),
    "softmax": Softmax(MLP(11, 3, (64, 64)), (3,)),
}


Score = Callable[..., Array]  # of observations, actions and weights


def by_torch(policy: StochasticPolicy, params: Array, dtype: torch.dtype) -> Score:
    """The pseudo-loss's gradient as its user would write it: a module, a distribution, autograd."""
    module = nn.Sequential(
        nn.Linear(11, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 3)
    ).double()
    size = policy.mode.num_params
    vector_to_parameters(torch.tensor(params[:size]), module.parameters())
    module.to(dtype)
    log_std = torch.tensor(params[size:], dtype=dtype, requires_grad=True)
    leaves = [*module.parameters(), *([log_std] if size < len(params) else [])]

    def score(obs: torch.Tensor, actions: torch.Tensor, weights: torch.Tensor) -> Array:
        outputs = module(obs)
        if size < len(params):
            log_prob = torch.distributions.Normal(outputs, log_std.exp()).log_prob(actions).sum(dim=1)
        else:
            log_prob = torch.distributions.Categorical(logits=outputs).log_prob(actions[:, 0])
        parts = torch.autograd.grad((weights * log_prob).sum(), leaves)
        return np.asarray(torch.cat([part.ravel() for part in parts]).numpy())

    return score


def summed(score: Score, rollouts: list[tuple[Any, ...]]) -> Array:
    """The sum of the scores of all rollouts."""
    return np.sum([score(*rollout) for rollout in rollouts], axis=0)


def contenders(policy: StochasticPolicy) -> dict[str, Callable[[], Array]]:
    """Every way to compute the same score."""
    rng = stream(1, "scores")
    params = 0.3 * rng.standard_normal(policy.num_params)
    obs, weights = rng.standard_normal((ROLLOUTS * STEPS, 11)), rng.standard_normal(ROLLOUTS * STEPS)
    noise, state = policy.noise(rng, len(obs)), np.zeros((len(obs), 0))
    actions, _ = policy.sample(np.broadcast_to(params, (len(obs), params.size)), obs, state, noise)
    record: tuple[Any, ...] = (obs, actions, weights)
    rollouts = list(zip(*(np.split(part, ROLLOUTS) for part in record), strict=True))
    score: Score = partial(policy.score, params)
    ways: dict[str, Callable[[], Array]] = {
        "ours, batch": partial(score, *record),
        "ours, per rollout": partial(summed, score, rollouts),
    }
    for dtype in (torch.float64, torch.float32):
        score, name = by_torch(policy, params, dtype), str(dtype).removeprefix("torch.")
        record = tuple(torch.tensor(part, dtype=dtype) for part in (obs, actions, weights))
        rollouts = list(zip(*(part.split(STEPS) for part in record), strict=True))
        ways[f"torch {name}, batch"] = partial(score, *record)
        ways[f"torch {name}, per rollout"] = partial(summed, score, rollouts)
    return ways


def processor() -> str:
    """The processor's name."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def measured(policy: StochasticPolicy, repeats: int) -> dict[str, list[float]]:
    """Milliseconds of every repeat of every way.

    Raises:
        RuntimeError: if two ways disagree.
    """
    ways = contenders(policy)
    expected = ways["torch float64, batch"]()
    for name, way in ways.items():
        error = np.abs(way() - expected).max() / np.abs(expected).max()
        if error > (1e-3 if "float32" in name else 1e-10):
            raise RuntimeError(f"{name}: expected the same score, got a relative error of {error:.2g}")
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _, (name, way) in itertools.product(range(repeats), ways.items()):
        began = time.perf_counter()
        way()
        times[name].append(1e3 * (time.perf_counter() - began))
    return times


def main() -> None:
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=25)
    parser.add_argument("--out", type=Path, help="folder for scores.csv")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for head, policy in POLICIES.items():
        with threadpool_limits(1):
            times = measured(policy, arguments.repeats)
        medians = {name: float(np.median(values)) for name, values in times.items()}
        bar = min(median for name, median in medians.items() if name.startswith("torch float64"))
        rows += [
            {
                "head": head,
                "method": name,
                "ms_median": round(medians[name], 1),
                "ms_min": round(min(values), 1),
                "ms_max": round(max(values), 1),
                "times_best_torch_float64": round(medians[name] / bar, 2),
            }
            for name, values in times.items()
        ]
    table = pd.DataFrame(rows)
    print(table.to_string(index=False))
    if arguments.out is not None:
        arguments.out.mkdir(parents=True, exist_ok=True)
        path = arguments.out / "scores.csv"
        header = (
            f"# python experiments/benchmarks/scores.py --out {arguments.out}; "
            f"Python {platform.python_version()}, numpy {np.__version__}, torch {torch.__version__}; "
            f"{processor()}, 1 thread, median of {arguments.repeats}\n"
        )
        path.write_text(header + table.to_csv(index=False), encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()
