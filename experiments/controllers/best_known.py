"""The `references` of the tasks that tune a controller, and how they were computed.

python experiments/controllers/best_known.py [TASK ...] [--rollouts 20000] [--seed 0]
python experiments/controllers/best_known.py swimmer-cpg --rollouts 4000

For each task the mean return of doing nothing, over 100 episodes, and over 1,000 others, of the start, of Ziegler and
Nichols' rules where they are defined, and of what CMA-ES recommends after that many rollouts, 20 of each candidate:
`best_known.csv`, with the gains in their units; rows of other tasks stay. The swimmer is slow, with little noise: 50
episodes, 4 of each candidate. It is the best known, not the optimum. The numbers are also in
`policysearch/tasks/known.py`; a test compares them with the file, and those of start and rules with their returns.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from policysearch.core import Array, Proposal
from policysearch.optimizers import CMAES, Repeated
from policysearch.policies.controller import Controller
from policysearch.policies.pid import reaction_gains, ultimate_gains
from policysearch.search import Budget, generations
from policysearch.seeding import Key
from policysearch.simulators import motor, tanks, thermal
from policysearch.space import Space
from policysearch.tasks import TASKS, Task, make_evaluator, make_problem

EPISODES = 1000
NEAR = 0.05  # of the best known return
EACH = 20  # episodes of a candidate in a search
SLOW = {"swimmer-cpg": (50, 4)}  # both, of the tasks where they are fewer
#: Ziegler and Nichols' gains for the nominal plants.
RULES = {
    "motor-pid": ultimate_gains(*motor.ultimate()),
    "thermal-pid": reaction_gains(*thermal.reaction()),
    "tanks-pid": reaction_gains(*tanks.reaction()),
}
NAMES = (*RULES, "cart-pole-lqr", "pendulum-swing-up", "quadrotor-cascade", "swimmer-cpg")


def report_key(name: str) -> Key:
    """The key of the episodes on which controllers are reported."""
    return "best known", name, "report"


def near(returns: Array, best: Any) -> Any:
    """Which returns are below the best known one by at most 5 % of its size."""
    return returns >= best - NEAR * np.abs(best)


def space_of(task: Task) -> Space:
    """The parameters of the controller that is tuned."""
    policy = task.make_policy()
    assert isinstance(policy, Controller)  # noqa: S101 - for the type checker
    return policy.space


def said(space: Space, params: Array) -> str:
    """The parameters with their units."""
    values = space.named(params)
    return "; ".join(f"{p.name} = {values[p.name]:.4g} {p.unit}".rstrip() for p in space.parameters)


def mean_returns(task: Task, params: Array) -> Array:
    """Mean returns of these rows of parameters."""
    policy = task.make_policy()
    evaluator = make_evaluator(task, policy, kind="compiled")
    episodes, _ = SLOW.get(task.name, (EPISODES, EACH))
    returns = evaluator.evaluate(Proposal(params, params[0], episodes), report_key(task.name)).returns
    evaluator.close()
    return returns.mean(axis=1)


def idle_return(task: Task, episodes: int) -> float:
    """Mean return of the action nearest to zero."""
    env, total = task.make_env(), 0.0
    nothing = np.clip(np.zeros(env.action_space.shape), env.action_space.low, env.action_space.high)
    for episode in range(episodes):
        env.reset(seed=episode)
        over = False
        while not over:
            _, reward, terminated, truncated, _ = env.step(nothing)
            total, over = total + float(reward), terminated or truncated
    env.close()
    return total / episodes


def best(task: Task, rollouts: int, seed: int) -> Array:
    """What CMA-ES recommends, within the bounds."""
    _, each = SLOW.get(task.name, (EPISODES, EACH))
    method = Repeated(CMAES(), each)
    problem = make_problem(task, method, whitened=False, seed=seed, run=0, evaluator="compiled")
    found = problem.domain.start
    budget = Budget(rollouts=rollouts)
    for generation in generations(
        problem.optimizer, problem.evaluator, problem.domain, budget=budget, seed=seed
    ):
        found = generation.recommendation
    problem.evaluator.close()
    return problem.domain.clip(found)


def row(name: str, rollouts: int, seed: int) -> dict[str, object]:
    """The references of one task."""
    task = TASKS[name]
    space, found = space_of(task), best(task, rollouts, seed)
    params = np.array([space.domain.start, found])
    if name in RULES:
        params = np.vstack([params, space.encode(np.array(RULES[name]))])
    returns = mean_returns(task, params)
    return {
        "task": name,
        "idle": idle_return(task, 100),
        "start": returns[0],
        "ziegler_nichols": returns[2] if name in RULES else np.nan,
        "best_known": returns[1],
        "rollouts": rollouts,
        "parameters": said(space, found),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tasks", nargs="*", default=NAMES)
    parser.add_argument("--rollouts", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("best_known.csv"))
    arguments = parser.parse_args()
    rows: dict[str, dict[Any, Any]] = {}
    if arguments.out.exists():
        rows = {known["task"]: known for known in pd.read_csv(arguments.out).to_dict("records")}
    for name in arguments.tasks:
        rows[name] = dict(row(name, arguments.rollouts, arguments.seed))
        print(rows[name], flush=True)
        pd.DataFrame(list(rows.values())).to_csv(arguments.out, index=False, float_format="%.6g")
