"""The closed loop for many episodes at once, as a template for `specialise`: what `loop` does, in lanes.

Each lane runs an episode. All numbers of the lanes lie in one array with a row per number and a column per lane, so
that the loops over lanes below, into which policy and simulator are compiled, become vector instructions. What is
needed within one step only is in local arrays, which LLVM holds in registers. The numbers are those of
`loop.run_episodes` to the last bit: a lane does the same arithmetic in the same order.

A lane whose episode ends gets the next one; when none is left, the last lane moves to its place. Lanes are computed
in whole vectors; those beyond the last one are copies of lane 0, so that no plant is in a state that no episode has.
What is out of the ordinary is left to `loop.run_episodes`. Drawn actions and logs do not come here, as making them
takes longer than the steps. An episode that fails is marked AGAIN. Where the simulator raises an exception, `current`
says which episodes were running.

Free names: those of `loop`, with LANES, of how many columns the array is, and ROW, the first row of each kind of
number (`rows_of`); WIDTH, how many lanes are computed together; CLIPS, whether actions have bounds.
"""

# mypy: disable-error-code="name-defined, no-untyped-def, no-untyped-call, call-arg, var-annotated"

import math
from typing import NamedTuple

import numpy as np

from policysearch.elementary import bits
from policysearch.evaluators.loop import TERMINATED, TRUNCATED, all_finite, count_in
from policysearch.jit import fetch_add, local, strided

#: How an episode ended that has to be run by itself.
AGAIN = 8
#: Lanes that are computed together: as many as a vector of a common processor has numbers.
WIDTH = 4


class Rows(NamedTuple):
    """Where the numbers of a lane are: the first row of each kind."""

    world: int
    obs: int
    params: int
    low: int
    high: int
    total: int
    clipped: int
    ended: int  # 0, or 1 where the simulator says so, or 2 where something is out of the ordinary
    counted: int  # of observations
    mean: int
    M2: int
    end: int  # how many rows there are


def rows_of(*, world: int, obs: int, actions: int, params: int) -> Rows:
    """The rows for these sizes."""
    sizes = (world, obs, params, actions, actions, 1, 1, 1, 1, obs, obs)
    return Rows(*np.cumsum((0, *sizes)).tolist())


def run_lanes(lanes, counter, current, batch, results):
    """Run episodes in up to `lanes` lanes until the counter has passed the last one; `current` has one per lane."""
    rows, began = np.zeros(ROW.end * LANES), np.zeros(LANES, dtype=np.int64)
    active, now = np.int64(lanes), np.int64(0)  # no literals: Numba would compile for them too
    for lane in range(lanes):
        rows[ROW.ended * LANES + lane] = 1.0  # as of an episode, which `current` says there is not
    while True:
        active, stop = refill(rows, active, now, began, counter, current, batch, results)
        if active == 0:
            return
        counting, ended = len(results.mean) > 0, False
        while now < stop and not ended:
            if counting:
                count(rows, active)
            steps, ended = advance(rows, active, min(stop - now, 1) if counting else stop - now)
            now += steps


def begin(rows, lane, counter, current, batch):
    """Put the next episode into a lane, if there is one."""
    e = fetch_add(counter)
    current[lane] = e if e < len(batch.candidate) else -1
    if current[lane] < 0:
        return False
    for i in range(PARAMS):
        rows[(ROW.params + i) * LANES + lane] = batch.params[batch.candidate[e], i]
    for i in range(len(batch.low)):
        rows[(ROW.low + i) * LANES + lane] = batch.low[i]
        rows[(ROW.high + i) * LANES + lane] = batch.high[i]
    for i in range(ROW.total, ROW.end):
        rows[i * LANES + lane] = 0.0
    reset(strided(rows, ROW.world * LANES + lane, WORLD, LANES), batch.draws[batch.draw_of[e]])
    return True


