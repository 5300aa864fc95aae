"""The gait of half ellipses: its table, its loci, and its compiled form."""

import math
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from numba import njit

from policysearch.aibo.ers210 import (
    FORWARD,
    FRONT_LEFT,
    FRONT_RIGHT,
    LEFT,
    LEGS,
    REAR_LEFT,
    REAR_RIGHT,
    angles_from_ball,
    ball_from_angles,
)
from policysearch.aibo.half_ellipse_gait import SPACE, HalfEllipseGait, locus, unreachable
from policysearch.core import Array, Proposal
from policysearch.evaluators import CompiledEvaluator, EpisodeEvaluator
from policysearch.evaluators.interface import Interface
from policysearch.seeding import stream
from policysearch.simulators import Simulator, SimulatorEnv
from policysearch.tasks import make_policy

# fmt: off
#: Start, ε, lower and upper bound of every parameter: cm, but for the skew, the time (s) and the fraction.
PAPER = {
    "front locus height":   (4.2,   0.35,   2.1,    6.3),
    "front locus x offset": (2.8,   0.35,   0.7,    4.9),
    "front locus y offset": (4.9,   0.35,   2.8,    7.0),
    "rear locus height":    (5.6,   0.35,   3.5,    7.7),
    "rear locus x offset":  (0.0,   0.35,  -2.1,    2.1),
    "rear locus y offset":  (-2.8,  0.35,  -4.9,   -0.7),
    "locus length":         (4.893, 0.35,   2.793,  6.993),
    "locus skew":           (0.035, 0.175, -1.015,  1.085),
    "front body height":    (7.7,   0.35,   5.6,    9.8),
    "rear body height":     (11.2,  0.35,   9.1,   13.3),
    "time through locus":   (0.704, 0.016,  0.55,   0.85),
    "fraction on ground":   (0.5,   0.05,   0.25,   0.75),
}
# fmt: on
NAMES = tuple(PAPER)
START, EPSILON, LOWER, UPPER = np.array(list(PAPER.values())).T
DOMAIN = SPACE.domain
every_leg = pytest.mark.parametrize("leg", range(4), ids=LEGS)
POLICY = HalfEllipseGait(1)


def gaits(n: int = 12) -> Array:
    """The gait of the start, and others from between the bounds."""
    return np.concatenate([START[None], stream("gaits").uniform(LOWER, UPPER, (n - 1, 12))])


def of(gait: Array, name: str) -> float:
    """A parameter in m, or in its own unit where that is no length."""
    metres = 1.0 if name in ("locus skew", "time through locus", "fraction on ground") else 0.01
    return metres * float(gait[NAMES.index(name)])


def end(leg: int) -> str:
    return "rear" if leg >= REAR_LEFT else "front"


def ground(gait: Array, leg: int, times: Array) -> Array:
    """Forward and outward from the shoulder and up from the ground: where the ball is, seen from the carpet."""
    x, y, z = locus(gait, leg, times).T
    drop = of(gait, "rear body height") - of(gait, "front body height")
    nose_down = math.asin(drop / (2 * 0.0595))  # between the shoulders are twice 59.5 mm
    ahead = FORWARD[leg] * x
    forward = math.cos(nose_down) * ahead + math.sin(nose_down) * z
    up = -math.sin(nose_down) * ahead + math.cos(nose_down) * z
    return np.stack([forward, y, up + of(gait, f"{end(leg)} body height")], axis=1)


def phases(gait: Array, leg: int, n: int = 400) -> tuple[Array, Array]:
    """Times of one cycle that begins when this leg comes down, and the leg's phase at them."""
    s = (np.arange(n) + 0.5) / n
    ahead = 0.5 if leg in (FRONT_RIGHT, REAR_LEFT) else 0.0
    return (s - ahead + 1.0) * of(gait, "time through locus"), s


# ------------------------------------------------------------------------------------ table and coordinates


def test_the_parameters_have_the_names_starts_and_bounds_of_the_paper() -> None:
    assert SPACE.names == POLICY.param_names == NAMES
    assert POLICY.num_params == len(NAMES) == 12
    lower, upper = SPACE.bounds
    assert np.array([parameter.start for parameter in SPACE.parameters]) == pytest.approx(START, abs=1e-12)
    assert lower == pytest.approx(LOWER, abs=1e-12)
    assert upper == pytest.approx(UPPER, abs=1e-12)
    units = [parameter.unit for parameter in SPACE.parameters]
    assert units == ["cm"] * 7 + [""] + ["cm"] * 2 + ["s", ""]


