"""The walk of an AIBO without MuJoCo."""

import math
import subprocess
import sys

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from policysearch.aibo.ers210 import FORWARD, LEGS, REAR_LEFT, SHOULDER_X, angles_from_ball
from policysearch.aibo.half_ellipse_gait import EPSILONS_PER_UNIT, SPACE, HalfEllipseGait
from policysearch.aibo.reduced import (
    PITCHED,
    SETTLING,
    SINK,
    SLIP,
    STEEP,
    AiboReducedEnv,
    ground_speed,
    make_simulator,
    place_feet,
    supported_height,
)
from policysearch.aibo.traversal import (
    ALONG,
    FRAME,
    FRAMES,
    FRICTION,
    RUN_UP_FRAMES,
    SPEED,
    TIMED,
    WATCH,
    standing_angles,
)
from policysearch.core import Array, Proposal
from policysearch.evaluators import CompiledEvaluator, EpisodeEvaluator
from policysearch.optimizers import CMAES
from policysearch.search import Budget, generations
from policysearch.seeding import stream
from policysearch.tasks import find_task, make_evaluator

DOMAIN = SPACE.domain
#: A traversal in which nothing is special: clock, friction, rad/s, tilts, watch.
PLAIN = np.array([0.0, 1.0, 4.0, 0.0, 0.0, 0.0])


def returns(params: Array, episodes: int = 1, noise: float = 1.0) -> Array:
    """Speeds in mm/s; every candidate meets the same traversals."""
    evaluator = CompiledEvaluator(
        make_simulator(noise), HalfEllipseGait(16), max_episode_steps=FRAMES, threads=1
    )
    return evaluator.evaluate(Proposal(np.atleast_2d(params), DOMAIN.start, episodes), (7,)).returns


def gait(**changes: float) -> Array:
    """Coordinates of the first gait with other values, in their own units, for some parameters."""
    values = SPACE.named(DOMAIN.start) | {name.replace("_", " "): value for name, value in changes.items()}
    return SPACE.encode(np.array(list(values.values())))


def walked(draw: Array, params: Array = DOMAIN.start) -> float:
    """Speed in mm/s in the traversal of this draw."""
    env, policy, total = AiboReducedEnv(), HalfEllipseGait(16), 0.0
    env._reset_world(env._world, draw)
    obs = env._observe()
    for _ in range(FRAMES):
        action, _ = policy.act(params[None], obs[None], np.zeros((1, 0)))
        obs, reward, *_ = env.step(np.clip(action[0], env.action_space.low, env.action_space.high))
        total += reward
    return total


def special(place: int, value: float) -> Array:
    draw = PLAIN.copy()
    draw[place] = value
    return draw


def angles(balls: list[tuple[float, float, float]]) -> Array:
    """Joint angles that bring the balls there, each in its leg's frame."""
    return np.ravel([angles_from_ball(leg, *ball)[:3] for leg, ball in enumerate(balls)])


@pytest.mark.filterwarnings("ignore:.*(symmetric and normalized space|Box observation space m)")
def test_gymnasium_accepts_the_environment() -> None:
    check_env(gym.make("policysearch/AiboReduced-v0").unwrapped, skip_render_check=True)


