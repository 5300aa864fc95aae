"""Episodes of real and of broken environments."""

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from problems import WALKER, PlainGaussian, PlainSoftmax, Walk

from policysearch.core import Array, Evaluation, Moments, Policy, Proposal
from policysearch.evaluators import EpisodeEvaluator, FunctionEvaluator
from policysearch.evaluators.interface import Interface, make_factory
from policysearch.policies import MLP, Linear, Softmax
from policysearch.seeding import seed_of, stream
from policysearch.space import Parameter, Space

REAL: dict[str, Policy] = {
    "CartPole-v1": Softmax(Linear(4, 2), (2,)),
    "Acrobot-v1": Softmax(MLP(6, 3, (4,)), (3,)),
    "Pendulum-v1": MLP(3, 1, (8,)),
    "MountainCarContinuous-v0": Linear(2, 1),
}


def candidates(policy: Policy, n: int) -> Array:
    return stream(3).standard_normal((n, policy.num_params))


def proposal(params: Array, **options: Any) -> Proposal:
    return Proposal(params, params[0], **options)


def same(a: Evaluation, b: Evaluation) -> bool:
    return a.returns.tobytes() == b.returns.tobytes() and a.steps.tobytes() == b.steps.tobytes()


@pytest.mark.parametrize(
    "env_id",
    [pytest.param(e, marks=[pytest.mark.nightly] * (e not in ("CartPole-v1", "Pendulum-v1"))) for e in REAL],
)
def test_returns_and_lengths_are_those_of_a_plain_gymnasium_loop_bit_for_bit(env_id: str) -> None:
    policy = REAL[env_id]
    evaluator, params, key = EpisodeEvaluator(make_factory(env_id), policy), candidates(policy, 3), (5, "x")
    evaluation = evaluator.evaluate(proposal(params, episodes=2), key)
    env = gym.make(env_id)
    for i, j in np.ndindex(3, 2):
        obs, _ = env.reset(seed=seed_of(*key, "episode", j))
        total, steps, over = 0.0, 0, False
        while not over:
            row = np.asarray(obs, dtype=float)[None]
            action = policy.act(params[[i]], row, np.zeros((1, 0)))[0][0]
            box = isinstance(env.action_space, spaces.Box)
            told = (
                np.clip(action, -2 if "Pend" in env_id else -1, 2 if "Pend" in env_id else 1)
                if box
                else action
            )
            told = told.astype(np.float32) if box else int(told[0])
            obs, reward, terminated, truncated, _ = env.step(told)
            total, steps, over = total + float(reward), steps + 1, terminated or truncated
        assert (evaluation.returns[i, j], evaluation.steps[i, j]) == (total, steps)


@pytest.mark.parametrize("options", [{}, {"sample": True}, {"sample": True, "record": True, "moments": True}])
def test_nothing_depends_on_how_many_copies_of_the_environment_there_are(options: dict[str, Any]) -> None:
    params = 0.3 * candidates(WALKER, 5)
    seen = []
    for copies in (1, 3, 64):
        evaluator = EpisodeEvaluator(Walk, WALKER, max_copies=copies)
        seen.append(evaluator.evaluate(proposal(params, episodes=3, **options), (1, "k")))
    for other in seen[1:]:
        assert same(seen[0], other)
        for a, b in zip(seen[0].rollouts, other.rollouts, strict=True):
            assert [r.actions.tobytes() for r in a] == [r.actions.tobytes() for r in b]
        if seen[0].moments is not None and other.moments is not None:
            assert seen[0].moments.mean.tobytes() == other.moments.mean.tobytes()
            assert seen[0].moments.M2.tobytes() == other.moments.M2.tobytes()


