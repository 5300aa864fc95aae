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
    Moments,
    Policy,
    PolicyKernel,
    Proposal,
    Rollout,
    StochasticPolicy,
)
from policysearch.evaluators import loop
from policysearch.evaluators.interface import Interface
from policysearch.evaluators.runner import Runner
from policysearch.evaluators.shared import (
    Deploy,
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
        kernel = getattr(policy, "kernel", None)
        if not isinstance(kernel, PolicyKernel):
            raise ValueError(f"policy: expected one with a kernel, got {policy}; use EpisodeEvaluator")
        self.simulator, self.policy, self.deploy = simulator, policy, deploy
        self.max_episode_steps, self.common_random_numbers = max_episode_steps, common_random_numbers
        self.interface = Interface(simulator.observation_space, simulator.action_space)
        self._worlds = [simulator.make_world()]
        self._threads, self._seconds_per_episode = threads, np.inf
        self._crew = _Crew()
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
        orders = loop.Orders(
            params=np.empty((0, self.policy.num_params)),
            candidate=nothing,
            draws=self.simulator.draw(stream(0))[None],
            draw_of=nothing,
            action_noise=np.empty((0, 0, 0)),
            low=self._low,
            high=self._high,
            limit=self.max_episode_steps,
        )
        self._run(self._worlds[0], counter, counter.copy(), orders, _empty_books(0, self.interface.obs_size))
        return int(not self._run.stats.cache_hits)

    def close(self) -> None:
        """End the threads."""
        self._crew.dismiss()
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
        books = _empty_books(episodes, self.interface.obs_size if proposal.moments else None)
        rollouts: dict[int, Rollout] = {}
        raised: dict[int, str] = {}
        for part in self._parts(episodes, recording=proposal.record, sampling=sampling):
            orders = loop.Orders(
                params=params,
                candidate=np.arange(part.start, part.stop) // k,
                draws=draws,
                draw_of=draw_of[part],
                action_noise=self._action_noise(part, k, key) if sampling else np.empty((0, 0, 0)),
                low=self._low,
                high=self._high,
                limit=self.max_episode_steps,
            )
            page = books if part == slice(0, episodes) else _page(books, part)
            if proposal.record:
                page = self._with_logs(page)
            self._work(orders, page)
            raised |= {part.start + e: reason for e, reason in self._raised.items()}
            if proposal.record:
                rollouts |= self._rollouts(proposal, orders.candidate, page, part.start)
        well = (books.end == loop.TERMINATED) | (books.end == loop.TRUNCATED)
        failures = (
            []
            if well.all()
            else [
                Failure(e // k, e % k, seeds[draw_of[e]], raised.get(e) or self._reason(books, e))
                for e in np.flatnonzero(~well).tolist()
            ]
        )
        moments = None
        if proposal.moments:
            moments = Moments.of_groups(books.steps[well], books.mean[well], books.M2[well])
        return Evaluation(
            proposal.params,
            (np.where(well, books.returns, np.nan) if failures else books.returns).reshape(n, k),
            books.steps.reshape(n, k),
            failures=tuple(failures),
            rollouts=_by_candidate(rollouts, n, k) if proposal.record else (),
            moments=moments,
            clipped_steps=int(books.clipped.sum()),
        )

    def _with_logs(self, page: loop.Books) -> loop.Books:
        """Books with room for every observation, action and reward."""
        E, T, o, a = (
            len(page.end),
            self.max_episode_steps,
            self.interface.obs_size,
            self.interface.action_size,
        )
        return page._replace(
            obs=np.empty((E, T + 1, o)), actions=np.empty((E, T, a)), rewards=np.empty((E, T))
        )

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

    def _work(self, orders: loop.Orders, books: loop.Books) -> None:
        """Run the loop on every thread until all episodes are done."""
        self._raised.clear()
        began, episodes = time.perf_counter(), len(orders.candidate)
        counter = np.zeros(1, dtype=np.int64)
        joins = self._seconds_per_episode * episodes < SHORT_SECONDS
        threads = min(self._threads, episodes)
        self._worlds += [self.simulator.make_world() for _ in range(threads - len(self._worlds))]
        for world in self._worlds[joins:threads]:
            self._crew.start(self._run_all, world, counter, orders, books)
        try:
            if joins:
                self._run_all(self._worlds[0], counter, orders, books)
            self._crew.wait()
        except BaseException:
            counter[0] = episodes  # nobody starts another episode
            self._crew.wait()
            raise
        self._seconds_per_episode = (time.perf_counter() - began) / episodes

    def _run_all(self, world: Any, counter: Int[Array, "1"], orders: loop.Orders, books: loop.Books) -> None:
        """The loop, begun again after an episode in which the simulator raised something."""
        current = np.full(1, -1)
        while True:
            try:
                self._run(world, counter, current, orders, books)
                return
            except Exception as error:  # the user's code may raise anything
                if current[0] < 0:
                    raise  # it did not even start
                e, current[0] = int(current[0]), -1
                books.end[e], self._raised[e] = loop.RAISED, f"step: {type(error).__name__}: {error}"

    def _rollouts(
        self, proposal: Proposal, candidate: Int[Array, "E"], page: loop.Books, first: int
    ) -> dict[int, Rollout]:
        """The records of the episodes that ended well, by their number."""
        out = {}
        for e, (i, T, end) in enumerate(zip(candidate, page.steps, page.end, strict=True)):
            if end in (loop.TERMINATED, loop.TRUNCATED):
                out[first + e] = Rollout(
                    cast(StochasticPolicy, self.policy),
                    proposal.params[i],
                    page.obs[e, :T].copy(),
                    page.actions[e, :T].copy(),
                    page.rewards[e, :T].copy(),
                    page.obs[e, T].copy(),
                    terminated=bool(end == loop.TERMINATED),
                    truncated=bool(self.max_episode_steps == T),
                )
        return out

    def _reason(self, books: loop.Books, e: int) -> str:
        """Why an episode failed."""
        end, steps, number = int(books.end[e]), int(books.steps[e]), float(books.returns[e])
        if end < 0:
            return f"{self.simulator.failures[-end - 1]} at step {steps - 1}"
        return {
            loop.BAD_ACTION: f"the action is not finite at step {steps}",
            loop.BAD_OBSERVATION: f"the observation is not finite at step {steps}",
            loop.BAD_REWARD: f"the reward is {number} at step {steps - 1}",
            loop.BAD_RETURN: f"the return is {number}",
        }[end]


class _Crew:
    """Threads that wait for work; a hand-over takes half the time of `concurrent.futures`."""

    def __init__(self) -> None:
        self._inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._outbox: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        self._hired = self._busy = 0

    def start(self, function: Any, *arguments: Any) -> None:
        """Have a thread call `function(*arguments)`."""
        if self._busy == self._hired:
            queues = (self._inbox, self._outbox)
            threading.Thread(target=_serve, args=queues, name="rollouts", daemon=True).start()
            self._hired += 1
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

    def dismiss(self) -> None:
        """End the threads."""
        for _ in range(self._hired):
            self._inbox.put(None)
        self._hired = 0

    __del__ = dismiss


def _serve(inbox: "queue.SimpleQueue[Any]", outbox: "queue.SimpleQueue[BaseException | None]") -> None:
    """What a thread does until it is dismissed; it holds on to nothing in between."""
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


def _as_gymnasium_seeds(seed: int) -> Generator:
    """The generator that an environment of Gymnasium has after `reset(seed=seed)`."""
    return Generator(PCG64(seed))


def _empty_books(episodes: int, obs_size: int | None) -> loop.Books:
    """Books without logs, and with moments only where the size of an observation is given."""
    nothing, watched = np.empty((0, 0, 0)), (0, 0) if obs_size is None else (episodes, obs_size)
    steps, clipped, end = np.zeros((3, episodes), dtype=np.int64)
    return loop.Books(
        returns=np.empty(episodes),
        steps=steps,
        clipped=clipped,
        end=end,
        obs=nothing,
        actions=nothing,
        rewards=np.empty((0, 0)),
        mean=np.zeros(watched),
        M2=np.zeros(watched),
    )


def _page(books: loop.Books, part: slice) -> loop.Books:
    """The books of a part of the episodes."""
    names = ("returns", "steps", "clipped", "end", "mean", "M2")
    return books._replace(**{name: getattr(books, name)[part] for name in names})


def _by_candidate(rollouts: dict[int, Rollout], n: int, k: int) -> tuple[tuple[Rollout, ...], ...]:
    """The recorded episodes of each candidate, in order."""
    return tuple(tuple(rollouts[e] for e in range(i * k, i * k + k) if e in rollouts) for i in range(n))


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