def test_a_search_starts_at_the_gait_of_the_paper_and_a_twelfth_of_a_unit_is_its_perturbation() -> None:
    start = POLICY.start(stream(1))
    assert start.tolist() == DOMAIN.start.tolist()
    assert SPACE.decode(start) == pytest.approx(START, abs=1e-12)
    for sign in (1.0, -1.0):
        moved = SPACE.decode(start + sign * np.eye(12) / 12)
        assert moved == pytest.approx(START + sign * np.diag(EPSILON), abs=1e-12)
    assert SPACE.decode(DOMAIN.lower) == pytest.approx(LOWER, abs=1e-12)
    assert SPACE.decode(DOMAIN.upper) == pytest.approx(UPPER, abs=1e-12)


# ------------------------------------------------------------------------------------------------- the locus


@every_leg
def test_a_foot_on_the_ground_goes_straight_backward_at_constant_speed(leg: int) -> None:
    for gait in gaits():
        f, T, L = (of(gait, n) for n in ("fraction on ground", "time through locus", "locus length"))
        times, s = phases(gait, leg)
        forward, _, up = ground(gait, leg, times)[s < f].T
        y_0 = of(gait, f"{end(leg)} locus y offset")
        assert up == pytest.approx(0.0, abs=1e-12)
        assert forward == pytest.approx(y_0 + L * (1 - 2 * s[s < f] / f), abs=1e-12)
        speed = np.diff(forward) / np.diff(times[s < f])
        assert speed == pytest.approx(-2 * L / (f * T), rel=1e-9)


def test_the_first_gait_pushes_the_ground_backward_by_278_mm_per_s() -> None:
    times, s = phases(START, FRONT_LEFT)
    forward = ground(START, FRONT_LEFT, times)[s < 0.5, 0]
    assert (forward[0] - forward[-1]) / (times[s < 0.5][-1] - times[0]) == pytest.approx(0.278, abs=5e-4)


@every_leg
def test_a_foot_in_the_air_flies_forward_along_the_upper_half_of_an_ellipse(leg: int) -> None:
    for gait in gaits():
        f, L = of(gait, "fraction on ground"), of(gait, "locus length")
        y_0, height = of(gait, f"{end(leg)} locus y offset"), of(gait, f"{end(leg)} locus height")
        times, s = phases(gait, leg)
        forward, _, up = ground(gait, leg, times)[s > f].T
        assert ((forward - y_0) / L) ** 2 + (up / height) ** 2 == pytest.approx(1.0, abs=1e-10)
        assert (up > 0).all()
        assert (np.diff(forward) > 0).all()
        assert up.max() == pytest.approx(height, rel=1e-3)
        assert (forward.min(), forward.max()) == pytest.approx((y_0 - L, y_0 + L), abs=1e-3 * L)


@every_leg
def test_a_locus_repeats_itself_after_its_time_and_has_no_gap(leg: int) -> None:
    for gait in gaits():
        T, f = of(gait, "time through locus"), of(gait, "fraction on ground")
        times, _ = phases(gait, leg)
        for cycles in (1, 7):
            assert locus(gait, leg, times + cycles * T) == pytest.approx(locus(gait, leg, times), abs=1e-12)
        begins = 0.0 if leg in (FRONT_LEFT, REAR_RIGHT) else T / 2
        for moment in (begins + T, begins + (1 + f) * T):  # both ends of the stance
            before, after = locus(gait, leg, np.array([moment - 1e-9, moment + 1e-9]))
            # the fastest foot: half an ellipse of 7 by 8 cm in a quarter of 0.55 s is below 2 m/s
            assert np.abs(after - before).max() < 4e-9
        assert np.abs(np.diff(locus(gait, leg, times), axis=0)).max() < 2.0 * T / 400


def test_diagonal_legs_are_on_the_ground_together_and_the_others_half_a_cycle_later() -> None:
    for gait in gaits():
        T, f = of(gait, "time through locus"), of(gait, "fraction on ground")
        times = (np.arange(200) + 0.5) / 200 * T
        grounded = [ground(gait, leg, times)[:, 2] < 1e-9 for leg in range(4)]
        assert (grounded[FRONT_LEFT] == (times < f * T)).all()
        assert (grounded[FRONT_LEFT] == grounded[REAR_RIGHT]).all()
        assert (grounded[FRONT_RIGHT] == grounded[REAR_LEFT]).all()
        assert (grounded[FRONT_RIGHT] == np.roll(grounded[FRONT_LEFT], 100)).all()


def test_left_and_right_legs_do_the_same_half_a_cycle_apart() -> None:
    for gait in gaits():
        T = of(gait, "time through locus")
        times = np.linspace(0.0, T, 100)
        for left, right in ((FRONT_LEFT, FRONT_RIGHT), (REAR_LEFT, REAR_RIGHT)):
            assert locus(gait, right, times + T / 2) == pytest.approx(locus(gait, left, times), abs=1e-12)


