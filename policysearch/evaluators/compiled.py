"""Episodes at the speed of the physics: the whole closed loop as one compiled function.

For simulators and policies that have a compiled form. Threads run episodes side by side without the
interpreter. The numbers are those of `EpisodeEvaluator` with the same policy in the same environment, to the
last bit where the simulator is that environment to the last bit.
"""

import os
import time
from collections.abc import Hashable, Iterator
from functools import lru_cache
from typing import Any, cast

import numpy as np
from gymnasium import spaces
from jaxtyping import Float, Int
from numpy.random import PCG64, Generator

from policysearch.core import (
    Array,
    Evaluation,
    Failure,
    Policy,
    PolicyKernel,
    Proposal,
    Rollout,
    StochasticPolicy,
)
from policysearch.evaluators import loop
from policysearch.evaluators.interface import Interface
from policysearch.evaluators.results import (
    empty_results,
    evaluation_of,
    failed,
    part_of,
    reason,
    recorded,
    with_logs,
)
from policysearch.evaluators.runner import Runner
from policysearch.evaluators.shared import (
    Deploy,
    action_stream,
    check_deploy,
    check_fit,
    check_proposal,
    episode_seed,
)
from policysearch.evaluators.threads import Threads
from policysearch.jit import specialise
from policysearch.seeding import Key, stream
from policysearch.simulators import Simulator, compiled_functions

#: Memory for logs and action noise at a time.
LOG_BYTES = 64 * 2**20
#: The calling thread takes part in evaluations shorter than this; in longer ones it waits, so that Ctrl-C
#: is heard.
SHORT_SECONDS = 0.1