def test_long_draws_do_not_depend_on_the_blocks_in_which_noise_is_drawn() -> None:
    policy = REAL["CartPole-v1"]
    good = np.array([[0, 0, 0, 0, 0.1, 0.5, 1.0, 1.0, 0, 0]]) * 3.0
    evaluator = EpisodeEvaluator(make_factory("CartPole-v1"), policy)
    rollout = evaluator.evaluate(proposal(good, sample=True, record=True), (2,)).rollouts[0][0]
    assert len(rollout.rewards) > 64  # more than one block
    rng = stream(2, "action", 0, 0)
    noise = policy.noise(rng, len(rollout.rewards))  # type: ignore[attr-defined]
    batch = np.tile(good, (len(noise), 1))
    drawn, _ = policy.sample(batch, rollout.obs, np.zeros((len(noise), 0)), noise)  # type: ignore[attr-defined]
    assert drawn.tobytes() == rollout.actions.tobytes()


def test_all_candidates_meet_the_same_episodes_unless_told_otherwise() -> None:
    params = np.tile(candidates(WALKER, 1), (4, 1))
    common = EpisodeEvaluator(Walk, WALKER).evaluate(proposal(params, episodes=3), (1,)).returns
    assert (common == common[0]).all()
    assert len(set(common[0])) == 3
    apart = EpisodeEvaluator(Walk, WALKER, common_random_numbers=False)
    assert len(np.unique(apart.evaluate(proposal(params, episodes=3), (1,)).returns)) == 12


def test_action_noise_differs_between_candidates_that_meet_the_same_episode() -> None:
    params = np.tile(candidates(WALKER, 1), (4, 1))
    evaluation = EpisodeEvaluator(Walk, WALKER).evaluate(proposal(params, sample=True), (1,))
    assert len(np.unique(evaluation.returns)) == 4


def test_permuting_the_candidates_permutes_their_returns() -> None:
    evaluator, params, order = (
        EpisodeEvaluator(Walk, WALKER),
        candidates(WALKER, 7),
        np.array([3, 0, 6, 2, 5, 1, 4]),
    )
    straight = evaluator.evaluate(proposal(params, episodes=2), (1,))
    shuffled = evaluator.evaluate(proposal(params[order], episodes=2), (1,))
    assert shuffled.returns.tobytes() == straight.returns[order].tobytes()


class Counted(gym.Wrapper[Any, Any, Any, Any]):
    """Counts what is asked of the environment, and notices a step after the end."""

    resets = steps = after_end = 0
    over = True

    def reset(self, **options: Any) -> Any:
        type(self).resets += 1
        self.over = False
        return self.env.reset(**options)

    def step(self, action: Any) -> Any:
        Counted.steps += 1
        Counted.after_end += self.over
        out = self.env.step(action)
        self.over = bool(out[2] or out[3])
        return out


def test_every_episode_and_every_step_is_counted_and_nothing_runs_after_the_end() -> None:
    Counted.resets = Counted.steps = Counted.after_end = 0
    evaluator = EpisodeEvaluator(lambda: Counted(gym.make("CartPole-v1")), REAL["CartPole-v1"], max_copies=4)
    assert (Counted.resets, Counted.steps) == (1, 0)  # one look before the first rollout
    evaluation = evaluator.evaluate(proposal(candidates(REAL["CartPole-v1"], 9), episodes=2), (1,))
    assert Counted.resets - 1 == 18
    assert Counted.steps == evaluation.steps.sum()
    assert Counted.after_end == 0


def test_a_record_holds_what_was_seen_drawn_and_paid() -> None:
    params = 0.3 * candidates(WALKER, 2)
    evaluation = EpisodeEvaluator(Walk, WALKER).evaluate(
        proposal(params, episodes=3, sample=True, record=True, moments=True), (4,)
    )
    for i, rollouts in enumerate(evaluation.rollouts):
        for j, rollout in enumerate(rollouts):
            assert rollout.rewards.sum() == pytest.approx(evaluation.returns[i, j])
            assert len(rollout.rewards) == len(rollout.obs) == len(rollout.actions) == evaluation.steps[i, j]
            assert rollout.params.tobytes() == params[i].tobytes()
            assert (rollout.terminated, rollout.truncated) == (True, False)
            x, paid = rollout.obs[:, 0], -(rollout.obs[:, 0] ** 2) - 0.1 * rollout.actions[:, 0] ** 2
            assert rollout.rewards == pytest.approx(paid)
            assert rollout.final_obs[0] != x[-1]
    acted_on = np.concatenate([r.obs for rollouts in evaluation.rollouts for r in rollouts])
    assert evaluation.moments is not None
    assert evaluation.moments.count == len(acted_on)
    assert evaluation.moments.mean == pytest.approx(acted_on.mean(axis=0))
    assert evaluation.moments.std == pytest.approx(acted_on.std(axis=0))


