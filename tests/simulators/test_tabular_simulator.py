"""Simulated decision processes against their probabilities, rewards and exact returns."""

import dataclasses
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from same_rollouts import asked, assert_same, both

from policysearch.core import Array, Proposal, Rollout
from policysearch.evaluators import CompiledEvaluator, EpisodeEvaluator
from policysearch.evaluators.interface import Interface
from policysearch.models.mdp import MDP
from policysearch.policies import Linear, Softmax
from policysearch.seeding import stream
from policysearch.simulators import TABULAR, find_simulator
from policysearch.simulators.problems import STEP_COST, aliased_gridworld, chain, random_mdp
from policysearch.simulators.tabular import TabularEnv, make_simulator
from policysearch.tasks import TASKS, make_evaluator

#: Every state shows itself; from every state and action two of four follow.
SEEN = dataclasses.replace(
    random_mdp(stream("seen"), 4, 2, horizon=12, discount=1.0, branching=2), reward_std=0.5
)
#: Five states that show three observations.
ALIASED = random_mdp(stream("aliased"), 5, 3, horizon=9, discount=1.0, observations=3)


def tabular_policy(problem: MDP) -> Softmax:
    O, A = problem.table  # noqa: E741 - the symbol
    return Softmax(Linear(O, A, bias=False), (A,))


def rolled_out(problem: MDP, theta: Array, episodes: int, seed: int) -> tuple[Rollout, ...]:
    params = theta.T.ravel()
    evaluator = CompiledEvaluator(make_simulator(problem), tabular_policy(problem), max_episode_steps=100)
    return evaluator.evaluate(
        Proposal(params[None], params, episodes, sample=True, record=True), (seed,)
    ).rollouts[0]


def states_of(rollouts: tuple[Rollout, ...]) -> Array:
    """The state of every step and the one after the last; each shows itself."""
    return np.array([[*rollout.obs.argmax(axis=1), rollout.final_obs.argmax()] for rollout in rollouts])


def test_starts_transitions_and_rewards_have_the_frequencies_of_the_process() -> None:
    rollouts = rolled_out(SEEN, np.zeros((4, 2)), 3000, seed=1)
    states = states_of(rollouts)
    actions = np.array([rollout.actions[:, 0] for rollout in rollouts]).astype(int)
    rewards = np.array([rollout.rewards for rollout in rollouts])
    starts = np.bincount(states[:, 0], minlength=4)
    error = np.sqrt(SEEN.mu * (1 - SEEN.mu) / len(states))
    assert error.max() < 0.01
    assert (np.abs(starts / len(states) - SEEN.mu) < 4 * error).all()
    counts = np.zeros((4, 2, 4))
    np.add.at(counts, (states[:, :-1], actions, states[:, 1:]), 1)
    made = counts.sum(axis=2)
    error = np.sqrt(SEEN.P * (1 - SEEN.P) / made[..., None])
    assert error.max() < 0.02
    assert (np.abs(counts / made[..., None] - SEEN.P) <= 4 * error).all()  # never where P is 0
    residuals = rewards - SEEN.r[states[:, :-1], actions]
    sums = np.zeros((4, 2))
    np.add.at(sums, (states[:, :-1], actions), residuals)
    assert (np.abs(sums / made) < 4 * 0.5 / np.sqrt(made)).all()
    assert residuals.std() == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(2 * residuals.size))
    # the noise of one step says nothing of the next, nor does the luck of one step
    lagged = residuals[:, 1:] * residuals[:, :-1]
    assert abs(lagged.mean()) < 4 * 0.25 / np.sqrt(lagged.size)
    luck = SEEN.P[states[:, :-1], actions, states[:, 1:]] - (SEEN.P[states[:, :-1], actions] ** 2).sum(
        axis=-1
    )
    together = luck[:, 1:] * luck[:, :-1]
    assert abs(together.mean()) < 4 * together.std() / np.sqrt(together.size)


@pytest.mark.parametrize(
    "problem",
    [
        pytest.param(SEEN, marks=pytest.mark.nightly),
        ALIASED,
        pytest.param(aliased_gridworld(), marks=pytest.mark.nightly),
        chain(13, 3),
    ],
    ids=["seen", "aliased", "grid", "chain"],
)
@pytest.mark.nightly
def test_the_mean_return_of_an_evaluation_is_the_expected_one_and_its_scores_give_the_gradient(
    problem: MDP,
) -> None:
    theta = stream("theta", *problem.table).standard_normal(problem.table)
    params, policy = theta.T.ravel(), tabular_policy(problem)
    evaluator = CompiledEvaluator(make_simulator(problem), policy, max_episode_steps=15)
    returns = evaluator.evaluate(Proposal(params[None], params, 10_000, sample=True), (2,)).returns
    truth, error = problem.expected_return(theta), returns.std() / np.sqrt(returns.size)
    assert error < 0.03 * abs(truth)
    assert abs(returns.mean() - truth) < 4 * error
    # θ.T.ravel() are the parameters of the policy: E[(R − J) Σ_t ∇ log π] is the gradient in that order
    rollouts = rolled_out(problem, theta, 3000, seed=3)
    estimates = []
    for start in range(0, 3000, 50):
        group = rollouts[start : start + 50]
        obs, actions = (np.concatenate([getattr(one, name) for one in group]) for name in ("obs", "actions"))
        weights = [np.full(len(one.rewards), one.rewards.sum() - truth) / 50 for one in group]
        estimates.append(policy.score(params, obs, actions, np.concatenate(weights)))
    gradient, errors = problem.gradient(theta).T.ravel(), np.std(estimates, axis=0) / np.sqrt(60)
    assert errors.max() < 0.15 * np.abs(gradient).max()
    assert (np.abs(np.mean(estimates, axis=0) - gradient) < 4 * errors).all()


