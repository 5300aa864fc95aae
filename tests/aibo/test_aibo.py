"""The AIBO in MuJoCo: its body, its walk, and the traversal that is timed."""

import dataclasses
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from numba import njit
from scipy.spatial.transform import Rotation

from policysearch.aibo.ers210 import FORWARD, HIGHEST, LEFT, LEGS, LOWEST, ball_from_angles
from policysearch.aibo.half_ellipse_gait import SPACE
from policysearch.core import Array, Proposal
from policysearch.evaluators import CompiledEvaluator, EpisodeEvaluator
from policysearch.optimizers import FiniteDifference
from policysearch.search import Budget, generations
from policysearch.seeding import stream
from policysearch.tasks import find_task, make_evaluator

mujoco = pytest.importorskip("mujoco")

from policysearch.aibo import robot as aibo  # noqa: E402 - needs MuJoCo
from policysearch.aibo.traversal import (  # noqa: E402
    ACROSS,
    ALONG,
    CLOCK,
    FRAME,
    FRAMES,
    FRICTION,
    RUN_UP_FRAMES,
    SPEED,
    STANDING,
    TIMED_FRAMES,
    WATCH,
    draw,
    drive,
    standing_angles,
)

TASK = find_task("aibo-gait")
POLICY = TASK.make_policy()
START = SPACE.domain.start
#: Tips the robot over in its first second, whatever the traversal.
FALLS = SPACE.encode(
    np.array([2.613, 2.372, 5.685, 7.535, -1.52, -0.837, 4.71, -1.007, 8.157, 12.581, 0.711, 0.386])
)
#: A traversal without anything special but the clock.
PLAIN = np.array([0.0, 1.0, 3.86, 0.0, 0.0, 0.0])
WEIGHT = 1.4 * 9.81  # N


@lru_cache
def evaluator(timestep: float = aibo.TIMESTEP) -> CompiledEvaluator:
    """Compiled traversals; as on the task, no candidate meets the same one as another."""
    simulator = aibo.make_simulator(1.0, timestep)
    return CompiledEvaluator(
        simulator, POLICY, max_episode_steps=FRAMES, common_random_numbers=False, threads=1
    )


def traversals(params: Array, n: int, *key: int | str, timestep: float = aibo.TIMESTEP) -> Array:
    """Returns of n traversals of every candidate."""
    params = np.atleast_2d(params)
    evaluation = evaluator(timestep).evaluate(Proposal(params, params[0], n), key)
    assert not evaluation.failures
    return np.asarray(evaluation.returns)


def begin(special: Array, env: Any = None) -> Any:
    """The environment at the start of a traversal with this draw."""
    env = env or aibo.AiboEnv()
    env.reset(seed=0)
    env._reset_world(env._world, special)
    return env


def walking(env: Any, params: Array = START) -> Iterator[tuple[float, bool]]:
    """Reward and end of every frame of a walk with this gait."""
    for _ in range(FRAMES):
        (action,), _ = POLICY.act(params[None], env._observe()[None], np.zeros((1, 0)))
        _, reward, terminated, _, _ = env.step(np.clip(action, env.action_space.low, env.action_space.high))
        yield reward, terminated
        if terminated:
            return


def settled() -> tuple[Any, Any]:
    """Model and data of the robot that has stood for a second."""
    model = aibo.make_model()
    data = mujoco.MjData(model)
    data.qpos[7:] = data.ctrl[:] = standing_angles()
    for _ in range(round(1.0 / aibo.TIMESTEP)):
        mujoco.mj_step(model, data)
    return model, data


def limp() -> Any:
    """The model without servos, and with its energy computed."""
    model = aibo.make_model()
    model.opt.enableflags |= mujoco.mjtEnableBit.mjENBL_ENERGY
    model.actuator_gainprm[:] = model.actuator_biasprm[:] = 0.0
    return model


# -------------------------------------------------------------------------------------------------- the body