@every_leg
def test_the_skew_moves_a_foot_outward_as_it_goes_forward_and_not_in_the_middle(leg: int) -> None:
    for gait in gaits():
        times, _ = phases(gait, leg)
        forward, outward, _ = ground(gait, leg, times).T
        x_0, y_0 = of(gait, f"{end(leg)} locus x offset"), of(gait, f"{end(leg)} locus y offset")
        assert outward - x_0 == pytest.approx(of(gait, "locus skew") * (forward - y_0), abs=1e-12)


def test_the_body_is_pitched_so_that_shoulders_and_hips_are_at_their_heights() -> None:
    """The balls on the ground span a plane; the distances of the shoulders from it are the two heights."""
    for gait in gaits():
        places = []
        for leg in range(4):
            times, s = phases(gait, leg)
            ball = locus(gait, leg, times[s < of(gait, "fraction on ground")])
            shoulder = np.array([-FORWARD[leg] * 0.0595, LEFT[leg] * 0.0592, 0.0])
            places.append(shoulder + ball * np.array([FORWARD[leg], LEFT[leg], 1.0]))
        points = np.concatenate(places)
        centre = points.mean(axis=0)
        normal = np.linalg.svd(points - centre)[2][-1]
        normal *= np.sign(normal[2])
        assert (points - centre) @ normal == pytest.approx(0.0, abs=1e-12)
        for x, name in ((0.0595, "front body height"), (-0.0595, "rear body height")):
            for y in (0.0592, -0.0592):
                assert (np.array([x, y, 0.0]) - centre) @ normal == pytest.approx(of(gait, name), abs=1e-12)


# ------------------------------------------------------------------------------------------------ the policy


def rows(n: int = 40) -> tuple[Array, Array, Array]:
    """Candidates from between the bounds, clocks, and states of no numbers."""
    rng = stream("rows")
    params = rng.uniform(DOMAIN.lower, DOMAIN.upper, (n, 12))
    return params, rng.uniform(0.0, 5.0, (n, 1)), np.zeros((n, 0))


def test_an_action_is_the_joint_angles_of_the_loci_at_the_clock() -> None:
    params, obs, state = rows()
    actions, same = POLICY.act(params, obs, state)
    assert same is state
    for x, (clock,), action in zip(params, obs, actions, strict=True):
        for leg in range(4):
            (ball,) = locus(SPACE.decode(x), leg, np.array([clock]))
            angles = action[3 * leg : 3 * leg + 3]
            *expected, reachable = angles_from_ball(leg, *ball)
            assert angles == pytest.approx(expected, abs=1e-9)
            if reachable:
                assert np.array(ball_from_angles(leg, *angles)) == pytest.approx(ball, abs=1e-11)


def test_the_clock_is_all_that_is_observed() -> None:
    params, obs, state = rows()
    wide = np.concatenate([obs, stream(2).standard_normal((len(obs), 15))], axis=1)
    seen, _ = HalfEllipseGait(16).act(params, wide, state)
    assert seen.tobytes() == POLICY.act(params, obs, state)[0].tobytes()


def test_many_rows_are_the_rows_one_by_one() -> None:
    params, obs, state = rows()
    actions, _ = POLICY.act(params, obs, state)
    alone, scratch = np.empty(12), np.empty(POLICY.kernel.scratch_size)
    for i in range(len(params)):
        POLICY.kernel.act(params[i], obs[i], state[i], np.empty(0), scratch, alone)
        assert alone.tobytes() == actions[i].tobytes()
    part, _ = POLICY.act(params[7:9], obs[7:9], state[7:9])
    assert part.tobytes() == actions[7:9].tobytes()


def test_coordinates_outside_the_bounds_act_as_those_on_the_bounds() -> None:
    params, obs, state = rows()
    wild = params + stream("wild").normal(0.0, 2.0, params.shape)
    wild[0], wild[1] = np.inf, -np.inf
    wild[2, ::2] = 1e300
    clipped = DOMAIN.clip(wild)
    assert (wild != clipped).any(axis=1).all()
    inside, outside = POLICY.act(clipped, obs, state)[0], POLICY.act(wild, obs, state)[0]
    assert outside == pytest.approx(inside, abs=1e-6)  # a bound may be rounded, where the knee is straight
    assert np.isfinite(outside).all()


# A plant that the gait fits: the clock, and how far the joints are from zero.


@njit
def reset_clock(world: Any, noise: Any) -> None:
    world[0] = noise[0]


