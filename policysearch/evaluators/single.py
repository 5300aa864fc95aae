"""One episode by itself: what `lockstep` does, without the overhead of arrays with one row."""

import math
from typing import Any, cast

import numpy as np

from policysearch.core import Array, Moments, Rollout, StochasticPolicy
from policysearch.evaluators.acting import NOISE_BLOCK, row_actor
from policysearch.evaluators.copies import of_shape, real_number
from policysearch.evaluators.episode import Episode, Setting, failed
from policysearch.evaluators.shared import Outcome, describe_error


def run_single(setting: Setting, pair: tuple[int, int]) -> Outcome:
    """What comes of one episode."""
    copies, proposal, sampling = setting.copies, setting.proposal, setting.sampling
    episode = setting.episode(*pair, 0)
    try:
        obs = copies.begin(0, episode.seed)
    except Exception as error:  # the user's code may raise anything
        copies.discard(0)
        return failed(episode, describe_error("reset: ", error))
    act = row_actor(setting.policy, copies.interface.action_size, sampling=sampling)
    params, noise = proposal.params[episode.candidate], np.empty((NOISE_BLOCK, 0))
    state, mean, M2 = map(np.zeros, (setting.policy.state_size, obs.size, obs.size))
    observe, to_env, step = copies.observe, copies.row_to_env, copies.copy(0).step
    total, length, clipped, terminated, truncated = 0.0, 0, 0, False, False
    while not (terminated or truncated):
        if sampling and length % NOISE_BLOCK == 0:
            noise = _noise(setting, episode)
        action = act(params, obs, state, noise[length % NOISE_BLOCK])
        if not all(map(math.isfinite, action.tolist())):
            what = "action" if np.isfinite(obs).all() else "observation"
            return failed(episode, f"the {what} is not finite at step {length}", length, clipped)
        if proposal.moments:
            delta = obs - mean  # Welford 1962
            mean += delta / (length + 1)
            M2 += delta * (obs - mean)
        if proposal.record:
            episode.obs.append(obs.copy())
            episode.actions.append(action.copy())
        env_action, outside = to_env(action)
        clipped += outside
        length += 1
        try:
            seen, reward, terminated, truncated, _ = step(env_action)
            seen = seen if observe is None else observe(seen)
            obs[:] = (
                seen if type(seen) is np.ndarray and seen.shape == obs.shape else of_shape(seen, obs.shape)
            )
            reward = real_number(reward)
        except Exception as error:  # the user's code may raise anything
            copies.discard(0)
            return failed(episode, describe_error("step: ", error), length, clipped)
        if not math.isfinite(reward):
            return failed(episode, f"the reward is {reward} at step {length - 1}", length, clipped)
        total += reward
        episode.rewards.append(reward)
    if not math.isfinite(total):
        return failed(episode, f"the return is {total}", length, clipped)
    moments = Moments(length, mean, M2) if proposal.moments else None
    rollout = _rollout(setting, episode, obs, terminated, truncated) if proposal.record else None
    return Outcome(*pair, total, length, clipped, rollout=rollout, moments=moments)


def _noise(setting: Setting, episode: Episode) -> Array:
    """The next steps of action noise."""
    return cast(StochasticPolicy, setting.policy).noise(cast(np.random.Generator, episode.rng), NOISE_BLOCK)


def _rollout(
    setting: Setting, episode: Episode, final_obs: Array, terminated: Any, truncated: Any
) -> Rollout:
    policy, params = cast(StochasticPolicy, setting.policy), setting.proposal.params[episode.candidate]
    record = (np.array(episode.obs), np.array(episode.actions), np.array(episode.rewards), final_obs)
    return Rollout(policy, params, *record, bool(terminated), bool(truncated))