def test_the_feet_are_where_the_kinematics_of_the_ers_210_has_them() -> None:
    model = aibo.make_model()
    data = mujoco.MjData(model)
    names = [model.site(i).name for i in range(4)]
    assert names == [f"{leg.replace(' ', '_')}_ball" for leg in LEGS]
    for q in stream("poses").uniform(np.tile(LOWEST, 4), np.tile(HIGHEST, 4), (50, 12)):
        data.qpos[:] = [0, 0, 0, 1, 0, 0, 0, *q]
        mujoco.mj_kinematics(model, data)
        for leg in range(4):
            ball = np.array(ball_from_angles(leg, *q[3 * leg : 3 * leg + 3]))
            shoulder = np.array([-0.0595 * FORWARD[leg], 0.0592 * LEFT[leg], 0.0])
            expected = shoulder + ball * np.array([FORWARD[leg], LEFT[leg], 1.0])
            assert data.site_xpos[leg] == pytest.approx(expected, abs=1e-12)
            foot = model.geom(f"{LEGS[leg].replace(' ', '_')}_foot")
            assert data.geom_xpos[foot.id] == pytest.approx(expected, abs=1e-12)
            assert foot.size[0] == pytest.approx(0.01396)


def test_the_robot_weighs_1400_g_and_all_legs_weigh_the_same() -> None:
    model = aibo.make_model()
    assert model.body_mass.sum() == pytest.approx(1.4, abs=1e-6)
    parts = ("shoulder", "upper", "lower")
    legs = [sum(model.body(f"{leg.replace(' ', '_')}_{part}").mass[0] for part in parts) for leg in LEGS]
    assert legs == [legs[0]] * 4
    assert legs[0] == pytest.approx(1.4 * 0.196 / 1.612, abs=1e-5)  # of Webots' ERS-7, which sums to 1.612 kg


def test_the_standing_robot_is_still_after_a_second_and_its_feet_carry_its_weight() -> None:
    model, data = settled()
    assert np.abs(data.qvel[:3]).max() < 1e-3  # m/s
    assert np.abs(data.qvel[3:]).max() < 1e-2  # rad/s
    assert data.qpos[2] == pytest.approx(STANDING + 0.01396, abs=1.5e-3)
    assert Rotation.from_quat(data.qpos[3:7], scalar_first=True).magnitude() < math.radians(0.5)
    mujoco.mj_forward(model, data)
    vertical, feet = 0.0, set()
    for i, contact in enumerate(data.contact):
        force = np.zeros(6)
        mujoco.mj_contactForce(model, data, i, force)
        vertical += float((contact.frame.reshape(3, 3).T @ force[:3])[2])
        feet.add(model.geom(contact.geom2).name)
        assert -1e-3 < contact.dist <= 0.0  # m: less than 1 mm deep
    assert feet == {f"{leg.replace(' ', '_')}_foot" for leg in LEGS}
    assert vertical == pytest.approx(WEIGHT, rel=0.01)
    assert np.abs(data.actuator_force).max() < 0.5 * aibo.TORQUE
    assert np.abs(data.actuator_force).max() > 0.02  # they do hold something


def test_the_energy_of_the_standing_robot_does_not_grow() -> None:
    model, data = settled()
    model.opt.enableflags |= mujoco.mjtEnableBit.mjENBL_ENERGY
    energy = []
    for _ in range(500):
        mujoco.mj_step(model, data)
        energy.append(float(data.energy.sum()))
    assert max(np.diff(energy)) < 1e-9  # J
    assert 0 < energy[0] - energy[-1] < 0.01 * energy[0]  # it still settles by a tenth of a millimetre