def count(rows, active):
    """Count the observations in."""
    for lane in range(active):
        obs = strided(rows, ROW.obs * LANES + lane, OBS, LANES)
        look(strided(rows, ROW.world * LANES + lane, WORLD, LANES), obs)
        mean = strided(rows, ROW.mean * LANES + lane, OBS, LANES)
        M2 = strided(rows, ROW.M2 * LANES + lane, OBS, LANES)
        rows[ROW.counted * LANES + lane] += 1.0
        count_in(obs, rows[ROW.counted * LANES + lane], mean, M2)


def advance(rows, active, most):
    """Up to `most` steps of policy and simulator; returns how many, and whether an episode has ended in the last."""
    nothing = local(0)  # neither state nor noise
    obs, scratch, action, env_action = local(OBS), local(SCRATCH), local(ACTIONS), local(ACTIONS)
    for t in range(most):
        any_ended = 0
        for lane in range(computed(active)):
            world = strided(rows, ROW.world * LANES + lane, WORLD, LANES)
            look(world, obs)
            params = strided(rows, ROW.params * LANES + lane, PARAMS, LANES)
            act(params, obs, nothing, nothing, scratch, action)
            finite = all_finite(action)
            for i in range(ACTIONS):
                action[i] = action[i] if finite else 0.0  # what a simulator could not stand
            low = strided(rows, ROW.low * LANES + lane, ACTIONS, LANES)
            high = strided(rows, ROW.high * LANES + lane, ACTIONS, LANES)
            clipped = to_environment(action, low, high, env_action)
            reward, status = step(world, env_action)
            good = finite and math.isfinite(reward) and status >= 0
            ended = (1.0 if status else 0.0) if good else 2.0
            if CLIPS:
                rows[ROW.clipped * LANES + lane] += float(clipped)
            rows[ROW.total * LANES + lane] += reward
            rows[ROW.ended * LANES + lane] = ended
            any_ended |= bits(ended)
        if any_ended:
            return t + 1, True
    return most, False


def refill(rows, active, now, began, counter, current, batch, results):
    """Replace the episodes that have ended; returns how many lanes are active, and the next step at a limit."""
    lane, stop = np.int64(0), now + batch.limit
    while lane < active:
        t, ended = now - began[lane], rows[ROW.ended * LANES + lane]
        if ended != 0.0 or t == batch.limit:
            if current[lane] >= 0:
                finish(rows, lane, t, current[lane], results)
            began[lane] = now
            if not begin(rows, lane, counter, current, batch):
                active -= 1
                copy_lane(rows, active, lane)
                began[lane], current[lane], current[active] = began[active], current[active], -1
                continue  # with the lane that is now here
        stop = min(stop, began[lane] + batch.limit)
        lane += 1
    for spare in range(active, computed(active)):
        copy_lane(rows, 0, spare)
    return active, stop


def computed(active):
    """How many lanes are computed: groups of WIDTH, of which the last is filled up with copies of lane 0."""
    return (active + WIDTH - 1) & -WIDTH


def copy_lane(rows, source, target):
    """Copy a lane."""
    for i in range(ROW.end):
        rows[i * LANES + target] = rows[i * LANES + source]


def finish(rows, lane, t, e, results):
    """Write the results of the episode in a lane."""
    ended, total = rows[ROW.ended * LANES + lane], rows[ROW.total * LANES + lane]
    if ended == 2.0 or not math.isfinite(total):
        results.end[e] = AGAIN
        return
    results.returns[e], results.steps[e] = total, t
    results.clipped[e] = int(rows[ROW.clipped * LANES + lane])
    results.end[e] = TERMINATED if ended == 1.0 else TRUNCATED
    if len(results.mean) > 0:
        for i in range(OBS):
            results.mean[e, i] = rows[(ROW.mean + i) * LANES + lane]
            results.M2[e, i] = rows[(ROW.M2 + i) * LANES + lane]


#: The parts of `run_lanes` that are compiled into what calls them, and those that are functions of their own.
MERGED, PARTS = (computed, copy_lane, begin, finish, refill), (count, advance)
