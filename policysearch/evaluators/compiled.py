"""Episodes at the speed of the physics: the whole closed loop as one compiled function.

For simulators and policies that have a compiled form. Threads run episodes side by side without the
interpreter. The numbers are those of `EpisodeEvaluator` with the same policy in the same environment, to the
last bit where the simulator is that environment to the last bit.
"""

import os
import queue
import threading
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
    Proposal,
    Rollout,
    StochasticPolicy,
    kernel_of,
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
from policysearch.evaluators.runner import (
    Deploy,
    Runner,
    action_stream,
    check_deploy,
    check_fit,
    check_proposal,
    episode_seed,
)
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
        kernel = kernel_of(policy)
        if kernel is None:
            raise ValueError(f"policy: expected one with a kernel, got {policy}; use EpisodeEvaluator")
        self.simulator, self.policy, self.deploy = simulator, policy, deploy
        self.max_episode_steps, self.common_random_numbers = max_episode_steps, common_random_numbers
        self.interface = Interface(simulator.observation_space, simulator.action_space)
        self._worlds = [simulator.make_world()]
        self._threads, self._seconds_per_episode = threads, np.inf
        self._crew = Threads()
        draw, obs = simulator.draw(stream(0)), np.empty(self.interface.obs_size)
        reset, observe, _ = compiled_functions(simulator)
        reset(self._worlds[0], draw)
        observe(self._worlds[0], obs)
        check_fit(policy, self.interface, obs)
        self._noise_size = kernel.noise_size
        self._run = _compiled_loop(simulator, cast(Hashable, policy))
        self._no_episodes = _no_episodes(self.interface, policy.num_params, draw, max_episode_steps)

    def compile(self) -> int:
        """Compile the loop of the rollouts; returns 1 if it was neither in memory nor on disk, else 0."""
        if self._run.signatures:
            return 0
        counter = np.zeros(1, dtype=np.int64)
        results = empty_results(0, self.interface.obs_size)
        self._run(self._worlds[0], counter, counter.copy(), self._no_episodes, results)
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
        rollouts: list[list[Rollout]] = [[] for _ in range(n if proposal.record else 0)]
        raised: dict[int, str] = {}
        for part in self._parts(episodes, recording=proposal.record, sampling=sampling):
            batch = self._no_episodes._replace(
                params=params,
                candidate=np.arange(part.start, part.stop) // k,
                draws=draws,
                draw_of=draw_of[part],
            )
            if sampling:
                batch = batch._replace(action_noise=self._action_noise(part, k, key))
            results = found if part == slice(0, episodes) else part_of(found, part)
            if proposal.record:
                sizes = self.interface.obs_size, self.interface.action_size
                results = with_logs(results, self.max_episode_steps, *sizes)
            raised |= {part.start + e: reason for e, reason in self._work(batch, results).items()}
            if proposal.record:
                for i, rollout in recorded(cast(StochasticPolicy, self.policy), batch, results):
                    rollouts[i].append(rollout)
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
        numbers += self._noise_size if sampling else 0
        at_once = max(1, LOG_BYTES // max(1, 8 * numbers * (self.max_episode_steps + 1)))
        for start in range(0, episodes, at_once):
            yield slice(start, min(start + at_once, episodes))

    def _action_noise(self, part: slice, k: int, key: Key) -> Float[Array, "E T z"]:
        policy, T = cast(StochasticPolicy, self.policy), self.max_episode_steps
        streams = (action_stream(key, e // k, e % k) for e in range(part.start, part.stop))
        return np.array([policy.noise(rng, T) for rng in streams])

    def _work(self, batch: loop.Batch, results: loop.Results) -> dict[int, str]:
        """Run the loop on every thread until all episodes are done; returns what the simulator raised in some."""
        raised: dict[int, str] = {}
        began, episodes = time.perf_counter(), len(batch.candidate)
        counter = np.zeros(1, dtype=np.int64)
        joins = self._seconds_per_episode * episodes < SHORT_SECONDS
        threads = min(self._threads, episodes)
        self._worlds += [self.simulator.make_world() for _ in range(threads - len(self._worlds))]
        for world in self._worlds[joins:threads]:
            self._crew.start(self._run_all, world, counter, batch, results, raised)
        try:
            if joins:
                self._run_all(self._worlds[0], counter, batch, results, raised)
            self._crew.wait()
        except BaseException:
            counter[0] = episodes  # no thread starts another episode
            self._crew.wait()
            raise
        self._seconds_per_episode = (time.perf_counter() - began) / episodes
        return raised

    def _run_all(
        self,
        world: Any,
        counter: Int[Array, "1"],
        batch: loop.Batch,
        results: loop.Results,
        raised: dict[int, str],
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
                results.end[e], raised[e] = loop.RAISED, f"step: {type(error).__name__}: {error}"


def _as_gymnasium_seeds(seed: int) -> Generator:
    """The generator that an environment of Gymnasium has after `reset(seed=seed)`."""
    return Generator(PCG64(seed))


def _no_episodes(interface: Interface, num_params: int, draw: Array, limit: int) -> loop.Batch:
    """A batch without episodes, with the bounds of continuous actions; discrete ones have none."""
    space, nothing = interface.action_space, np.empty(0, dtype=np.int64)
    low = high = np.empty(0)
    if isinstance(space, spaces.Box):
        low, high = space.low.ravel().astype(float), space.high.ravel().astype(float)
    return loop.Batch(
        params=np.empty((0, num_params)),
        candidate=nothing,
        draws=draw[None],
        draw_of=nothing,
        action_noise=np.empty((0, 0, 0)),
        low=low,
        high=high,
        limit=limit,
    )


@lru_cache
def _compiled_loop(simulator: Simulator, policy: Any) -> Any:
    """`loop.run_episodes` for this simulator and this policy."""
    interface = Interface(simulator.observation_space, simulator.action_space)
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
        act=policy.kernel.act,
        to_environment=to_environment,
        STATE=policy.state_size,
        SCRATCH=policy.kernel.scratch_size,
        **names,
    )


class Threads:
    """Threads that wait for work; a hand-over takes half the time of `concurrent.futures`."""

    def __init__(self) -> None:
        self._inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._outbox: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        self._started = self._busy = 0

    def start(self, function: Any, *arguments: Any) -> None:
        """Have a thread call `function(*arguments)`."""
        if self._busy == self._started:
            queues = (self._inbox, self._outbox)
            threading.Thread(target=_work, args=queues, name="rollouts", daemon=True).start()
            self._started += 1
        self._busy += 1
        self._inbox.put((function, arguments))

    def wait(self) -> None:
        """Wait for all that was started; raises what it raised."""
        while self._busy:
            try:
                error = self._outbox.get(timeout=0.2)  # so that Ctrl-C is heard
            except queue.Empty:
                continue
            self._busy -= 1
            if error is not None:
                raise error

    def close(self) -> None:
        """End the threads."""
        for _ in range(self._started):
            self._inbox.put(None)
        self._started = 0

    __del__ = close


def _work(inbox: "queue.SimpleQueue[Any]", outbox: "queue.SimpleQueue[BaseException | None]") -> None:
    """What a thread does until it is ended; it holds no reference to its work in between."""
    while (work := inbox.get()) is not None:
        function, arguments = work
        del work
        error = None
        try:
            function(*arguments)
        except BaseException as raised:  # the caller's thread raises it
            error = raised
        del function, arguments
        outbox.put(error)