def test_energy_is_conserved_in_free_fall_with_limp_servos() -> None:
    """By Runge and Kutta's rule to 1e-6 J; by the one that is used, of first order, in proportion to the step."""

    def after(integrator: int, timestep: float, seconds: float = 0.3) -> tuple[float, float]:
        model = limp()
        model.opt.integrator, model.opt.timestep = integrator, timestep
        data, rng = mujoco.MjData(model), stream("free fall")
        data.qpos[2], data.qpos[7:] = 10.0, np.tile([0.0, 0.5, 1.0], 4)
        data.qvel[3:] = rng.uniform(-2.0, 2.0, 15)
        mujoco.mj_forward(model, data)
        before = data.energy.copy()
        for _ in range(round(seconds / timestep)):
            mujoco.mj_step(model, data)
            assert data.nefc == 0  # no contact, no limit
        mujoco.mj_forward(model, data)
        return float(data.energy.sum() - before.sum()), float(data.energy[1] - before[1])

    lost, gained = after(mujoco.mjtIntegrator.mjINT_RK4, 0.004)
    assert gained == pytest.approx(
        0.5 * 1.4 * (9.81 * 0.3) ** 2, rel=0.05
    )  # of motion: there was much to lose
    assert abs(lost) < 1e-6
    used = aibo.make_model().opt.integrator
    coarse, fine = after(used, 0.004)[0], after(used, 0.002)[0]
    # a body that falls by symplectic steps of h loses m g² h t/2 = 0.081 J beside the true parabola
    assert coarse == pytest.approx(-1.4 * 9.81**2 * 0.004 * 0.3 / 2, rel=0.02)
    assert 2 * fine - coarse == pytest.approx(0.0, abs=2e-3)


# ---------------------------------------------------------------------------------- what is special each time


def test_a_draw_holds_what_differs_between_traversals_within_its_bounds() -> None:
    draws = np.array([draw(stream("draw", i)) for i in range(2000)])
    low = [0.0, 0.8, 4.0 * 0.93, -math.radians(0.5), -math.radians(0.5)]
    high = [1.0, 1.2, 4.0, math.radians(0.5), math.radians(0.5)]
    for i, place in enumerate((CLOCK, FRICTION, SPEED, ALONG, ACROSS)):
        width = high[i] - low[i]
        assert low[i] <= draws[:, place].min() < low[i] + 0.01 * width
        assert high[i] >= draws[:, place].max() > high[i] - 0.01 * width
    assert abs(draws[:, WATCH].mean()) < 4 * 0.015 / math.sqrt(2000)
    assert draws[:, WATCH].std() == pytest.approx(0.015, rel=4 / math.sqrt(4000))
    assert np.abs(np.corrcoef(draws.T) - np.eye(6)).max() < 4 / math.sqrt(2000)


@pytest.mark.parametrize(
    ("env_id", "noise"), [("Aibo", 1.0), ("AiboHalfNoise", 0.5), ("AiboTwiceNoise", 2.0)]
)
def test_noise_stretches_everything_but_the_clock_about_its_middle(env_id: str, noise: float) -> None:
    env: Any = gym.make(f"policysearch/{env_id}-v0").unwrapped
    middle = draw(stream(3), noise=0.0)
    usual, ours = draw(stream(3)), env.simulator.draw(stream(3))
    assert middle[1:] == pytest.approx([1.0, 4.0 * 0.965, 0.0, 0.0, 0.0], abs=1e-12)
    assert ours[CLOCK] == usual[CLOCK] == middle[CLOCK]
    assert (ours - middle)[1:] == pytest.approx(noise * (usual - middle)[1:], abs=1e-12)


def test_a_reset_tilts_gravity_sets_the_friction_of_the_carpet_and_stands_the_robot_up() -> None:
    other = begin(PLAIN)
    env = begin(np.array([0.3, 1.1, 3.9, 0.008, -0.005, 0.02]))
    world = env._world
    assert world.gravity[:2] == pytest.approx([9.81 * math.sin(0.008), -9.81 * math.sin(0.005)], abs=1e-12)
    assert np.linalg.norm(world.gravity) == pytest.approx(9.81, abs=1e-12)
    assert world.gravity[2] < -9.8
    assert aibo.make_model().geom(0).name == "floor"
    assert world.friction[0, 0] == pytest.approx(0.8 * 1.1)
    assert world.robot.qpos.tolist() == other._world.robot.qpos.tolist()
    assert world.reference.tolist() == standing_angles().tolist()
    # worlds share nothing
    assert other._world.gravity.tolist() == [0.0, 0.0, -9.81]
    assert other._world.friction[0, 0] == pytest.approx(0.8)


