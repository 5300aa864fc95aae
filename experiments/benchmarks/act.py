"""What one action of a saved or tuned policy costs, one observation at a time.

    python experiments/benchmarks/act.py --out results/benchmarks     writes act.csv
    python experiments/benchmarks/act.py --table results/benchmarks   the table of it

"load" is what `policysearch.load(…).act(obs)` costs, "act" `policy.act` on arrays with one row, "compiled" the kernel
that the rollouts use, called from Python, and "NumPy" the policy written out by hand. Each of 20,000 calls is timed:
the table has their median and the 99 % quantile, less the time of a call of nothing.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from policysearch.core import Array, Policy
from policysearch.deploy.controllers import described
from policysearch.deploy.policy import SavedPolicy
from policysearch.policies import MLP, Linear
from policysearch.policy import kernel_of
from policysearch.seeding import stream
from policysearch.tasks import find_task

CALLS = 20_000
POLICIES: dict[str, tuple[Policy, int]] = {
    "linear, 4 observations": (Linear(4, 1), 4),
    "network of 2 × 32, 11 observations": (MLP(11, 3, (32, 32)), 11),
    "network of 2 × 64, 11 observations": (MLP(11, 3, (64, 64)), 11),
    "PID of `motor-pid`": (find_task("motor-pid").make_policy(), 2),
}


def ways(policy: Policy, params: Array, obs: Array) -> Iterator[tuple[str, Callable[[], object]]]:
    """Every way of getting an action, by name."""
    state, saved = np.zeros((1, policy.state_size)), loaded(policy, params, obs)
    yield "load", lambda: saved.act(obs)
    yield "act", lambda: policy.act(params[None], obs[None], state)
    if kernel := kernel_of(policy):
        scratch, action, silence = np.empty(kernel.scratch_size), np.empty(8), np.empty(0)
        action = action[: policy.act(params[None], obs[None], state)[0].shape[1]]
        yield "compiled", lambda: kernel.act(params, obs, state[0], silence, scratch, action)
    if isinstance(policy, Linear):
        W, b = params[: obs.size][None], params[obs.size :]
        yield "NumPy", lambda: W @ obs + b


def loaded(policy: Policy, params: Array, obs: Array) -> SavedPolicy:
    """The policy as `policysearch.load` gives it, for actions within ±1."""
    if isinstance(policy, Linear):
        form: dict[str, object] = {"sizes": [policy.obs_size, policy.action_size], "bias": policy.bias}
    elif isinstance(policy, MLP):
        form = {"sizes": [policy.obs_size, *policy.hidden, policy.action_size], "bias": True}
    else:
        form = described(policy) or {}
    size = policy.act(params[None], obs[None], np.zeros((1, policy.state_size)))[0].shape[1]
    action = {
        "kind": "numbers",
        "low": [-1.0] * size,
        "high": [1.0] * size,
        "shape": [size],
        "dtype": "float32",
    }
    return SavedPolicy(form | {"obs_size": obs.size, "action": action}, params, {})


def quantiles(act: Callable[[], object]) -> tuple[float, float]:
    """Median and 99 % quantile of the microseconds of a call."""
    spent = np.empty(CALLS)
    for i in range(CALLS):
        began = time.perf_counter_ns()
        act()
        spent[i] = time.perf_counter_ns() - began
    return float(np.median(spent)) / 1000.0, float(np.quantile(spent, 0.99)) / 1000.0


def measured() -> pd.DataFrame:
    """A row per policy and way."""
    rows = []
    nothing = quantiles(lambda: None)[0]
    for name, (policy, size) in POLICIES.items():
        params, obs = policy.start(stream(0, "act")), stream(0, "observation").standard_normal(size)
        for way, act in ways(policy, params, obs):
            act()  # compiles
            median, most = (round(x - nothing, 2) for x in quantiles(act))
            rows.append((name, policy.num_params, way, median, most))
    return pd.DataFrame(rows, columns=["policy", "parameters", "way", "median_us", "us_99"])


def table(folder: Path) -> str:
    """Median and 99 % quantile (in brackets) of the microseconds per action, a row per policy."""
    rows = pd.read_csv(folder / "act.csv")
    columns = list(dict.fromkeys(rows["way"]))
    lines = [
        "| policy | parameters | " + " | ".join(columns) + " |",
        "| --- |" + " ---: |" * (1 + len(columns)),
    ]
    for (policy, parameters), of_policy in rows.groupby(["policy", "parameters"], sort=False):
        costs = of_policy.set_index("way")
        cells = [
            f"{costs.loc[way, 'median_us']:.3g} ({costs.loc[way, 'us_99']:.3g}) µs"
            if way in costs.index
            else ""
            for way in columns
        ]
        lines.append(f"| {policy} | {parameters:,} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measure, or print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="measure, and write act.csv there")
    parser.add_argument("--table", type=Path, metavar="DIR", help="print the table of act.csv there")
    arguments = parser.parse_args()
    if arguments.out is not None:
        arguments.out.mkdir(parents=True, exist_ok=True)
        with threadpool_limits(1):
            rows = measured()
        rows.to_csv(arguments.out / "act.csv", index=False, lineterminator="\n")
    if arguments.table is not None:
        print(table(arguments.table))


if __name__ == "__main__":
    main()
