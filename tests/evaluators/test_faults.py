"""What goes wrong in environments, and what the plain loop would have done: the rest of `test_episodes.py`."""

import warnings
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import WALKER, Walk

from policysearch.core import Array, Evaluation, Policy, Proposal, StochasticPolicy
from policysearch.evaluators import EpisodeEvaluator
from policysearch.evaluators.interface import make_factory
from policysearch.policies import MLP, Gaussian, Linear, Softmax
from policysearch.seeding import seed_of, stream


def proposal(params: Array, **options: Any) -> Proposal:
    return Proposal(params, params[0], **options)


def evaluate(make: Any, n: int = 2, episodes: int = 3, policy: Policy = WALKER, **options: Any) -> Evaluation:
    params = 0.2 * stream(3).standard_normal((n, policy.num_params))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as in production: a warning stops nothing
        return EpisodeEvaluator(make, policy, **options).evaluate(proposal(params, episodes=episodes), (1,))


# Against the plain loop ------------------------------------------------------------------------------


DRAWING: dict[str, StochasticPolicy] = {
    "CartPole-v1": Softmax(MLP(4, 2, (3,)), (2,), temperature=0.5),
    "Pendulum-v1": Gaussian(Linear(3, 1), initial_std=2.0),
    "Acrobot-v1": Softmax(Linear(6, 3), (3,)),
}


@pytest.mark.parametrize(
    "env_id", [pytest.param(e, marks=[pytest.mark.nightly] * (e == "Acrobot-v1")) for e in DRAWING]
)
def test_drawn_episodes_are_those_of_a_plain_loop_that_draws_one_action_at_a_time(env_id: str) -> None:
    policy, key = DRAWING[env_id], (5, "x")
    params = stream(3).standard_normal((3, policy.num_params))
    evaluator = EpisodeEvaluator(make_factory(env_id, 150), policy, max_copies=4)
    found = evaluator.evaluate(proposal(params, episodes=2, sample=True, record=True, moments=True), key)
    env = gym.make(env_id, max_episode_steps=150)
    acted_on = []
    for i, j in np.ndindex(3, 2):
        rng, rollout = stream(*key, "action", i, j), found.rollouts[i][j]
        obs, _ = env.reset(seed=seed_of(*key, "episode", j))
        drawn, rewards, over = [], [], False
        while not over:
            row = np.asarray(obs, dtype=float)[None]
            acted_on.append(row[0])
            action = np.empty(len(policy.noise(stream(0), 1)[0]))
            scratch = np.empty(policy.kernel.scratch_size)
            policy.kernel.act(params[i], row[0], np.zeros(0), policy.noise(rng, 1)[0], scratch, action)
            drawn.append(action)
            told: Any = int(action[0])
            if isinstance(env.action_space, spaces.Box):
                told = np.clip(action, env.action_space.low, env.action_space.high).astype(np.float32)
            obs, reward, terminated, truncated, _ = env.step(told)
            rewards.append(float(reward))
            over = terminated or truncated
        assert rollout.actions.tobytes() == np.array(drawn).tobytes()
        assert rollout.rewards.tolist() == rewards
        assert rollout.final_obs.tolist() == np.asarray(obs, dtype=float).tolist()
        assert (rollout.terminated, rollout.truncated) == (terminated, truncated)
        assert found.returns[i, j] == sum(rewards)
        assert found.steps[i, j] == len(rewards)
    seen = np.array(acted_on)  # without the final observations, which nobody acted on
    assert found.moments is not None
    assert found.moments.count == len(seen) == found.steps.sum()
    assert found.moments.mean == pytest.approx(seen.mean(axis=0), rel=1e-10, abs=1e-12)
    assert pytest.approx(((seen - seen.mean(axis=0)) ** 2).sum(axis=0), rel=1e-9) == found.moments.M2