@pytest.mark.nightly
def test_an_episode_does_not_depend_on_those_before_it() -> None:
    fresh, used = begin(PLAIN), begin(draw(stream(5)))
    for _ in walking(used, FALLS):
        pass
    begin(PLAIN, used)
    for (one, _), (other, _), _ in zip(walking(fresh), walking(used), range(60), strict=False):
        assert one == other
        assert fresh._world.robot.qpos.tobytes() == used._world.robot.qpos.tobytes()


def test_servos_lag_and_have_a_fastest_motion_worked_by_hand() -> None:
    share = 1 - math.exp(-0.008 / 0.025)  # 0.2739 of the way in a frame
    standing = np.zeros(12)
    late = 1000  # frames: the soft start is over
    for wanted, speed, moved in (
        (0.05, 4.0, share * 0.05),  # 0.0137 rad, below 4 rad/s · 8 ms = 0.032 rad
        (0.50, 4.0, 0.032),
        (-0.5, 3.0, -0.024),
    ):
        reference = np.full(12, 0.1)
        drive(reference, standing, np.full(12, 0.1 + wanted), late, speed)
        assert reference == pytest.approx(np.full(12, 0.1 + moved), abs=1e-15)
    # a soft start: after 50 frames, 0.4 s, half of the way from standing to the action; after 0, nothing of it
    for frames, part in ((0, 0.0), (50, 0.5), (100, 1.0), (200, 1.0)):
        reference = np.zeros(12)
        drive(reference, standing, np.full(12, 0.02), frames, 4.0)
        assert reference == pytest.approx(np.full(12, share * part * 0.02), abs=1e-15)


def test_an_observation_is_the_clock_down_as_the_body_sees_it_and_the_joints() -> None:
    env = begin(draw(stream(1)))
    for k, _ in enumerate(walking(env)):
        qpos, obs = env._world.robot.qpos, env._observe()
        assert obs[0] == pytest.approx(env._world.draw[CLOCK] + (k + 1) * FRAME, abs=1e-12)
        down = Rotation.from_quat(qpos[3:7], scalar_first=True).inv().apply([0.0, 0.0, -1.0])
        assert obs[1:4] == pytest.approx(down, abs=1e-9)
        assert obs[4:].tolist() == qpos[7:].tolist()
        if k == 100:
            break


# --------------------------------------------------------------------------------------------------- the walk


def test_the_first_gait_walks_without_falling_below_the_speed_of_its_feet() -> None:
    evaluation = evaluator().evaluate(Proposal(START[None], START, 10), ("walks",))
    assert (evaluation.steps == FRAMES).all()
    assert evaluation.returns.min() > 100.0  # mm/s
    assert evaluation.returns.mean() < 2 * 48.93 / (0.5 * 0.704)  # 278 mm/s, if no foot slipped


@pytest.mark.nightly
def test_traversals_of_one_gait_differ_by_some_millimetres_per_second() -> None:
    speeds = traversals(START, 40, "noise")
    assert 4.0 < speeds.std(ddof=1) < 15.0
    assert len(np.unique(speeds)) == 40


def test_without_friction_it_gets_nowhere() -> None:
    slippery = PLAIN.copy()
    slippery[FRICTION] = 1e-6
    env = begin(slippery)
    assert abs(sum(reward for reward, _ in walking(env))) < 30.0  # mm/s, of about 230