@njit
def observe_clock(world: Any, obs: Any) -> None:
    obs[0] = world[0]


@njit
def step_clock(world: Any, action: Any) -> Any:
    world[0] += 0.008
    return -np.abs(action).sum(), False


class Clock(SimulatorEnv):
    simulator = Simulator(
        observation_space=gym.spaces.Box(-np.inf, np.inf, (1,), np.float64),
        action_space=gym.spaces.Box(-3.0, 3.0, (12,), np.float64),
        make_world=lambda: np.zeros(1),
        draw=lambda rng: rng.uniform(0.0, 1.0, 1),
        reset=reset_clock,
        observe=observe_clock,
        step=step_clock,
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_parameter_that_is_not_a_number_fails_its_candidate_and_no_other(name: str) -> None:
    params = np.tile(DOMAIN.start, (3, 1))
    params[1, NAMES.index(name)] = np.nan
    clocks = np.linspace(0.0, 0.85, 100)[:, None]
    actions, _ = POLICY.act(np.tile(params[1], (100, 1)), clocks, np.zeros((100, 0)))
    assert np.isnan(actions).any()
    proposal = Proposal(params, DOMAIN.start, 2)
    compiled = CompiledEvaluator(Clock.simulator, POLICY, max_episode_steps=150, threads=1)
    general = EpisodeEvaluator(lambda: gym.wrappers.TimeLimit(Clock(), 150), POLICY)
    for evaluator in (compiled, general):
        evaluation = evaluator.evaluate(proposal, (1,))
        assert np.isnan(evaluation.returns).tolist() == [[False] * 2, [True] * 2, [False] * 2]
        assert [(failure.candidate, failure.episode) for failure in evaluation.failures] == [(1, 0), (1, 1)]
        for failure in evaluation.failures:
            assert failure.reason.startswith("the action is not finite at step ")


def test_every_angle_is_nan_where_nothing_is_a_number() -> None:
    actions, _ = POLICY.act(np.full((1, 12), np.nan), np.zeros((1, 1)), np.zeros((1, 0)))
    assert np.isnan(actions).all()


# ----------------------------------------------------------------------------------------------- reachability


def test_every_point_of_a_modest_gait_is_reached_and_some_of_the_first_are_not() -> None:
    modest = START.copy()
    for name, value in {
        "front locus height": 2.1,
        "rear locus height": 3.5,
        "front locus x offset": 1.0,
        "front locus y offset": 2.8,
        "rear locus y offset": -0.7,
        "locus length": 2.8,
        "front body height": 9.8,
        "rear body height": 12.0,
    }.items():
        modest[NAMES.index(name)] = value
    assert ((modest >= LOWER - 1e-12) & (modest <= UPPER + 1e-12)).all()
    assert unreachable(modest) == 0
    assert 0 < unreachable(START) < 200
    missed = 0
    for leg in (FRONT_LEFT, REAR_LEFT):
        times = np.arange(100) / 100 * of(START, "time through locus")
        for ball in locus(START, leg, times):
            *angles, _ = angles_from_ball(leg, *ball)
            missed += bool(np.abs(np.array(ball_from_angles(leg, *angles)) - ball).max() > 1e-6)
    assert unreachable(START) == 2 * missed  # left and right do the same
    far = START.copy()
    far[NAMES.index("front body height")] = far[NAMES.index("rear body height")] = 20.0
    assert unreachable(far, frames=30) == 4 * 30


# ----------------------------------------------------------------------------------------- where it does not fit


@pytest.mark.parametrize("env_id", ["Pendulum-v1", "CartPole-v1"])
def test_other_environments_are_refused_in_one_message(env_id: str) -> None:
    env = gym.make(env_id)
    interface = Interface(env.observation_space, env.action_space)
    with pytest.raises(ValueError, match="policy 'half-ellipse-gait': expected") as raised:
        make_policy("half-ellipse-gait", interface)
    message = str(raised.value)
    assert message.startswith(
        "policy 'half-ellipse-gait': expected actions that are the twelve joint angles of an AIBO, got "
    )
    assert type(env.action_space).__name__ in message
    assert "\n" not in message


def test_twelve_choices_are_not_twelve_angles() -> None:
    observed = gym.spaces.Box(-1.0, 1.0, (1,), np.float64)
    with pytest.raises(ValueError, match="expected actions that are the twelve joint angles of an AIBO"):
        make_policy("half-ellipse-gait", Interface(observed, gym.spaces.MultiDiscrete([3] * 12)))
    angles = gym.spaces.Box(-3.0, 3.0, (12,), np.float64)
    assert make_policy("half-ellipse-gait", Interface(observed, angles)) == POLICY