class CompiledEvaluator(Runner):
    """Runs a policy's kernel in a simulator.

    Args:
        simulator: the plant; see `policysearch.simulators`.
        policy: one with a `kernel`.
        max_episode_steps: after how many steps an episode is truncated.
        deploy: whether candidates run the policy's mode or draw from it. A proposal may ask for draws.
        common_random_numbers: whether episode j has the same seed for every candidate.
        threads: how many run episodes; by default one per processor. The numbers do not depend on it.

    Raises:
        ValueError: if the policy has no kernel or does not fit the simulator's spaces, or for an option that
            is not one.
    """

    description = "compiled rollouts"
    interface: Interface

    def __init__(
        self,
        simulator: Simulator,
        policy: Policy,
        *,
        max_episode_steps: int,
        deploy: Deploy = "mode",
        common_random_numbers: bool = True,
        threads: int | None = None,
    ) -> None:
        check_deploy(deploy)
        threads = (os.cpu_count() or 1) if threads is None else threads
        if threads < 1 or max_episode_steps < 1:
            raise ValueError(
                "threads, max_episode_steps: expected at least 1, "
                f"got {threads} threads and {max_episode_steps} steps"
            )
        kernel = getattr(policy, "kernel", None)
        if not isinstance(kernel, PolicyKernel):
            raise ValueError(f"policy: expected one with a kernel, got {policy}; use EpisodeEvaluator")
        self.simulator, self.policy, self.deploy = simulator, policy, deploy
        self.max_episode_steps, self.common_random_numbers = max_episode_steps, common_random_numbers
        self.interface = Interface(simulator.observation_space, simulator.action_space)
        self._worlds = [simulator.make_world()]
        self._threads, self._seconds_per_episode = threads, np.inf
        self._crew = Threads()
        self._raised: dict[int, str] = {}  # by the episodes of a part: what the simulator raised
        check_fit(policy, self.interface, self._first_observation())
        self._run = _compiled_loop(simulator, cast(Hashable, policy))
        self._low, self._high = _bounds(self.interface)

    def _first_observation(self) -> Float[Array, "o"]:
        obs = np.empty(self.interface.obs_size)
        reset, observe, _ = compiled_functions(self.simulator)
        reset(self._worlds[0], self.simulator.draw(stream(0)))
        observe(self._worlds[0], obs)
        return obs

    def compile(self) -> int:
        """Compile the loop of the rollouts; returns 1 if it was neither in memory nor on disk, else 0."""
        if self._run.signatures:
            return 0
        nothing, counter = np.empty(0, dtype=np.int64), np.zeros(1, dtype=np.int64)
        batch = loop.Batch(
            params=np.empty((0, self.policy.num_params)),
            candidate=nothing,
            draws=self.simulator.draw(stream(0))[None],
            draw_of=nothing,
            action_noise=np.empty((0, 0, 0)),
            low=self._low,
            high=self._high,
            limit=self.max_episode_steps,
        )
        self._run(self._worlds[0], counter, counter.copy(), batch, empty_results(0, self.interface.obs_size))
        return int(not self._run.stats.cache_hits)

    def close(self) -> None:
        """End the threads."""
        self._crew.close()
        self._worlds.clear()

    def evaluate(self, proposal: Proposal, key: Key) -> Evaluation:
        """Run every candidate for `proposal.episodes` episodes."""
        check_proposal(proposal, self.policy, self.deploy)
        n, k = len(proposal.params), proposal.episodes
        episodes, common = n * k, self.common_random_numbers
        seeds = [episode_seed(key, i, j, common=common) for i in range(1 if common else n) for j in range(k)]
        draws = np.array([self.simulator.draw(_as_gymnasium_seeds(seed)) for seed in seeds])
        draw_of = np.arange(episodes) % len(seeds)
        sampling = proposal.sample or self.deploy == "sample"
        params = np.ascontiguousarray(proposal.params, dtype=float)
        found = empty_results(episodes, self.interface.obs_size if proposal.moments else None)
        rollouts: dict[int, Rollout] = {}
        raised: dict[int, str] = {}
        for part in self._parts(episodes, recording=proposal.record, sampling=sampling):
            batch = loop.Batch(
                params=params,
                candidate=np.arange(part.start, part.stop) // k,
                draws=draws,
                draw_of=draw_of[part],
                action_noise=self._action_noise(part, k, key) if sampling else np.empty((0, 0, 0)),
                low=self._low,
                high=self._high,
                limit=self.max_episode_steps,
            )
            results = found if part == slice(0, episodes) else part_of(found, part)
            if proposal.record:
                sizes = self.interface.obs_size, self.interface.action_size
                results = with_logs(results, self.max_episode_steps, *sizes)
            self._work(batch, results)
            raised |= {part.start + e: reason for e, reason in self._raised.items()}
            if proposal.record:
                rollouts |= recorded(cast(StochasticPolicy, self.policy), batch, results, part.start)
        failures = [
            Failure(
                e // k, e % k, seeds[draw_of[e]], raised.get(e) or reason(found, e, self.simulator.failures)
            )
            for e in failed(found)
        ]
        return evaluation_of(proposal, found, failures, rollouts)

    def _parts(self, episodes: int, *, recording: bool, sampling: bool) -> Iterator[slice]:
        """All episodes, in parts whose logs and noise stay within LOG_BYTES."""
        numbers = self.interface.obs_size + self.interface.action_size + 1 if recording else 0
        numbers += self.policy.kernel.noise_size if sampling else 0  # type: ignore[attr-defined]
        at_once = max(1, LOG_BYTES // max(1, 8 * numbers * (self.max_episode_steps + 1)))
        for start in range(0, episodes, at_once):
            yield slice(start, min(start + at_once, episodes))

    def _action_noise(self, part: slice, k: int, key: Key) -> Float[Array, "E T z"]:
        policy, T = cast(StochasticPolicy, self.policy), self.max_episode_steps
        streams = (action_stream(key, e // k, e % k) for e in range(part.start, part.stop))
        return np.array([policy.noise(rng, T) for rng in streams])

    def _work(self, batch: loop.Batch, results: loop.Results) -> None:
        """Run the loop on every thread until all episodes are done."""
        self._raised.clear()
        began, episodes = time.perf_counter(), len(batch.candidate)
        counter = np.zeros(1, dtype=np.int64)
        joins = self._seconds_per_episode * episodes < SHORT_SECONDS
        threads = min(self._threads, episodes)
        self._worlds += [self.simulator.make_world() for _ in range(threads - len(self._worlds))]
        for world in self._worlds[joins:threads]:
            self._crew.start(self._run_all, world, counter, batch, results)
        try:
            if joins:
                self._run_all(self._worlds[0], counter, batch, results)
            self._crew.wait()
        except BaseException:
            counter[0] = episodes  # no thread starts another episode
            self._crew.wait()
            raise
        self._seconds_per_episode = (time.perf_counter() - began) / episodes

    def _run_all(
        self, world: Any, counter: Int[Array, "1"], batch: loop.Batch, results: loop.Results
    ) -> None:
        """The loop, begun again after an episode in which the simulator raised something."""
        current = np.full(1, -1)
        while True:
            try:
                self._run(world, counter, current, batch, results)
                return
            except Exception as error:  # the user's code may raise anything
                if current[0] < 0:
                    raise  # it did not even start
                e, current[0] = int(current[0]), -1
                results.end[e], self._raised[e] = loop.RAISED, f"step: {type(error).__name__}: {error}"


def _as_gymnasium_seeds(seed: int) -> Generator:
    """The generator that an environment of Gymnasium has after `reset(seed=seed)`."""
    return Generator(PCG64(seed))


def _bounds(interface: Interface) -> tuple[Float[Array, "a"], Float[Array, "a"]]:
    """The bounds of continuous actions; none of discrete ones."""
    space = interface.action_space
    if isinstance(space, spaces.Box):
        return space.low.ravel().astype(float), space.high.ravel().astype(float)
    return np.empty(0), np.empty(0)


@lru_cache
def _compiled_loop(simulator: Simulator, policy: Any) -> Any:
    """`loop.run_episodes` for this simulator and this policy."""
    interface = Interface(simulator.observation_space, simulator.action_space)
    kernel: PolicyKernel = policy.kernel
    space = simulator.action_space
    names = {"OBS": interface.obs_size, "ACTIONS": interface.action_size}
    if isinstance(space, spaces.Box):
        whole, single = np.issubdtype(space.dtype, np.integer), space.dtype == np.float32
        to_environment = specialise(loop.continuous_action, WHOLE=whole, SINGLE_ACTION=single, **names)
    else:
        first = tuple(np.ravel(space.start).tolist())
        to_environment = specialise(loop.discrete_action, FIRST_CHOICE=first, **names)
    single_obs = simulator.observation_space.dtype == np.float32
    reset, observe, step = compiled_functions(simulator)
    return specialise(
        loop.run_episodes,
        reset=reset,
        step=step,
        look=specialise(loop.look, observe=observe, SINGLE_OBS=single_obs, **names),
        act=kernel.act,
        to_environment=to_environment,
        STATE=policy.state_size,
        SCRATCH=kernel.scratch_size,
        **names,
    )
