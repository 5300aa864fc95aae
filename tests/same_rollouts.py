"""Evaluations that must be equal, and the proposals and evaluators to compare them with."""

import itertools
from typing import Any

import gymnasium as gym

from policysearch.core import Array, Evaluation, Proposal
from policysearch.evaluators import CompiledEvaluator, EpisodeEvaluator
from policysearch.evaluators.compiled import LANES
from policysearch.evaluators.interface import Interface, make_factory
from policysearch.simulators import find_simulator
from policysearch.tasks import make_policy


def assert_same(one: Evaluation, other: Evaluation) -> None:
    """Equality of everything, to the last bit."""
    assert one.returns.tobytes() == other.returns.tobytes()
    assert one.steps.tolist() == other.steps.tolist()
    assert one.failures == other.failures
    assert one.clipped_steps == other.clipped_steps
    assert (one.moments is None) == (other.moments is None)
    if one.moments is not None and other.moments is not None:
        assert one.moments.count == other.moments.count
        assert one.moments.mean.tobytes() == other.moments.mean.tobytes()
        assert one.moments.M2.tobytes() == other.moments.M2.tobytes()
    assert [len(episodes) for episodes in one.rollouts] == [len(episodes) for episodes in other.rollouts]
    for rollout, same in zip(itertools.chain(*one.rollouts), itertools.chain(*other.rollouts), strict=True):
        for name in ("params", "obs", "actions", "rewards", "final_obs"):
            assert getattr(rollout, name).tobytes() == getattr(same, name).tobytes()
        assert (rollout.terminated, rollout.truncated) == (same.terminated, same.truncated)


def asked(params: Array) -> dict[str, Proposal]:
    """All kinds of proposals."""
    return {
        "mode": Proposal(params, params[0]),
        "moments": Proposal(params, params[0], 3, moments=True),
        "drawn": Proposal(params, params[0], 2, sample=True),
        "recorded": Proposal(params, params[0], 2, sample=True, record=True, moments=True),
    }


def both(
    env_id: str, policy: str, lanes: int = LANES, **options: Any
) -> tuple[CompiledEvaluator, EpisodeEvaluator, Any]:
    env = gym.make(env_id)
    simulator, limit = find_simulator(env), env.spec.max_episode_steps or 1000  # type: ignore[union-attr]
    assert simulator is not None
    made = make_policy(policy, Interface(env.observation_space, env.action_space))
    ours = CompiledEvaluator(simulator, made, max_episode_steps=limit, lanes=lanes, **options)
    return ours, EpisodeEvaluator(make_factory(env_id, limit), made, **options), made