@dataclass(frozen=True)
class Integrator:
    """u = −p x − q Σ x: a policy with a memory of one number."""

    num_params: int = 2
    state_size: int = 1
    param_names: tuple[str, ...] = ("p", "q")

    def start(self, rng: np.random.Generator) -> Array:
        return np.zeros(2)

    def act(self, params: Array, obs: Array, state: Array) -> tuple[Array, Array]:
        state = state + obs[:, :1]
        return -params[:, :1] * obs[:, :1] - params[:, 1:] * state, state


class Wander(Walk):
    """A walk of two to nine steps, so that rows come and go."""

    def reset(self, **options: Any) -> Any:
        out = super().reset(**options)
        self.length = int(self.np_random.integers(2, 10))
        return out

    def step(self, action: Array) -> Any:
        obs, reward, _, _, info = super().step(action)
        return obs, reward, self.t == self.length, False, info


@pytest.mark.parametrize("copies", [1, 3, 64])
def test_a_policy_with_a_memory_starts_every_episode_with_an_empty_one(copies: int) -> None:
    policy, key = Integrator(), (2,)
    params = np.array([[0.5, 0.1], [0.9, 0.3], [0.0, 0.0], [0.2, -0.2], [1.0, 0.5]])
    found = EpisodeEvaluator(Wander, policy, max_copies=copies).evaluate(proposal(params, episodes=4), key)
    env = Wander()
    for i, j in np.ndindex(5, 4):
        obs, _ = env.reset(seed=seed_of(*key, "episode", j))
        total, steps, over, state = 0.0, 0, False, np.zeros((1, 1))
        while not over:
            actions, state = policy.act(params[[i]], obs[None], state)
            obs, reward, over, _, _ = env.step(actions[0])
            total, steps = total + reward, steps + 1
        assert (found.returns[i, j], found.steps[i, j]) == (total, steps)
    assert len(set(found.steps.ravel().tolist())) > 1


def test_draws_stay_with_their_episodes_as_others_end() -> None:
    params = np.tile([0.0, 0.0, 0.0, 0.5], (7, 1))  # nothing but noise
    one, some, all_at_once = (
        EpisodeEvaluator(Wander, WALKER, max_copies=copies).evaluate(
            proposal(params, episodes=3, sample=True), (3,)
        )
        for copies in (1, 4, 64)
    )
    assert len(set(one.steps.ravel().tolist())) > 1
    assert one.returns.tobytes() == some.returns.tobytes() == all_at_once.returns.tobytes()


@pytest.mark.parametrize("deploy", ["mode", "sample"])
def test_an_evaluator_remembers_nothing_of_earlier_evaluations(deploy: Any) -> None:
    params = 0.3 * stream(4).standard_normal((3, 4))
    evaluator = EpisodeEvaluator(Wander, WALKER, deploy=deploy, max_copies=2)
    first = evaluator.evaluate(proposal(params, episodes=2), (1,))
    evaluator.evaluate(proposal(params[::-1].copy(), episodes=5), (2,))
    again = evaluator.evaluate(proposal(params, episodes=2), (1,))
    evaluator.close()
    reopened = evaluator.evaluate(proposal(params, episodes=2), (1,))
    for other in (again, reopened):
        assert other.returns.tobytes() == first.returns.tobytes()
        assert other.steps.tobytes() == first.steps.tobytes()


def test_what_an_evaluator_is_given_is_not_changed() -> None:
    params = 0.3 * stream(4).standard_normal((3, 4))
    params.setflags(write=False)
    EpisodeEvaluator(Walk, WALKER).evaluate(
        proposal(params, episodes=2, sample=True, record=True, moments=True), (1,)
    )


# Faults ----------------------------------------------------------------------------------------------

BAD = seed_of(1, "episode", 1)


class Faulty(Walk):
    """A walk whose episode of the bad seed hands out something else on its third step."""

    reward: Any = 0.0
    obs: Any = None

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.bad = seed == BAD
        return super().reset(seed=seed, options=options)

    def step(self, action: Array) -> Any:
        assert np.isfinite(action).all(), "a non-finite action reached the environment"
        obs, reward, terminated, truncated, info = super().step(action)
        if self.bad and self.t == 3:
            return obs if self.obs is None else self.obs, self.reward, terminated, truncated, info
        return obs, reward, terminated, truncated, info