def test_actions_are_clipped_for_the_environment_counted_and_recorded_as_drawn() -> None:
    class Clipped(Walk):
        seen: list[float] = []  # noqa: RUF012 - shared on purpose

        def __init__(self) -> None:
            super().__init__()
            self.action_space = spaces.Box(-0.1, 0.2, (1,), np.float64)

        def step(self, action: Array) -> Any:
            Clipped.seen.append(float(action[0]))
            return super().step(action)

    evaluation = EpisodeEvaluator(Clipped, WALKER).evaluate(
        proposal(np.zeros((1, 4)), episodes=4, sample=True, record=True), (1,)
    )
    drawn = np.concatenate([r.actions[:, 0] for r in evaluation.rollouts[0]])
    assert min(Clipped.seen) == -0.1
    assert max(Clipped.seen) == 0.2
    assert evaluation.clipped_steps == ((drawn < -0.1) | (drawn > 0.2)).sum() > 0
    one_by_one = EpisodeEvaluator(Clipped, WALKER, max_copies=1)
    again = one_by_one.evaluate(proposal(np.zeros((1, 4)), episodes=4, sample=True), (1,))
    assert again.clipped_steps == evaluation.clipped_steps


def test_a_task_may_deploy_samples() -> None:
    params = np.zeros((1, 4))
    mode = EpisodeEvaluator(Walk, WALKER).evaluate(proposal(params, episodes=2), (1,))
    deployed = EpisodeEvaluator(Walk, WALKER, deploy="sample").evaluate(proposal(params, episodes=2), (1,))
    asked = EpisodeEvaluator(Walk, WALKER).evaluate(proposal(params, episodes=2, sample=True), (1,))
    assert same(deployed, asked)
    assert not same(deployed, mode)


def test_a_deterministic_policy_cannot_be_sampled() -> None:
    with pytest.raises(ValueError, match="expected a stochastic one to sample from"):
        EpisodeEvaluator(Walk, Linear(2, 1)).evaluate(proposal(np.zeros((1, 3)), sample=True), (1,))


# Spaces ----------------------------------------------------------------------------------------------


class Echo(gym.Env[Any, Any]):
    """Three steps in the given spaces, remembering the actions."""

    told: list[Any] = []  # noqa: RUF012 - shared on purpose

    def __init__(self, observations: spaces.Space[Any], actions: spaces.Space[Any]) -> None:
        self.observation_space, self.action_space = observations, actions

    def _see(self) -> Any:
        return self.observation_space.sample()

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.observation_space.seed(seed)
        self.t = 0
        return self._see(), {}

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action), f"{action!r} is not in {self.action_space}"
        Echo.told.append(action)
        self.t += 1
        return self._see(), 1.0, self.t == 3, False, {}


BOX = spaces.Box(-1.0, 1.0, (2,))


@pytest.mark.parametrize(
    ("actions", "policy"),
    [
        (spaces.Discrete(3, start=5), PlainSoftmax(Linear(2, 3), (3,))),
        (spaces.MultiDiscrete([2, 3]), PlainSoftmax(Linear(2, 5), (2, 3))),
        (spaces.MultiDiscrete([[2, 3], [4, 2]]), PlainSoftmax(Linear(2, 11), (2, 3, 4, 2))),
        (spaces.MultiDiscrete([2, 3], start=[7, -1]), PlainSoftmax(Linear(2, 5), (2, 3))),
        (spaces.Box(-2.0, 3.0, (2, 2)), PlainGaussian(Linear(2, 4))),
        (spaces.Box(-2, 3, (1,), np.int64), PlainGaussian(Linear(2, 1))),
    ],
)
def test_every_kind_of_action_reaches_the_environment_in_its_own_form(
    actions: spaces.Space[Any], policy: Policy
) -> None:
    Echo.told = []
    evaluator = EpisodeEvaluator(lambda: Echo(BOX, actions), policy)
    params = 3.0 * candidates(policy, 20)
    evaluation = evaluator.evaluate(proposal(params, sample=True), (1,))
    assert evaluation.failures == ()
    assert (evaluation.returns == 3.0).all()
    assert len({str(action) for action in Echo.told}) > 2