def test_it_needs_no_mujoco() -> None:
    code = (
        "import sys; sys.modules['mujoco'] = None\n"
        "import gymnasium, policysearch.aibo\n"
        "gymnasium.make('policysearch/AiboReduced-v0')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_compiled_rollouts_are_those_of_the_environment_to_the_last_bit() -> None:
    task = find_task("aibo-gait-reduced")
    policy, rng = task.make_policy(), stream("gaits")
    compiled = make_evaluator(task, policy, kind="compiled")
    episodes = EpisodeEvaluator(task.factory(), policy, common_random_numbers=False)
    params = np.vstack([DOMAIN.start, rng.uniform(DOMAIN.lower, DOMAIN.upper, (3, 12))])
    one, other = (e.evaluate(Proposal(params, DOMAIN.start, 2), (3,)) for e in (compiled, episodes))
    assert one.returns.tolist() == other.returns.tolist()
    assert one.steps.tolist() == other.steps.tolist() == [[FRAMES] * 2] * 4
    assert len(np.unique(one.returns)) == one.returns.size


def test_the_first_gait_walks_more_slowly_than_its_feet_are_told_to() -> None:
    told = SPACE.named(DOMAIN.start)
    bound = 20.0 * told["locus length"] / (told["fraction on ground"] * told["time through locus"])
    assert bound == pytest.approx(278.0, abs=0.1)
    speeds = returns(DOMAIN.start, 20)
    assert speeds.min() > 100.0
    assert speeds.max() < bound


def test_a_robot_that_stands_has_a_speed_of_exactly_zero_on_any_floor() -> None:
    env = AiboReducedEnv(noise=2.0)
    for seed in range(5):
        env.reset(seed=seed)
        assert [env.step(standing_angles())[1] for _ in range(FRAMES)] == [0.0] * FRAMES


@pytest.mark.parametrize("pitch", [-0.2, 0.0, 0.2])
def test_feet_that_go_backward_at_30_mm_per_s_carry_a_level_body_forward_at_30(pitch: float) -> None:
    env = AiboReducedEnv()
    env._reset_world(env._world, PLAIN)
    sine, cosine, rewards = math.sin(pitch), math.cos(pitch), []
    for frame in range(FRAMES):
        balls = []
        for leg in range(4):
            shoulder = SHOULDER_X if leg < REAR_LEFT else -SHOULDER_X
            ahead, up = shoulder + 0.03 * (FRAMES / 2 - frame) * FRAME, -0.1
            x, z = cosine * ahead - sine * up, sine * ahead + cosine * up
            balls.append((FORWARD[leg] * (x - shoulder), 0.0, z))
        obs, reward, *_ = env.step(angles(balls))
        rewards.append(reward)
    assert math.asin(obs[1]) == pytest.approx(pitch, abs=0.005)
    assert np.flatnonzero(rewards).tolist() == list(range(RUN_UP_FRAMES, FRAMES))
    assert sum(rewards) == pytest.approx(30.0 * (1.0 - PITCHED * sine**2), rel=0.01)


def test_the_speed_is_that_of_the_loaded_feet_and_the_variance_theirs() -> None:
    before = np.zeros((4, 3))
    before[:, 2] = [0.0, 1.0, 1.0, 0.0]  # the others are in the air
    feet = before.copy()
    feet[:, 0] = [-0.001, 0.5, 0.5, -0.003]  # in 8 ms: 0.125 and 0.375 m/s, 0.25 ± 0.125 on average
    assert ground_speed(before, feet) == pytest.approx((0.25, 0.125**2))
    feet[:, 1] = [0.001, 0.5, 0.5, -0.003]  # and to the side −0.125 and 0.375, 0.125 ± 0.25
    assert ground_speed(before, feet) == pytest.approx((0.25, 0.125**2 + 0.25**2))
    feet[3, 2] += SINK * math.log(3.0)  # carries a third of the other's load: (3 · 0.125 + 0.375) / 4
    assert ground_speed(before, feet)[0] == pytest.approx(0.1875)


def test_the_feet_are_where_mujoco_has_them() -> None:
    mujoco = pytest.importorskip("mujoco")
    from policysearch.aibo.robot import make_model

    model, rng, feet = make_model(), stream("kinematics"), np.empty((4, 3))
    data = mujoco.MjData(model)
    space = AiboReducedEnv().action_space
    for _ in range(20):
        pitch, q = rng.uniform(-0.7, 0.7), rng.uniform(space.low, space.high)
        data.qpos[:7] = [0, 0, 0, math.cos(pitch / 2), 0, math.sin(pitch / 2), 0]
        data.qpos[7:] = q
        mujoco.mj_forward(model, data)
        place_feet(q, pitch, feet)
        balls = [data.site(f"{leg.replace(' ', '_')}_ball").xpos for leg in LEGS]
        np.testing.assert_allclose(feet, balls, atol=1e-12)


def test_the_body_turns_to_the_line_through_its_feet_in_its_own_time() -> None:
    # feet straight below the shoulders, 119 mm apart, the front ones 15 mm closer to the body
    env = AiboReducedEnv()
    env._reset_world(env._world, PLAIN)
    told = angles([(0.0, 0.0, -0.09)] * 2 + [(0.0, 0.0, -0.105)] * 2)
    env._world.standing[:] = env._world.reference[:] = told
    obs, *_ = env.step(told)
    share = 1.0 - math.exp(-FRAME / SETTLING)
    assert math.asin(obs[1]) == pytest.approx(share * 15 / 119)
    for _ in range(FRAMES):
        obs, *_ = env.step(told)
    pitch = math.atan(15 / 119)
    np.testing.assert_allclose(obs[1:4], [math.sin(pitch), 0.0, -math.cos(pitch)], atol=1e-6)
    np.testing.assert_allclose(env._world.feet[:, 2], env._world.feet[0, 2], atol=1e-6)


def test_the_nose_goes_down_by_45_degrees_at_most() -> None:
    env = AiboReducedEnv()
    env._reset_world(env._world, PLAIN)
    told = standing_angles()
    told[[0, 3]] = env.action_space.high[0]  # front feet above the shoulders
    for _ in range(FRAMES):
        obs, *_ = env.step(told)
    assert obs[1] == pytest.approx(math.sqrt(0.5))


@pytest.mark.parametrize(("left", "right"), [(0.0, SINK * math.log(3.0)), (SINK * math.log(3.0), 0.0)])
def test_the_lower_of_two_feet_supports_the_body(left: float, right: float) -> None:
    # the higher one would carry a quarter
    feet = np.array([[0.0, 0.0, left], [0.0, 0.0, right]])
    assert supported_height(feet, 0) == pytest.approx(SINK * math.log(3.0) / 4)


def test_a_longer_locus_is_faster_near_the_first_gait() -> None:
    speeds = returns(np.array([gait(locus_length=length) for length in (3.9, 4.4, 4.9)]), 5).mean(axis=1)
    assert (np.diff(speeds) > 10.0).all()


def test_faster_servos_make_the_first_gait_faster() -> None:
    speeds = [walked(special(SPEED, rate)) for rate in (2.0, 4.0, 6.0)]
    assert (np.diff(speeds) > 5.0).all()


def test_slipping_costs_in_proportion_to_how_slippery_and_how_level_the_floor_is() -> None:
    plain = walked(PLAIN)
    grippy, downhill = walked(special(FRICTION, 2.0)), walked(special(ALONG, STEEP))
    lost = downhill - plain  # all that slipping costs on a level floor
    assert lost > 5.0 * SLIP
    assert grippy == pytest.approx(plain + lost / 2, rel=1e-9)
    assert walked(special(ALONG, -STEEP)) == pytest.approx(plain - lost, rel=1e-9)


def test_a_watch_that_is_slow_by_a_tenth_shows_a_speed_that_is_too_small() -> None:
    assert walked(special(WATCH, 0.1)) == pytest.approx(walked(PLAIN) / 1.1, rel=1e-12)


def test_without_noise_only_the_clock_differs_between_traversals() -> None:
    draws = np.array([make_simulator(0.0).draw(stream(i)) for i in range(5)])
    assert len(np.unique(draws[:, 0])) == 5
    assert len(np.unique(draws[:, 1:], axis=0)) == 1
    assert returns(DOMAIN.start, 50, noise=0.0).std() < 0.75 * returns(DOMAIN.start, 50).std()


def test_no_gait_between_the_bounds_fails() -> None:
    rng = stream("corners")
    corners = np.where(rng.random((200, 12)) < 0.5, DOMAIN.lower, DOMAIN.upper)
    speeds = returns(corners)
    assert np.isfinite(speeds).all()
    assert abs(speeds).max() < 1000.0 * 1000.0 / TIMED


def test_parameters_that_are_not_finite_fail_before_the_first_step() -> None:
    task = find_task("aibo-gait-reduced")
    params = np.vstack([DOMAIN.start, DOMAIN.start])
    params[1, 4] = np.nan
    evaluation = make_evaluator(task, task.make_policy()).evaluate(Proposal(params, DOMAIN.start), (1,))
    assert np.isnan(evaluation.returns).tolist() == [[False], [True]]
    assert [failure.reason for failure in evaluation.failures] == ["the action is not finite at step 0"]


@pytest.mark.parametrize("parameter", range(12), ids=SPACE.names)
def test_gaits_a_hundredth_of_an_epsilon_apart_differ_by_less_than_1_mm_per_s(parameter: int) -> None:
    line = np.tile(DOMAIN.start, (201, 1))
    line[:, parameter] += np.linspace(-1.0, 1.0, 201) / EPSILONS_PER_UNIT
    speeds = returns(line)[:, 0]
    assert abs(np.diff(speeds)).max() < 1.0
    assert np.ptp(speeds) > 0.5  # it matters all the same


def test_a_search_finds_a_faster_gait_between_the_bounds() -> None:
    task = find_task("aibo-gait-reduced")
    evaluator = make_evaluator(task, task.make_policy())
    for turn in generations(CMAES(), evaluator, DOMAIN, budget=Budget(rollouts=800), seed=1):
        found = DOMAIN.clip(turn.recommendation)
    assert returns(found, 20).mean() > returns(DOMAIN.start, 20).mean() + 50.0
    assert ((found > DOMAIN.lower) & (found < DOMAIN.upper)).sum() >= 8
