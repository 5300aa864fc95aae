"""Episodes at the speed of the physics: the whole closed loop as one compiled function.

For simulators and policies that have a compiled form. Threads run episodes side by side without the
interpreter. The numbers are those of `EpisodeEvaluator` with the same policy in the same environment, to the
last bit where the simulator is that environment to the last bit.
"""

import os
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from functools import cached_property, partial
from typing import Any, cast

import numpy as np
from gymnasium import spaces
from jaxtyping import Float, Int
from numba.core.errors import NumbaError

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
from policysearch.evaluators.compilation import compiled_lanes, compiled_loop, may_run_in_lanes
from policysearch.evaluators.interface import Interface
from policysearch.evaluators.lanes import AGAIN
from policysearch.evaluators.results import (
    batch_of,
    empty_results,
    evaluation_of,
    failed,
    outcomes_of,
    part_of,
    put_back,
    reason,
    recorded,
    results_of,
    with_logs,
)
from policysearch.evaluators.runner import (
    Deploy,
    Divisible,
    Outcome,
    Pair,
    check_deploy,
    check_fit,
    check_proposal,
    episode_seeds,
)
from policysearch.evaluators.seeds import of_seeds, streams
from policysearch.evaluators.threads import Threads
from policysearch.seeding import Key, stream
from policysearch.simulators import Simulator, compiled_functions

#: Memory for logs and action noise at a time.
LOG_BYTES = 64 * 2**20
#: The calling thread takes part in evaluations shorter than this; in longer ones it waits, so that Ctrl-C
#: is heard.
SHORT_SECONDS = 0.1
#: It runs those alone that take no longer than this: by when another thread has begun, they are nearly done.
TINY_SECONDS = 1e-3
#: Episodes that a thread runs at once: more are no faster on short or long episodes (`experiments/benchmarks`).
LANES = 32
#: Options of an evaluator that another process is told.
_OPTIONS = ("max_episode_steps", "deploy", "common_random_numbers", "lanes")