class Extreme:
    """A generator whose uniform numbers are the least or the greatest there are."""

    def __init__(self, uniform: float) -> None:
        self.uniform = uniform

    def random(self, size: int) -> Array:
        return np.full(size, self.uniform)


@pytest.mark.parametrize("uniform", [0.0, np.nextafter(1.0, 0.0)])
def test_what_has_no_probability_does_not_happen_whatever_is_drawn(uniform: float) -> None:
    p = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 0.0])
    problem = MDP(P=np.tile(p, (6, 1, 1)), r=np.zeros((6, 1)), mu=p, horizon=1)
    env = TabularEnv(problem)
    env._reset_world(env._world, env.simulator.draw(Extreme(uniform)))  # type: ignore[arg-type]
    states = [env._world.now[0], env.step(0)[0]]
    assert states == ([1, 1] if uniform == 0.0 else [4, 4])


#: Each is a loop to compile.
BY_DAY = {("Chain-v0", "tabular"), ("RockPaperScissors-v0", "tabular")}


@pytest.mark.parametrize(
    ("name", "policy"),
    [
        pytest.param(name, policy, marks=[pytest.mark.nightly] * ((name, policy) not in BY_DAY))
        for name in ("Bandit-v0", "Chain-v0", "AliasedGridworld-v0", "RockPaperScissors-v0")
        for policy in ("tabular", "mlp:3")
    ],
)
def test_compiled_and_general_evaluators_give_the_same_bytes(name: str, policy: str) -> None:
    compiled, general, made = both(f"policysearch/{name}", policy)
    rng = stream(name, policy)
    params = np.array([made.start(rng) for _ in range(4)]) + rng.standard_normal((4, made.num_params))
    params[3, 0] = np.nan
    for proposal in asked(params).values():
        one = compiled.evaluate(proposal, (5, "same"))
        assert_same(one, general.evaluate(proposal, (5, "same")))
        assert len(one.failures) == proposal.episodes  # those of the candidate that is not a number


@pytest.mark.parametrize("name", [*TABULAR, "RockPaperScissors-v0"])
def test_every_problem_is_an_environment(name: str) -> None:
    env = gym.make(f"policysearch/{name}")
    assert (find_simulator(env) is None) == ("History" in name)
    if "History" not in name:
        check_env(env.unwrapped, skip_render_check=True)


def test_an_observation_is_a_number_and_what_policies_see_is_one_hot() -> None:
    env = TabularEnv(ALIASED)
    obs, _ = env.reset(seed=1)
    assert type(obs) is int
    assert env.observation_space == gym.spaces.Discrete(3)
    see = Interface(env.observation_space, env.action_space).observer()
    assert see is not None
    seen = {}
    for seed in range(50):
        obs, _ = env.reset(seed=seed)
        seen[obs] = see(obs).tolist()
        assert obs == ALIASED.shown[env._world.now[0]]
    assert seen == {o: np.eye(3)[o].tolist() for o in range(3)}


def test_the_horizon_ends_an_episode_as_terminated_and_so_does_a_terminal_state() -> None:
    env = gym.make("policysearch/Chain-v0", horizon=7, cells=3)
    visited, ends = [env.reset(seed=1)[0]], []
    for _ in range(7):
        obs, _, terminated, truncated, _ = env.step(0)
        visited.append(obs)
        ends.append((terminated, truncated))
    assert visited == [0, 1, 2, 0, 1, 2, 0, 1]
    assert ends == [(False, False)] * 6 + [(True, False)]
    grid = TabularEnv(aliased_gridworld())
    while grid.reset()[0] != 2:  # the middle
        pass
    assert grid.step(2)[1:4] == (1 - STEP_COST, True, False)


#: What a step does: cell, action, reward, and the cell and end that follow.
STEPS = [
    (0, 0, -0.05, 0, False),  # a wall
    (0, 3, -0.05, 0, False),
    (0, 1, -0.05, 1, False),
    (1, 2, -0.05, 1, False),
    (1, 3, -0.05, 0, False),
    (3, 1, -0.05, 4, False),
    (4, 1, -0.05, 4, False),
    (0, 2, -1.05, 5, True),  # a skull
    (4, 2, -1.05, 5, True),
    (2, 2, 0.95, 6, True),  # the treasure
]