@pytest.mark.parametrize(
    ("observations", "size"),
    [
        (spaces.Discrete(4), 4),
        (spaces.MultiDiscrete([2, 3]), 5),
        (spaces.MultiBinary(3), 3),
        (spaces.Box(0, 255, (2, 2, 3), np.uint8), 12),
        (spaces.Box(-1.0, 1.0, ()), 1),
        (spaces.Dict({"a": BOX, "b": spaces.Discrete(3)}), 5),
        (spaces.Tuple((BOX, spaces.Dict({"c": spaces.Discrete(2)}))), 4),
    ],
)
def test_every_kind_of_observation_is_flattened_as_gymnasium_does(
    observations: spaces.Space[Any], size: int
) -> None:
    policy = PlainGaussian(Linear(size, 1))
    evaluator = EpisodeEvaluator(lambda: Echo(observations, spaces.Box(-1.0, 1.0, (1,))), policy)
    assert evaluator.interface.obs_size == size
    params = candidates(policy, 1)
    rollout = evaluator.evaluate(proposal(params, sample=True, record=True), (1,)).rollouts[0][0]
    env = Echo(observations, BOX)
    first, _ = env.reset(seed=seed_of(1, "episode", 0))
    assert rollout.obs[0] == pytest.approx(np.ravel(spaces.flatten(observations, first)))