def assert_only_the_bad_episode_failed(found: Evaluation, reason: str, steps: int = 3) -> None:
    healthy = evaluate(Walk)
    assert np.isnan(found.returns[:, 1]).all()
    assert found.returns[:, [0, 2]].tobytes() == healthy.returns[:, [0, 2]].tobytes()
    assert found.steps.tolist() == [[5, steps, 5]] * 2  # the step that failed is counted
    assert [(f.candidate, f.episode, f.seed) for f in found.failures] == [(0, 1, BAD), (1, 1, BAD)]
    for failure in found.failures:
        assert failure.reason.startswith(reason)


@pytest.mark.parametrize(
    ("reward", "reason"),
    [
        (np.float32(np.nan), "the reward is nan at step 2"),
        (np.inf, "the reward is inf at step 2"),
        (None, "step: TypeError"),
        (np.complex128(1 + 2j), "step: TypeError: expected a real number as reward"),
        (np.complex64(1), "step: TypeError: expected a real number as reward"),
        (np.ones((1, 2)), "step: TypeError: expected a real number as reward, got array([[1., 1.]])"),
        (np.array([1j]), "step: TypeError: expected a real number as reward"),
        (np.array([]), "step: TypeError"),
        ({}, "step: TypeError"),
        ("text", "step: TypeError"),
        (10**400, "step: OverflowError"),
    ],
)
@pytest.mark.parametrize("copies", [1, 64])
def test_a_reward_that_is_no_real_number_fails_its_episode(reward: Any, reason: str, copies: int) -> None:
    kind = type("Kind", (Faulty,), {"reward": reward})
    assert_only_the_bad_episode_failed(evaluate(kind, max_copies=copies), reason)


@pytest.mark.parametrize(
    ("obs", "reason"),
    [
        (np.ones(1), r"step: ValueError: expected an observation of shape (2,), got (1,)"),
        (3.0, r"step: ValueError: expected an observation of shape (2,), got ()"),
        (np.ones((1, 2)), r"step: ValueError: expected an observation of shape (2,), got (1, 2)"),
        (np.ones(3), r"step: ValueError: expected an observation of shape (2,), got (3,)"),
        ({}, "step: ValueError: expected an observation of shape (2,), got ()"),
        (np.array([0.0, np.inf]), "the observation is not finite at step 3"),
    ],
)
def test_an_observation_of_another_shape_fails_its_episode(obs: Any, reason: str) -> None:
    assert_only_the_bad_episode_failed(evaluate(type("Kind", (Faulty,), {"obs": obs})), reason)


def test_an_observation_of_another_shape_at_the_start_fails_the_episode() -> None:
    class Short(Faulty):
        def reset(self, **options: Any) -> Any:
            obs, info = super().reset(**options)
            return (obs[:1] if self.bad else obs), info

    reason = "reset: ValueError: expected an observation of shape (2,), got (1,)"
    assert_only_the_bad_episode_failed(evaluate(Short), reason, steps=0)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_rewards_whose_sum_is_infinite_fail_the_episode(sign: float) -> None:
    class Huge(Faulty):
        def step(self, action: Array) -> Any:
            obs, reward, *rest = super().step(action)
            return obs, sign * 1.7e308 if self.bad else reward, *rest

    found = evaluate(Huge)
    assert_only_the_bad_episode_failed(found, f"the return is {sign * np.inf}", steps=5)
    params = np.zeros((1, 4))
    recorded = EpisodeEvaluator(Huge, WALKER).evaluate(
        proposal(params, episodes=3, sample=True, record=True, moments=True), (1,)
    )
    assert len(recorded.rollouts[0]) == 2
    assert recorded.moments is not None
    assert recorded.moments.count == 10