class CompiledEvaluator(Divisible):
    """Runs a policy's kernel in a simulator.

    Args:
        simulator: the plant; see `policysearch.simulators`.
        policy: one with a `kernel`.
        max_episode_steps: after how many steps an episode is truncated.
        deploy: whether candidates run the policy's mode or draw from it. A proposal may ask for draws.
        common_random_numbers: whether episode j has the same seed for every candidate.
        threads: how many run episodes; by default one per processor. The numbers do not depend on it.
        lanes: how many episodes a thread runs at once, where simulator and policy allow it; with 1, one after
            the other. The numbers do not depend on it.

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
        lanes: int = LANES,
    ) -> None:
        check_deploy(deploy)
        threads = (os.cpu_count() or 1) if threads is None else threads
        if threads < 1 or max_episode_steps < 1 or lanes < 1:
            raise ValueError(
                "threads, max_episode_steps, lanes: expected at least 1, "
                f"got {threads} threads, {max_episode_steps} steps and {lanes} lanes"
            )
        kernel = kernel_of(policy)
        if kernel is None:
            raise ValueError(f"policy: expected one with a kernel, got {policy}; use EpisodeEvaluator")
        self.simulator, self.policy, self.deploy = simulator, policy, deploy
        self.max_episode_steps, self.common_random_numbers = max_episode_steps, common_random_numbers
        self.interface = Interface(simulator.observation_space, simulator.action_space)
        self._worlds = [simulator.make_world()]
        self._threads, self._seconds_per_episode = threads, np.inf
        self._crew, self._is_compiled = Threads(), False
        draw, obs = simulator.draw(stream(0)), np.empty(self.interface.obs_size)
        reset, observe, _ = compiled_functions(simulator)
        reset(self._worlds[0], draw)
        observe(self._worlds[0], obs)
        check_fit(policy, self.interface, obs)
        self._noise_size = kernel.noise_size
        self.lanes = lanes
        self._many: Any = (
            compiled_lanes(simulator, cast(Hashable, policy), lanes)
            if lanes > 1 and deploy == "mode" and may_run_in_lanes(simulator, policy)
            else None
        )
        self._no_episodes = _no_episodes(self.interface, policy.num_params, draw, max_episode_steps)

    @cached_property
    def _run(self) -> Any:
        """The compiled loop of one episode."""
        return compiled_loop(self.simulator, cast(Hashable, self.policy))

    def __reduce__(self) -> Any:
        """Another process builds it anew, for one thread."""
        options = {name: getattr(self, name) for name in _OPTIONS}
        return partial(CompiledEvaluator, threads=1, **options), (self.simulator, self.policy)

    def compile(self) -> int:
        """Compile the loop of the rollouts; returns 1 if it was neither in memory nor on disk, else 0."""
        try:
            return self._compiled(self._run if self._many is None else self._many)
        except NumbaError:  # what one episode can do, many at once perhaps cannot
            if self._many is None:
                raise
        self._many = None
        return self.compile()

    def _compiled(self, run: Any) -> int:
        if self._is_compiled or run.signatures:
            self._is_compiled = True
            return 0
        of_seeds([0])  # compiled code that every evaluation needs
        results, counter = empty_results(0, self.interface.obs_size), np.zeros(1, dtype=np.int64)
        first = self.lanes if run is self._many else self._worlds[0]
        run(first, counter, np.full(self.lanes, -1), self._no_episodes, results)
        return int(not run.stats.cache_hits)

    def close(self) -> None:
        """End the threads."""
        self._crew.close()
        self._worlds.clear()

    def evaluate(self, proposal: Proposal, key: Key) -> Evaluation:
        """Run every candidate for `proposal.episodes` episodes."""
        self.check(proposal)
        found, failures, rollouts = self._made(proposal, key, np.arange(proposal.cost))
        return evaluation_of(proposal, found, failures, rollouts)

    def check(self, proposal: Proposal) -> None:
        """Raise ValueError for a proposal that the policy cannot run."""
        check_proposal(proposal, self.policy, self.deploy)

    def outcomes(self, proposal: Proposal, key: Key, pairs: Sequence[Pair]) -> list[Outcome]:
        """What comes of these (candidate, episode) pairs of a proposal; it does not depend on the others."""
        episodes = np.array([i * proposal.episodes + j for i, j in pairs])
        return outcomes_of(proposal, pairs, *self._made(proposal, key, episodes))

    def _made(
        self, proposal: Proposal, key: Key, episodes: Int[Array, "E"]
    ) -> tuple[loop.Results, list[Failure], list[tuple[int, Rollout]]]:
        """The results of some episodes, their failures in order, and the rollouts, with candidates, of the others."""
        k, nothing = proposal.episodes, self._no_episodes
        seeds = episode_seeds(key, len(proposal.params), k, common=self.common_random_numbers)
        draws = np.array([self.simulator.draw(rng) for rng in of_seeds(seeds)])
        candidates, draw_of = episodes // k, episodes % len(seeds)
        sampling = proposal.sample or self.deploy == "sample"
        params = np.ascontiguousarray(proposal.params, dtype=float)
        found = empty_results(len(episodes), self.interface.obs_size if proposal.moments else None)
        rollouts: list[tuple[int, Rollout]] = []
        raised: dict[int, str] = {}
        for part in self._parts(len(episodes), recording=proposal.record, sampling=sampling):
            drawn = self.policy, self.max_episode_steps, episodes[part], k, key
            noise = _action_noise(*drawn) if sampling else nothing.action_noise
            of_part = params, candidates[part], draws, draw_of[part], noise
            batch = loop.Batch(*of_part, nothing.low, nothing.high, nothing.limit)
            results = found if part == slice(0, len(episodes)) else part_of(found, part)
            if proposal.record:
                sizes = self.interface.obs_size, self.interface.action_size
                results = with_logs(results, self.max_episode_steps, *sizes)
            raised |= {part.start + e: reason for e, reason in self._work(batch, results).items()}
            if proposal.record:
                rollouts += recorded(cast(StochasticPolicy, self.policy), batch, results)
        failures = []
        for e in failed(found):
            i, j = divmod(int(episodes[e]), k)
            why = raised.get(e) or reason(found, e, self.simulator.failures)
            failures.append(Failure(i, j, seeds[draw_of[e]], why))
        return found, failures, rollouts

    def _parts(self, episodes: int, *, recording: bool, sampling: bool) -> Iterator[slice]:
        """All episodes, in parts whose logs and noise stay within LOG_BYTES."""
        numbers = self.interface.obs_size + self.interface.action_size + 1 if recording else 0
        numbers += self._noise_size if sampling else 0
        at_once = max(1, LOG_BYTES // max(1, 8 * numbers * (self.max_episode_steps + 1)))
        for start in range(0, episodes, at_once):
            yield slice(start, min(start + at_once, episodes))

    def _work(self, batch: loop.Batch, results: loop.Results) -> dict[int, str]:
        """Run all episodes; returns what the simulator raised in some."""
        raised: dict[int, str] = {}
        plain = not len(batch.action_noise) and not len(results.obs)  # no drawn actions, no logs
        if plain and not self._is_compiled:
            self.compile()
        if self._many is None or not plain:
            self._run_alone(batch, results, raised)
            return raised
        episodes = len(batch.candidate)
        threads = self._threads_for(episodes)
        lanes = min(self.lanes, -(-episodes // threads))
        self._spread(partial(_in_lanes, self._many), [lanes] * threads, batch, results)
        if not (results.end == AGAIN).any():
            return raised
        again = np.flatnonzero(results.end == AGAIN)
        some = results_of(results, again)
        self._run_alone(batch_of(batch, again), some, raised)
        put_back(some, results, again)
        return {int(again[e]): reason for e, reason in raised.items()}

    def _run_alone(self, batch: loop.Batch, results: loop.Results, raised: dict[int, str]) -> None:
        """Run all episodes, one after the other on each thread; adds what the simulator raised in some."""
        threads = self._threads_for(len(batch.candidate))
        self._worlds += [self.simulator.make_world() for _ in range(threads - len(self._worlds))]
        self._spread(partial(_one_by_one, self._run, raised=raised), self._worlds[:threads], batch, results)

    def _threads_for(self, episodes: int) -> int:
        """How many threads are worth it, by the time that episodes have taken so far."""
        return 1 if self._seconds_per_episode * episodes < TINY_SECONDS else min(self._threads, episodes)

    def _spread(self, run: Callable[..., None], places: Sequence[Any], batch: loop.Batch, *more: Any) -> None:
        """Call `run` on a thread for each of the places until all episodes are done."""
        began, episodes = time.perf_counter(), len(batch.candidate)
        counter = np.zeros(1, dtype=np.int64)
        joins = self._seconds_per_episode * episodes < SHORT_SECONDS
        for place in places[joins:]:
            self._crew.start(run, place, counter, batch, *more)
        try:
            if joins:
                run(places[0], counter, batch, *more)
            self._crew.wait()
        except BaseException:
            counter[0] = episodes  # no thread starts another episode
            self._crew.wait()
            raise
        self._seconds_per_episode = (time.perf_counter() - began) * len(places) / episodes  # of one thread


def _action_noise(
    policy: Policy, T: int, episodes: Int[Array, "E"], k: int, key: Key
) -> Float[Array, "E T z"]:
    """What the actions of some episodes are drawn with, at k episodes per candidate."""
    drawing = streams((*key, "action"), [divmod(e, k) for e in episodes.tolist()])
    return np.array([cast(StochasticPolicy, policy).noise(rng, T) for rng in drawing])


def _in_lanes(
    run: Any, lanes: int, counter: Int[Array, "1"], batch: loop.Batch, results: loop.Results
) -> None:
    """Many episodes at once; those that were running when the simulator raised are marked AGAIN."""
    current = np.full(lanes, -1)
    while True:
        try:
            run(lanes, counter, current, batch, results)
            return
        except Exception:  # the user's code may raise anything
            running = current[current >= 0]
            if not running.size:
                raise  # it did not even start
            results.end[running] = AGAIN
            current[:] = -1


def _one_by_one(
    run: Any,
    world: Any,
    counter: Int[Array, "1"],
    batch: loop.Batch,
    results: loop.Results,
    *,
    raised: dict[int, str],
) -> None:
    """One episode after the other; the loop is begun again after one in which the simulator raised something."""
    current = np.full(1, -1)
    while True:
        try:
            run(world, counter, current, batch, results)
            return
        except Exception as error:  # the user's code may raise anything
            if current[0] < 0:
                raise  # it did not even start
            e, current[0] = int(current[0]), -1
            results.end[e], raised[e] = loop.RAISED, f"step: {type(error).__name__}: {error}"


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