@pytest.mark.parametrize(("cell", "action", "reward", "after", "ended"), STEPS)
def test_a_step_in_the_gridworld_does_what_its_map_says(
    cell: int, action: int, reward: float, after: int, ended: bool
) -> None:
    env = TabularEnv(aliased_gridworld())
    env.reset(seed=1)
    env._world.now[0] = cell
    _, paid, terminated, _, _ = env.step(action)
    assert (paid, terminated) == (pytest.approx(reward), ended)
    assert env._world.now[0] == after


def test_rewards_are_noisy_only_where_the_process_says_so_and_the_noise_belongs_to_the_seed() -> None:
    quiet, noisy = TabularEnv(chain(20, 2, 0.0)), TabularEnv(chain(20, 2, 2.0))

    def rewards(env: TabularEnv, action: int) -> Array:
        env.reset(seed=3)
        return np.array([env.step(action)[1] for _ in range(20)])

    assert rewards(quiet, 0).tolist() == [1.0, 0.0] * 10
    noise = [rewards(noisy, action) - rewards(quiet, action) for action in (0, 1)]
    assert noise[0] == pytest.approx(noise[1], abs=1e-12)
    assert 1.0 < noise[0].std() < 3.0


def test_a_problem_without_a_horizon_is_refused_as_an_environment() -> None:
    with pytest.raises(ValueError, match="problem: expected one with a horizon, got None; cut it off with"):
        TabularEnv(random_mdp(stream(1)))


def test_a_chain_without_cells_is_refused() -> None:
    with pytest.raises(ValueError, match="cells: expected at least 1, got 0"):
        chain(cells=0)


def test_a_problem_has_one_simulator_so_that_its_rollouts_are_compiled_once() -> None:
    envs = [gym.make("policysearch/Chain-v0") for _ in range(2)]
    assert find_simulator(envs[0]) is find_simulator(envs[1])
    assert find_simulator(gym.make("policysearch/Chain-v0", horizon=3)) is not find_simulator(envs[0])


def test_a_history_holds_the_last_observation_and_this_one_and_begins_with_the_first_twice() -> None:
    env = gym.make("policysearch/AliasedGridworldHistory-v0")
    interface = Interface(env.observation_space, env.action_space)
    assert (interface.obs_size, interface.one_hot, interface.choices) == (8, False, (4,))
    see: Any = interface.observer()
    obs, _ = env.reset(seed=1)
    env.unwrapped._world.now[0] = 3  # type: ignore[attr-defined]
    first = obs[1]
    assert obs.tolist() == [first, first]
    obs = env.step(1)[0]  # east, to the corner
    assert obs.tolist() == [first, 3]
    assert see(obs).tolist() == [*np.eye(4)[first], 0, 0, 0, 1]
    assert env.step(3)[0].tolist() == [3, 1]


def test_remembering_one_observation_a_deterministic_linear_policy_reaches_the_treasure_from_every_cell() -> (
    None
):
    task = TASKS["aliased-gridworld-history"]
    policy = task.make_policy()
    # logits by (previous, this) look; looks: left corner, grey, middle, right corner; go east by default
    W = np.zeros((4, 8))
    W[1, [4, 5]], W[2, 6], W[3, 7] = 1.0, 9.0, 9.0  # by what it sees: east, east, south, west
    W[3, 3] = 5.0  # but west where it has just seen the right corner
    params = np.concatenate([W.ravel(), np.zeros(4)])
    evaluator = make_evaluator(task, policy)
    assert isinstance(evaluator, EpisodeEvaluator)
    rollouts = evaluator.evaluate(Proposal(params[None], params, 100, record=True), (1,)).rollouts[0]
    returns: dict[int, set[float]] = {}
    for rollout in rollouts:
        first = int(rollout.obs[0, 4:].argmax())
        returns.setdefault(first, set()).add(round(float(rollout.rewards.sum()), 9))
    # 3, 2 or 4, 1, and 3 steps
    assert returns == {0: {0.85}, 1: {0.9, 0.8}, 2: {0.95}, 3: {0.85}}
    assert task.references["best with memory"] == pytest.approx(np.mean([0.85, 0.9, 0.95, 0.8, 0.85]))


TASKS_HERE = ["bandit", "chain", "aliased-gridworld", "aliased-gridworld-history", "rock-paper-scissors"]


@pytest.mark.parametrize("name", TASKS_HERE)
@pytest.mark.nightly
def test_actions_at_random_return_what_the_task_says(name: str) -> None:
    task = TASKS[name]
    policy = task.make_policy()
    params = np.zeros(policy.num_params)
    evaluation = make_evaluator(task, policy).evaluate(
        Proposal(params[None], params, 1500, sample=True, record=True), (3,)
    )
    assert all(rollout.terminated and not rollout.truncated for rollout in evaluation.rollouts[0])
    assert task.normalise is not None
    low, high = task.normalise
    error = evaluation.returns.std() / np.sqrt(evaluation.returns.size)
    assert error < 0.05 * (high - low)
    truth = high if name == "rock-paper-scissors" else low  # the uniform strategy is the best there
    assert abs(evaluation.returns.mean() - truth) < 4 * error
    assert high in task.references.values()