@settings(deadline=None, max_examples=30)
@given(st.lists(st.sampled_from(["fine", "nan", "raise", "reset", "short"]), min_size=6, max_size=6))
def test_whatever_pattern_of_episodes_fails_the_others_do_not_notice(pattern: list[str]) -> None:
    fate = {seed_of(1, "episode", j): what for j, what in enumerate(pattern)}

    class Fated(Walk):
        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            self.fate = fate.get(seed, "fine")  # type: ignore[arg-type]
            if self.fate == "reset":
                raise RuntimeError("no ground")
            return super().reset(seed=seed, options=options)

        def step(self, action: Array) -> Any:
            obs, reward, *rest = super().step(action)
            if self.fate == "raise" and self.t == 2:
                raise RuntimeError("a leg broke")
            if self.fate == "nan" and self.t == 4:
                reward = float("nan")
            return (obs[:1] if self.fate == "short" else obs), reward, *rest

    found = evaluate(Fated, episodes=6, max_copies=3)
    healthy = evaluate(Walk, episodes=6)
    fine = np.array([what == "fine" for what in pattern])
    assert found.returns[:, fine].tobytes() == healthy.returns[:, fine].tobytes()
    assert np.isnan(found.returns[:, ~fine]).all()
    assert len(found.failures) == 2 * (~fine).sum()
    taken = {"fine": 5, "nan": 4, "raise": 2, "reset": 0, "short": 1}
    assert found.steps.tolist() == [[taken[what] for what in pattern]] * 2
    assert np.isfinite(found.fitness).all()


def test_a_copy_that_raised_is_closed_and_replaced() -> None:
    built: list[Any] = []

    class Fragile(Faulty):
        reward = "text"

        def __init__(self) -> None:
            super().__init__()
            self.broken = self.closed = False
            built.append(self)

        def reset(self, **options: Any) -> Any:
            assert not self.broken, "a copy that had raised was used again"
            return super().reset(**options)

        def step(self, action: Array) -> Any:
            self.broken = self.broken or (self.bad and self.t == 2)
            return super().step(action)

        def close(self) -> None:
            self.closed = True

    found = evaluate(Fragile, n=1, max_copies=1)
    assert np.isfinite(found.returns).tolist() == [[True, False, True]]
    assert [(env.broken, env.closed) for env in built] == [(True, True), (False, False)]


def test_closing_an_evaluator_closes_every_copy_also_when_one_objects() -> None:
    closed = []

    class Stubborn(Walk):
        def close(self) -> None:
            closed.append(self)
            raise RuntimeError("cannot close")

    evaluator = EpisodeEvaluator(Stubborn, WALKER)
    evaluator.evaluate(proposal(np.zeros((3, 4)), episodes=2), (1,))
    evaluator.close()
    evaluator.close()
    assert len(closed) == len(set(map(id, closed))) == 6


def test_an_environment_that_cannot_be_built_at_all_says_so_before_the_first_rollout() -> None:
    class Unbuildable(Walk):
        def __init__(self) -> None:
            raise OSError("the licence has expired")

    with pytest.raises(OSError, match="the licence has expired"):
        EpisodeEvaluator(Unbuildable, WALKER)


def test_an_interrupt_stops_the_evaluation() -> None:
    class Interrupted(Walk):
        def step(self, action: Array) -> Any:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(Interrupted)


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ([np.nan, 0.0, 0.0, 0.0], "the action is not finite at step 0"),
        ([0.0, 0.0, 0.0, np.nan], "the action is not finite at step 0"),
        ([0.0, 0.0, 0.0, 1e4], "the action is not finite at step 0"),  # exp(ℓ) overflows
        ([0.0, 0.0, np.inf, 0.0], "the action is not finite at step 0"),
    ],
)
def test_a_draw_that_is_not_finite_never_reaches_the_environment(params: list[float], reason: str) -> None:
    told: list[Array] = []

    class Listening(Walk):
        def step(self, action: Array) -> Any:
            told.append(action)
            return super().step(action)

    good = [0.1, 0.0, 0.0, -1.0]
    found = EpisodeEvaluator(Listening, WALKER, max_copies=3).evaluate(
        proposal(np.array([good, params, good]), episodes=2, sample=True), (1,)
    )
    assert np.isfinite(found.returns[[0, 2]]).all()
    assert [failure.reason for failure in found.failures] == [reason] * 2
    assert found.steps.tolist() == [[5, 5], [0, 0], [5, 5]]
    assert len(told) == 20
    assert np.isfinite(told).all()