def test_downhill_is_faster_than_uphill() -> None:
    speeds = []
    for tilt in (0.05, -0.05):
        special = PLAIN.copy()
        special[ALONG] = tilt
        speeds.append(sum(reward for reward, _ in walking(begin(special))))
    assert speeds[0] > speeds[1] + 10.0


@pytest.mark.parametrize("number", range(3))
def test_half_a_cycle_later_on_a_mirrored_floor_the_walk_is_mirrored(number: int) -> None:
    """Legs of one side then do what those of the other did: equal to 1e-9 m for 3 s, and 1e-6 m to the end.

    A rounding error grows from 1e-16 to about 1e-10 m in the 4.5 s of a traversal.
    """
    params = START + stream("mirrored", number).uniform(-0.5, 0.5, 12) / 12
    special = draw(stream("mirrored draw", number))
    mirrored = special.copy()
    mirrored[CLOCK] += SPACE.named(params)["time through locus"] / 2
    mirrored[ACROSS] *= -1.0
    env, other = begin(special), begin(mirrored)
    sums, aside = np.zeros(2), 0.0
    for k, ((one, _), (two, _)) in enumerate(zip(walking(env, params), walking(other, params), strict=True)):
        (x, y), (x_2, y_2) = env._world.robot.qpos[:2], other._world.robot.qpos[:2]
        assert (x_2, y_2) == pytest.approx((x, -y), abs=1e-9 if k < 375 else 1e-6)
        sums += one, two
        aside = max(aside, abs(y))
    assert sums[0] == pytest.approx(sums[1], abs=1e-3)  # mm/s
    assert aside > 5e-3  # m: there was something to mirror


@pytest.mark.nightly
def test_half_the_time_step_changes_speeds_near_the_first_gait_by_less_than_three_percent_on_average() -> (
    None
):
    """Of five gaits, eight traversals each, on the same floors; the first gait too, and the mean of all by half of it.

    Not every gait does: of 16 with 40 traversals each, one changed by 4.7 ± 0.8 %, the others by less than 2 %.
    """
    others = START + stream("time step").uniform(-0.5, 0.5, (4, 12)) / 12
    gaits = np.concatenate([START[None], others])
    usual = traversals(gaits, 8, "time step").mean(axis=1)
    fine = traversals(gaits, 8, "time step", timestep=aibo.TIMESTEP / 2).mean(axis=1)
    changes = np.abs(fine / usual - 1.0)
    assert (usual > 150.0).all()
    assert 0.0 < changes.mean() < 0.03
    assert changes[0] < 0.03
    assert abs(fine.mean() / usual.mean() - 1.0) < 0.015


# ------------------------------------------------------------------------------------------ rewards and a fall


def test_rewards_add_up_to_the_distance_along_the_mean_heading_over_the_time() -> None:
    special = np.array([0.4, 0.9, 3.8, 0.004, 0.008, 0.03])  # a watch that goes 3 % wrong
    env = begin(special)
    skewed = START.copy()
    skewed[7] += 0.4  # it walks a curve
    total, places, headings = 0.0, [], []
    for reward, _ in walking(env, skewed):
        qpos = env._world.robot.qpos
        ahead = Rotation.from_quat(qpos[3:7], scalar_first=True).apply([1.0, 0.0, 0.0])[:2]
        places.append(qpos[:2].copy())
        headings.append(ahead / np.linalg.norm(ahead))
        total += reward
        if len(places) <= RUN_UP_FRAMES:
            assert reward == 0.0
            continue
        mean = np.sum(headings[RUN_UP_FRAMES:], axis=0)
        mean /= np.linalg.norm(mean)
        distance = (places[-1] - places[RUN_UP_FRAMES - 1]) @ mean
        assert total == pytest.approx(1000 * distance / (3.0 * 1.03), abs=1e-9)
    assert len(places) == FRAMES == RUN_UP_FRAMES + TIMED_FRAMES
    assert total > 50.0
    assert abs(headings[-1][1] - headings[RUN_UP_FRAMES][1]) > 0.02  # it did turn
    assert pytest.approx(3.0) == TIMED_FRAMES * FRAME