@pytest.mark.parametrize(
    ("observations", "actions", "message"),
    [
        (
            spaces.Graph(BOX, None),
            BOX,
            "observation space: expected one that Gymnasium can flatten to a vector",
        ),
        (spaces.Sequence(BOX), BOX, "observation space: expected one that Gymnasium can flatten"),
        (
            BOX,
            spaces.Text(3),
            "action space: expected Discrete, MultiDiscrete, MultiBinary or Box, got Text",
        ),
        (
            BOX,
            spaces.Dict({"a": BOX}),
            "action space: expected Discrete, MultiDiscrete, MultiBinary or Box, got Dict",
        ),
    ],
)
def test_a_space_that_does_not_fit_is_refused_by_name(observations: Any, actions: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Interface(observations, actions)


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (Linear(3, 1), "policy: expected one for observations of 2 numbers"),
        (Linear(2, 2), "policy: expected actions of 1 numbers, got 2"),
    ],
)
def test_a_policy_of_the_wrong_size_is_refused_before_the_first_rollout(policy: Policy, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        EpisodeEvaluator(Walk, policy)


def test_candidates_of_the_wrong_length_are_refused() -> None:
    with pytest.raises(ValueError, match="params: expected 4 numbers per candidate, got 3"):
        EpisodeEvaluator(Walk, WALKER).evaluate(proposal(np.zeros((1, 3))), (1,))


# Faults ----------------------------------------------------------------------------------------------


class Faulty(Walk):
    """A walk in which something is wrong from the second step of some episodes on."""

    fault: Callable[["Faulty"], Any] = staticmethod(lambda env: 0.0)
    where = "step"

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        assert seed is not None
        self.bad = seed == seed_of(1, "episode", 1)
        if self.bad and self.where == "reset":
            raise RuntimeError("no ground beneath")
        return super().reset(seed=seed, options=options)

    def step(self, action: Array) -> Any:
        assert np.isfinite(action).all(), "a non-finite action reached the environment"
        obs, reward, terminated, truncated, info = super().step(action)
        if self.bad and self.where == "step" and self.t == 2:
            return obs, self.fault(self), terminated, truncated, info
        if self.bad and self.where == "observe" and self.t == 2:
            return obs * np.nan, reward, terminated, truncated, info
        return obs, reward, terminated, truncated, info


def raises(env: Faulty) -> float:
    raise RuntimeError(f"hit the wall at {env.t}")


FAULTS: list[tuple[str, Callable[[Faulty], Any], str, int]] = [
    ("step", lambda _: float("nan"), "the reward is nan at step 1", 2),
    ("step", lambda _: float("-inf"), "the reward is -inf at step 1", 2),
    ("step", lambda _: None, "step: TypeError", 2),
    ("step", lambda _: 1 + 2j, "step: TypeError", 2),
    ("step", lambda _: "1.5", "step: TypeError: expected a real number as reward", 2),
    ("step", lambda _: np.ones(3), "step: TypeError", 2),
    ("step", raises, "step: RuntimeError: hit the wall at 2", 2),
    ("observe", lambda _: 0.0, "the observation is not finite at step 2", 2),
    ("reset", lambda _: 0.0, "reset: RuntimeError: no ground beneath", 0),
]


@pytest.mark.parametrize(("where", "fault", "reason", "steps"), FAULTS)
def test_a_fault_fails_its_episode_and_no_other(
    where: str, fault: Callable[[Faulty], Any], reason: str, steps: int
) -> None:
    kind = type("Kind", (Faulty,), {"where": where, "fault": staticmethod(fault)})
    params = 0.2 * candidates(WALKER, 2)
    evaluation = EpisodeEvaluator(kind, WALKER, max_copies=2).evaluate(proposal(params, episodes=3), (1,))
    healthy = EpisodeEvaluator(Walk, WALKER).evaluate(proposal(params, episodes=3), (1,))
    assert np.isnan(evaluation.returns[:, 1]).all()
    assert evaluation.returns[:, [0, 2]].tobytes() == healthy.returns[:, [0, 2]].tobytes()
    assert [(f.candidate, f.episode) for f in evaluation.failures] == [(0, 1), (1, 1)]
    assert all(
        f.reason.startswith(reason) and f.seed == seed_of(1, "episode", 1) for f in evaluation.failures
    )
    assert np.isfinite(evaluation.fitness).all()
    assert evaluation.steps[0, 1] in (steps, steps - 1)


def test_the_traceback_of_a_fault_is_shortened_to_the_line_that_raised() -> None:
    kind = type("Kind", (Faulty,), {"where": "step", "fault": staticmethod(raises)})
    evaluation = EpisodeEvaluator(kind, WALKER).evaluate(proposal(np.zeros((1, 4)), episodes=2), (1,))
    assert "test_episodes.py:" in evaluation.failures[0].reason


def test_an_action_that_is_not_a_number_never_reaches_the_environment() -> None:
    params = np.array([[0.1, 0.0, 0.0, 0.0], [np.nan, 0.0, 0.0, 0.0], [1e308, 1e308, 0.0, 0.0]])
    evaluation = EpisodeEvaluator(Faulty, WALKER).evaluate(proposal(params), (9,))
    assert np.isfinite(evaluation.returns[0, 0])
    assert np.isnan(evaluation.returns[1:, 0]).all()
    assert evaluation.failures[0].reason == "the action is not finite at step 0"
    assert evaluation.steps[1, 0] == 0
    assert proposal(params).cost == 3  # failures are charged like any other rollout


def test_a_candidate_that_fails_does_not_disturb_the_draws_of_the_others() -> None:
    good, bad = np.array([[0.1, 0.0, 0.0, 0.0]]), np.full((1, 4), np.nan)
    evaluator = EpisodeEvaluator(Walk, WALKER)
    alone = evaluator.evaluate(proposal(good, episodes=3, sample=True), (1,)).returns[0]
    together = evaluator.evaluate(
        proposal(np.concatenate([good, bad]), episodes=3, sample=True), (1,)
    ).returns[0]
    assert together.tobytes() == alone.tobytes()


def test_failed_episodes_are_left_out_of_the_record() -> None:
    kind = type("Kind", (Faulty,), {"where": "step", "fault": staticmethod(raises)})
    evaluation = EpisodeEvaluator(kind, WALKER).evaluate(
        proposal(np.zeros((2, 4)), episodes=3, sample=True, record=True, moments=True), (1,)
    )
    assert [len(rollouts) for rollouts in evaluation.rollouts] == [2, 2]
    assert evaluation.moments is not None
    assert evaluation.moments.count == 4 * 5


def test_an_environment_that_cannot_be_rebuilt_fails_its_episodes() -> None:
    built = []

    class Fragile(Walk):
        def __init__(self) -> None:
            if built:
                raise OSError("the licence server is down")
            built.append(self)
            super().__init__()

        def step(self, action: Array) -> Any:
            raise RuntimeError("broken")

        def close(self) -> None:
            raise RuntimeError("cannot close")

    evaluation = EpisodeEvaluator(Fragile, WALKER, max_copies=1).evaluate(
        proposal(np.zeros((1, 4)), episodes=3), (1,)
    )
    reasons = [failure.reason.split(" (")[0] for failure in evaluation.failures]
    assert reasons == ["step: RuntimeError: broken", *["reset: OSError: the licence server is down"] * 2]


def test_moments_merge_to_those_of_everything() -> None:
    data = stream(1).standard_normal((30, 2)) * [1.0, 100.0] + [5.0, -1e3]
    merged = Moments.empty(2)
    for part in np.split(data, [3, 17]):
        mean = part.mean(axis=0)
        merged = merged + Moments(len(part), mean, ((part - mean) ** 2).sum(axis=0)) + Moments.empty(2)
    assert merged.count == 30
    assert merged.mean == pytest.approx(data.mean(axis=0))
    assert merged.std == pytest.approx(data.std(axis=0))


# Functions -------------------------------------------------------------------------------------------

SPACE = Space((Parameter("kp", start=1.0, lower=0.1, upper=10.0, scale="log"), Parameter("kd", start=1.0)))


def test_a_function_is_given_named_values_and_the_seed_of_the_episode() -> None:
    seen = []

    def function(params: Any, seed: int) -> float:
        seen.append((params["kp"], params["kd"], seed))
        return float(params["kp"])

    params = np.array([[0.0, 2.0], [1.0, -1.0]])
    evaluation = FunctionEvaluator(function, SPACE).evaluate(proposal(params, episodes=2), (3, 4))
    seeds = [seed_of(3, 4, "episode", j) for j in range(2)]
    expected = [(kp, kd, seed) for kp, kd in ((0.1, 2.0), (10.0, -1.0)) for seed in seeds]
    assert [pytest.approx(row) for row in expected] == seen
    assert evaluation.returns == pytest.approx(np.array([[0.1, 0.1], [10.0, 10.0]]))


def test_a_function_that_raises_or_returns_no_number_fails_that_episode() -> None:
    def function(params: Any, seed: int) -> Any:
        if params["kd"] < 0:
            raise RuntimeError("stalled")
        return [None, float("nan"), 2.0][round(params["kd"])]

    params = np.array([[0.0, -1.0], [0.0, 0.0], [0.0, 1.0], [0.0, 2.0]])
    evaluation = FunctionEvaluator(function, SPACE).evaluate(proposal(params), (1,))
    assert np.isnan(evaluation.returns[:3, 0]).all()
    assert evaluation.returns[3, 0] == 2.0
    assert evaluation.failures[0].reason.startswith("RuntimeError: stalled (")
    assert "test_episodes.py" in evaluation.failures[0].reason
    assert 'raise RuntimeError("stalled")' in evaluation.failures[0].traceback
    assert "the function returned nan" in evaluation.failures[2].reason
    with pytest.raises(ValueError, match="no actions to draw or record"):
        FunctionEvaluator(function, SPACE).evaluate(proposal(params, sample=True), (1,))