def test_actions_that_become_infinite_midway_fail_and_count_the_steps_before() -> None:
    class Growing(Walk):
        def step(self, action: Array) -> Any:
            assert np.isfinite(action).all()
            self.t += 1
            return np.array([10.0 ** (100 * self.t), 0.0]), 0.0, False, False, {}

    params = np.array([[1e150, 0.0, 0.0, 0.0]])  # the actions are 1e150 x_0, 1e250 and 1e350
    found = EpisodeEvaluator(Growing, WALKER).evaluate(proposal(params), (9,))
    assert np.isnan(found.returns[0, 0])
    assert found.steps[0, 0] == 2
    assert found.failures[0].reason == "the action is not finite at step 2"


# Before the first rollout ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("env_id", "policy", "message"),
    [
        ("CartPole-v1", Softmax(Linear(3, 2), (2,)), "policy: expected one for observations of 4 numbers"),
        ("CartPole-v1", Softmax(MLP(5, 2), (2,)), "policy: expected one for observations of 4 numbers"),
        (
            "CartPole-v1",
            Softmax(Linear(4, 3), (3,)),
            r"policy: expected alternatives \(2,\) for actions Discrete",
        ),
        ("CartPole-v1", Softmax(Linear(4, 4), (2, 2)), "policy: expected actions of 1 numbers, got 2"),
        (
            "Acrobot-v1",
            Softmax(Linear(6, 2), (2,)),
            r"policy: expected alternatives \(3,\) .* got \(2,\) from",
        ),
        ("Pendulum-v1", Softmax(Linear(3, 2), (2,)), r"policy: expected alternatives \(\) for actions Box"),
        ("Pendulum-v1", Gaussian(MLP(3, 2)), "policy: expected actions of 1 numbers, got 2"),
    ],
)
def test_a_policy_that_does_not_fit_is_refused_when_the_evaluator_is_made(
    env_id: str, policy: Policy, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        EpisodeEvaluator(make_factory(env_id), policy)


def test_an_evaluator_without_copies_is_refused() -> None:
    with pytest.raises(ValueError, match="max_copies: expected at least 1, got 0"):
        EpisodeEvaluator(Walk, WALKER, max_copies=0)


def test_steps_are_counted_and_nothing_runs_after_an_end_of_either_kind() -> None:
    class Counted(gym.Wrapper[Any, Any, Any, Any]):
        steps = resets = begun = after_end = 0
        over = True

        def reset(self, **options: Any) -> Any:
            Counted.resets += 1
            self.over, self.fresh = False, True
            return self.env.reset(**options)

        def step(self, action: Any) -> Any:
            Counted.steps += 1
            Counted.begun += self.fresh
            Counted.after_end += self.over
            out = self.env.step(action)
            self.over, self.fresh = bool(out[2] or out[3]), False
            return out

    policy = Softmax(Linear(4, 2), (2,))
    params = np.concatenate([3.0 * stream(1).standard_normal((6, 10)), [[0, 0, -1, -1, 0, 0, 1, 1, 0, 0]]])
    evaluator = EpisodeEvaluator(
        lambda: Counted(gym.make("CartPole-v1", max_episode_steps=40)), policy, max_copies=5
    )
    found = evaluator.evaluate(proposal(params, episodes=3, sample=True, record=True), (1,))
    ends = {(r.terminated, r.truncated) for rollouts in found.rollouts for r in rollouts}
    assert ends == {(True, False), (False, True)}
    assert (Counted.resets, Counted.begun, Counted.after_end) == (1 + 21, 21, 0)
    assert Counted.steps == found.steps.sum() == found.returns.sum()