@pytest.mark.parametrize("after", [30, RUN_UP_FRAMES + 100], ids=["in the run-up", "while timed"])
def test_a_fall_ends_the_traversal_with_a_return_of_exactly_zero(after: int) -> None:
    env = begin(draw(stream(2)))
    rewards, frames = [], walking(env)
    for _ in range(after):
        rewards.append(next(frames)[0])
    assert (sum(rewards) > 0) == (after > RUN_UP_FRAMES)
    env._world.robot.qpos[3:7] = [0.0, 1.0, 0.0, 0.0]  # on its back
    reward, terminated = next(frames)
    assert terminated
    total = 0.0
    for each in [*rewards, reward]:
        total += each
    assert total == 0.0


def test_a_gait_that_falls_returns_zero_before_its_time_is_over() -> None:
    evaluation = evaluator().evaluate(Proposal(FALLS[None], FALLS, 4), ("falls",))
    assert evaluation.returns.tolist() == [[0.0] * 4]
    assert (evaluation.steps < RUN_UP_FRAMES).all()
    assert not evaluation.failures


@pytest.mark.parametrize("axis", [0, 1], ids=["sideways", "forward"])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_body_that_leans_more_than_45_degrees_has_fallen(axis: int, sign: float) -> None:
    for degrees, fallen in ((44.0, False), (46.0, True)):
        env = begin(PLAIN)
        turn = Rotation.from_rotvec(sign * math.radians(degrees) * np.eye(3)[axis])
        env._world.robot.qpos[2] = 0.5  # in the air, where nothing turns it in one frame
        env._world.robot.qpos[3:7] = turn.as_quat(scalar_first=True)
        assert env.step(standing_angles())[2] is fallen


def test_a_body_lower_than_40_mm_has_fallen() -> None:
    for height, fallen in ((0.043, False), (0.039, True)):
        env = begin(PLAIN)
        flat = np.tile([math.radians(90.0), 0.0, 0.6], 4)  # the legs stretched out fore and aft
        env._world.robot.qpos[2], env._world.robot.qpos[7:], env._world.reference[:] = height, flat, flat
        env._world.robot.qvel[:] = 0.0
        assert env.step(flat)[2] is fallen


# --------------------------------------------------------------------------------------- when the physics fails


@njit
def explode(walk: Any, noise: Any) -> None:
    """A reset after which about every second robot flies apart."""
    aibo.reset(walk, noise)
    if noise[4] > 0.0:
        walk.robot.qvel[0] = 1e12


def test_a_robot_that_explodes_fails_its_traversal_and_the_search_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    simulator = dataclasses.replace(aibo.make_simulator(), reset=explode)
    fragile = CompiledEvaluator(
        simulator, POLICY, max_episode_steps=FRAMES, common_random_numbers=False, threads=2
    )
    evaluation = fragile.evaluate(Proposal(START[None], START, 12), (1,))
    failed = [failure.episode for failure in evaluation.failures]
    assert 2 <= len(failed) <= 10
    assert {failure.reason for failure in evaluation.failures} == {"MuJoCo: BADQVEL at step 0"}
    assert np.isnan(evaluation.returns[0, failed]).all()
    assert np.isfinite(np.delete(evaluation.returns[0], failed)).all()
    method = FiniteDifference(perturbations=4)
    turns = list(generations(method, fragile, SPACE.domain, budget=Budget(12), seed=1))
    assert len(turns) == 3
    assert sum(len(turn.evaluation.failures) for turn in turns) > 0
    assert all(np.isfinite(turn.evaluation.fitness).all() for turn in turns)
    assert not np.array_equal(turns[-1].recommendation, START)
    assert os.listdir(tmp_path) == []  # no MUJOCO_LOG.TXT


@pytest.mark.parametrize(
    ("place", "value", "warning"), [("qpos", math.nan, "BADQPOS"), ("qvel", 1e12, "BADQVEL")]
)
def test_a_bad_state_is_an_error_that_names_mujocos_warning(
    place: str, value: float, warning: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    env = begin(PLAIN)
    getattr(env._world.robot, place)[0] = value
    with pytest.raises(RuntimeError, match=f"^MuJoCo: {warning}$"):
        env.step(standing_angles())
    env.reset(seed=1)
    assert np.isfinite(env.step(standing_angles())[0]).all()
    assert os.listdir(tmp_path) == []


# ------------------------------------------------------------------------------------------------- evaluators


def test_compiled_traversals_are_those_of_the_environment_to_the_last_bit() -> None:
    params = np.stack([START, FALLS])
    general = EpisodeEvaluator(TASK.factory(), POLICY, common_random_numbers=False)
    proposal = Proposal(params, START, 2, moments=True)
    one, other = evaluator().evaluate(proposal, (3,)), general.evaluate(proposal, (3,))
    assert one.returns.tobytes() == other.returns.tobytes()
    assert one.steps.tolist() == other.steps.tolist()
    assert one.clipped_steps == other.clipped_steps
    assert one.moments is not None
    assert other.moments is not None
    assert one.moments.mean.tobytes() == other.moments.mean.tobytes()
    assert one.returns[0].min() > 100.0


def test_two_threads_give_the_bytes_of_one() -> None:
    params = np.concatenate([START[None], FALLS[None], START + stream(4).uniform(-1.0, 1.0, (4, 12)) / 12])
    params = SPACE.domain.clip(params)
    evaluations = [
        make_evaluator(TASK, POLICY, threads=threads).evaluate(Proposal(params, START, 2), (1, "threads"))
        for threads in (1, 2)
    ]
    assert evaluations[0].returns.tobytes() == evaluations[1].returns.tobytes()
    assert evaluations[0].steps.tolist() == evaluations[1].steps.tolist()


def test_no_candidate_meets_the_traversal_of_another_and_equal_keys_repeat_to_the_last_bit() -> None:
    runner = make_evaluator(TASK, POLICY, threads=1)
    assert isinstance(runner, CompiledEvaluator)
    proposal = Proposal(np.tile(START, (4, 1)), START)
    one, again, other = (runner.evaluate(proposal, (5, "evaluate", key)).returns for key in (0, 0, 1))
    assert len(np.unique(one)) == 4
    assert one.tobytes() == again.tobytes()
    assert not np.isin(one, other).any()


@pytest.mark.filterwarnings("ignore::UserWarning")  # recommendations about bounds
def test_the_traversal_is_an_environment() -> None:
    env = gym.make("policysearch/Aibo-v0")
    assert env.spec is not None
    assert env.spec.max_episode_steps == FRAMES
    check_env(env.unwrapped)


def test_without_mujoco_the_command_line_names_what_to_install_and_the_reduced_model(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['mujoco'] = None; from policysearch.compare.__main__ import main; "
        "sys.exit(main(sys.argv[1:]))"
    )
    flags = ["--tasks", "aibo-gait", "--optimizers", "random-search", "--rollouts", "20", "--runs", "1"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent.parent)}
    finished = subprocess.run(
        [sys.executable, "-c", code, *flags, "--out", str(tmp_path / "out")],
        capture_output=True, text=True, check=False, cwd=tmp_path, env=environment,
    )  # fmt: skip
    assert finished.returncode == 2
    (said,) = finished.stderr.splitlines()
    assert said == (
        "error: tasks.aibo-gait: cannot build policysearch/Aibo-v0: it needs MuJoCo: pip install "
        "'policysearch[mujoco]', or take the reduced model, aibo-gait-reduced"
    )
    assert finished.stdout == ""
    assert os.listdir(tmp_path) == []
