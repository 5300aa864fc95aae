"""The AIBO ERS-210 on a carpet, walking a timed stretch: Kohl & Stone's experiment in MuJoCo.

The action is what the robot's own walking engine sends: twelve joint angles in every command frame of 8 ms. An
episode is one traversal (`traversal`): a run-up, then three seconds that are timed. Rewards add up to the speed
over these, in mm/s, along the mean heading of the body: the real robots steered by their beacons. A fall ends the
episode with a return of 0.

Sources: kinematics and joint limits CMPack/Tekkotsu (`policysearch.aibo.ers210`); proportions of the masses Webots'
ERS-7, whose author took them from the ERS-210, scaled to 1.4 kg. Everything marked "choice" is a modelling choice.
All constants, also those of the traversal, were fixed on 2026-11-21 before any method searched: so that the first
gait of Kohl & Stone walks without falling, its traversals differ by a standard deviation of 5 to 12 mm/s, and half
the time step changes the speeds of gaits around it by less than 3 % on average. The servos' speed lies between what
Sony recommends (2.8 rad/s, with which no random gait came near the 291 mm/s that the robot did) and 6 rad/s (with
which traversals of the first gait differ by 28 mm/s): a calibration that makes the robot's speed possible, so that
reaching it confirms nothing. `experiments/aibo_gait/checks.py` measures all of this.
"""

# mypy: disable-error-code="no-untyped-def, call-arg"

import math
from functools import lru_cache, partial
from typing import Any, NamedTuple

import gymnasium as gym
import mujoco
import numpy as np
from jaxtyping import Float
from numba import njit

from policysearch.aibo.camera import Camera
from policysearch.aibo.ers210 import (
    FOOT_RADIUS,
    FORWARD,
    HIGHEST,
    JOINTS,
    LEFT,
    LEGS,
    LOWER_FRONT,
    LOWER_REAR,
    LOWEST,
    REAR_LEFT,
    SHOULDER_X,
    SHOULDER_Y,
    UPPER,
)
from policysearch.aibo.traversal import (
    ACROSS,
    ACTION_SPACE,
    ALONG,
    ANGLES,
    CLOCK,
    FRAME,
    FRICTION,
    RUN_UP_FRAMES,
    SPEED,
    STANDING,
    TIMED,
    WATCH,
    draw,
    drive,
    standing_angles,
)
from policysearch.core import Array
from policysearch.simulators.mujoco_world import WARNINGS, World, advance
from policysearch.simulators.mujoco_world import make_world as make_mujoco_world
from policysearch.simulators.mujoco_world import reset as reset_mujoco
from policysearch.simulators.simulator import Simulator, SimulatorEnv

# --------------------------------------------------------------------------------------------- the body
MASS = 1.4  # kg, with battery (recalled)
#: kg; Webots' ERS-7, before scaling: body, neck with head, and of each leg shoulder, upper and lower part.
BODY_MASS, HEAD_MASS, SHOULDER_MASS, UPPER_MASS, LOWER_MASS = 0.613, 0.215, 0.05, 0.073, 0.073
SCALE = MASS / (BODY_MASS + HEAD_MASS + 4 * (SHOULDER_MASS + UPPER_MASS + LOWER_MASS))
BODY_SIZE = (0.119, 0.090, 0.070)  # m, length, width, height of the box (choice)
HEAD_AT = (0.09, 0.0, 0.04)  # m, from the middle of the body (choice)
LEG_RADIUS = 0.010  # m, of the capsules (choice)
# -------------------------------------------------------------------------------------- ground and servos
CARPET = 0.8  # friction of a foot on carpet (choice)
SOFTNESS = 0.01  # s, time constant in which the ground pushes a foot back out, critically damped (choice)
TIMESTEP = 0.004  # s, of the physics
STIFFNESS = 8.0  # N·m/rad (choice)
DAMPING = 0.15  # N·m·s/rad, of the servo's controller (choice)
TORQUE = 0.8  # N·m, the most a servo gives (choice)
ARMATURE = 5e-4  # kg·m², rotor and gears seen from the joint (choice)
GRAVITY = 9.81  # m/s²
# ------------------------------------------------------------------------------------------------- a fall
UPRIGHT = math.cos(math.radians(45.0))  # a body that leans more has fallen
LOWEST_BODY = 0.04  # m, so has one that is lower


def _vector(numbers: Any) -> str:
    return " ".join(f"{number:.6g}" for number in numbers)


def _leg(leg: int) -> str:
    """One leg: shoulder, upper and lower part, each turned by a joint, and the ball of the foot."""
    forward, left, name = FORWARD[leg], LEFT[leg], LEGS[leg].replace(" ", "_")
    lower = LOWER_REAR if leg >= REAR_LEFT else LOWER_FRONT

    def turned(p: tuple[float, ...]) -> str:  # from the leg's frame to the body's
        return _vector((forward * p[0], left * p[1], p[2]))

    # A rotation about the leg's y seen from the body: mirroring x reverses it, mirroring y does not.
    y, x = (0.0, forward, 0.0), (left, 0.0, 0.0)
    where = (-SHOULDER_X if leg >= REAR_LEFT else SHOULDER_X, left * SHOULDER_Y, 0.0)

    def joint(i: int, axis: tuple[float, ...]) -> str:
        limits = _vector((LOWEST[i], HIGHEST[i]))
        return f'<joint name="{name}_{JOINTS[i]}" axis="{_vector(axis)}" range="{limits}"/>'

    return f"""
    <body name="{name}_shoulder" pos="{_vector(where)}">
      {joint(0, y)}
      <geom type="sphere" size="0.018" mass="{SCALE * SHOULDER_MASS:.6g}" contype="0"/>
      <body name="{name}_upper">
        {joint(1, x)}
        <geom type="capsule" fromto="0 0 0 {turned(UPPER)}" size="{LEG_RADIUS}" mass="{SCALE * UPPER_MASS:.6g}"/>
        <body name="{name}_lower" pos="{turned(UPPER)}">
          {joint(2, y)}
          <geom type="capsule" fromto="0 0 0 {turned(lower)}" size="{LEG_RADIUS}"
                mass="{SCALE * LOWER_MASS:.6g}"/>
          <geom name="{name}_foot" type="sphere" pos="{turned(lower)}" size="{FOOT_RADIUS}" mass="0"
                rgba="0.25 0.25 0.3 1"/>
          <site name="{name}_ball" pos="{turned(lower)}" size="0.004"/>
        </body>
      </body>
    </body>"""


def mjcf() -> str:
    """The robot and the carpet as MuJoCo's XML; parts of the robot do not collide with each other."""
    servos = "\n".join(
        f'    <position joint="{LEGS[leg].replace(" ", "_")}_{joint}"/>'
        for leg in range(4)
        for joint in JOINTS
    )
    return f"""
<mujoco model="ERS-210">
  <compiler angle="radian"/>
  <option timestep="{TIMESTEP}" integrator="implicitfast" cone="elliptic" iterations="10" ls_iterations="10"/>
  <visual><global offwidth="1280" offheight="720"/><headlight ambient="0.4 0.4 0.4"/></visual>
  <default>
    <joint type="hinge" armature="{ARMATURE}" limited="true"/>
    <geom contype="1" conaffinity="0" rgba="0.72 0.74 0.78 1"/>
    <position kp="{STIFFNESS}" kv="{DAMPING}" forcelimited="true" forcerange="-{TORQUE} {TORQUE}"/>
  </default>
  <asset>
    <texture name="carpet" type="2d" builtin="checker" rgb1="0.20 0.42 0.28" rgb2="0.23 0.47 0.31" width="256"
             height="256"/>
    <material name="carpet" texture="carpet" texrepeat="10 10" texuniform="true"/>
  </asset>
  <worldbody>
    <light pos="0 0 2" directional="true" dir="0.2 0.3 -1"/>
    <geom name="floor" type="plane" size="0 0 0.1" contype="0" conaffinity="1" priority="1" condim="3"
          solref="{SOFTNESS} 1" friction="{CARPET} 0.005 0.0001" material="carpet"/>
    <body name="torso" pos="0 0 {STANDING + FOOT_RADIUS}">
      <freejoint/>
      <geom type="box" size="{_vector(side / 2 for side in BODY_SIZE)}" mass="{SCALE * BODY_MASS:.6g}"/>
      <geom name="head" type="ellipsoid" pos="{_vector(HEAD_AT)}" size="0.045 0.03 0.03"
            mass="{SCALE * HEAD_MASS:.6g}"/>
{"".join(_leg(leg) for leg in range(4))}
    </body>
  </worldbody>
  <actuator>
{servos}
  </actuator>
</mujoco>"""


def make_model(timestep: float = TIMESTEP) -> Any:
    """MuJoCo's model of the robot."""
    model = mujoco.MjModel.from_xml_string(mjcf())
    model.opt.timestep = timestep
    return model


class Walk(NamedTuple):
    """A traversal: the robot, the places in its model that differ between traversals, and its tally."""

    robot: World
    friction: Array  # (geoms, 3) of the model, the floor first
    gravity: Array  # (3,) of the model, m/s²
    start: Array  # position and velocity of the robot that stands
    standing: Array  # (12,) its joint angles as commanded, rad
    reference: Array  # (12,) where the servos are being driven, rad
    draw: Array  # (6,) what is special about this traversal
    tally: Array  # (6,) see below


#: Places in `Walk.tally`: frames so far, reward so far (mm/s), where the watch was started (m), and the sum of the
#: body's headings since then.
DONE, SO_FAR, X, Y, AHEAD, LEFTWARD = range(6)


@njit(error_model="numpy")
def reset(walk, noise):
    """The standing robot, and the random values of this traversal."""
    reset_mujoco(walk.robot, walk.start)
    walk.reference[:] = walk.standing
    walk.draw[:] = noise
    walk.friction[0, 0] = CARPET * noise[FRICTION]
    along, across = math.sin(noise[ALONG]), math.sin(noise[ACROSS])
    walk.gravity[0], walk.gravity[1] = GRAVITY * along, GRAVITY * across
    walk.gravity[2] = -GRAVITY * math.sqrt(1.0 - along * along - across * across)
    walk.tally[:] = 0.0


@njit(error_model="numpy")
def upright(robot):
    """The cosine of the angle between the body's own vertical and the world's."""
    return 1.0 - 2.0 * (robot.qpos[4] ** 2 + robot.qpos[5] ** 2)


@njit(error_model="numpy")
def observe(walk, obs):
    """The gait's clock (s), down as the body sees it (three numbers), and the joint angles (rad)."""
    w, x, y, z = walk.robot.qpos[3], walk.robot.qpos[4], walk.robot.qpos[5], walk.robot.qpos[6]
    obs[0] = walk.draw[CLOCK] + walk.tally[DONE] * FRAME
    obs[1], obs[2], obs[3] = -2.0 * (x * z - w * y), -2.0 * (y * z + w * x), -upright(walk.robot)
    for i in range(ANGLES):
        obs[4 + i] = walk.robot.qpos[7 + i]


@njit(error_model="numpy")
def measured(walk):
    """Speed along the mean heading, in mm/s, if the watch stopped now and the time were full.

    The present heading is added to the tally: call it once in a frame.
    """
    qpos, tally = walk.robot.qpos, walk.tally
    w, x, y, z = qpos[3], qpos[4], qpos[5], qpos[6]
    ahead, leftward = 1.0 - 2.0 * (y * y + z * z), 2.0 * (w * z + x * y)
    length = math.hypot(ahead, leftward)
    if length > 0.0:
        tally[AHEAD] += ahead / length
        tally[LEFTWARD] += leftward / length
    mean = math.hypot(tally[AHEAD], tally[LEFTWARD])
    if mean == 0.0:
        return 0.0
    distance = ((qpos[0] - tally[X]) * tally[AHEAD] + (qpos[1] - tally[Y]) * tally[LEFTWARD]) / mean
    return 1000.0 * distance / (TIMED * (1.0 + walk.draw[WATCH]))


@njit(error_model="numpy")
def step(walk, action):
    """One command frame; rewards add up to the measured speed in mm/s."""
    robot, tally = walk.robot, walk.tally
    drive(walk.reference, walk.standing, action, tally[DONE], walk.draw[SPEED])
    status = advance(robot, walk.reference)
    tally[DONE] += 1.0
    if status < 0:
        return 0.0, status
    if upright(robot) < UPRIGHT or robot.qpos[2] < LOWEST_BODY:
        return -tally[SO_FAR], 1  # the return is 0
    if tally[DONE] <= RUN_UP_FRAMES:
        tally[X], tally[Y] = robot.qpos[0], robot.qpos[1]
        return 0.0, 0
    reward = measured(walk) - tally[SO_FAR]
    tally[SO_FAR] += reward
    return reward, 0


@lru_cache
def standing_still() -> Float[Array, "q"]:
    """Position and velocity of the robot after it has stood still for a second."""
    model = make_model()
    data = mujoco.MjData(model)
    data.qpos[7:] = data.ctrl[:] = standing_angles()
    for _ in range(round(1.0 / TIMESTEP)):
        mujoco.mj_step(model, data)
    data.qpos[:2] = 0.0
    return np.concatenate([data.qpos, data.qvel])


def make_walk(timestep: float = TIMESTEP) -> Walk:
    """A robot with a model of its own: friction and gravity differ between traversals."""
    model = make_model(timestep)
    robot = make_mujoco_world(model, round(FRAME / timestep))
    start, standing = standing_still(), standing_angles()
    return Walk(
        robot,
        model.geom_friction,
        model.opt.gravity,
        start,
        standing,
        standing.copy(),
        np.zeros(6),
        np.zeros(6),
    )


@lru_cache
def make_simulator(noise: float = 1.0, timestep: float = TIMESTEP) -> Simulator:
    """The traversal as a simulator; `noise` scales what differs between traversals."""
    return Simulator(
        observation_space=gym.spaces.Box(-np.inf, np.inf, (4 + ANGLES,), np.float64),
        action_space=ACTION_SPACE,
        make_world=partial(make_walk, timestep),
        draw=partial(draw, noise=noise),
        reset=reset,
        observe=observe,
        step=step,
        failures=WARNINGS,
    )


class AiboEnv(SimulatorEnv):
    """The traversal as a Gymnasium environment; `noise` scales what differs between traversals.

    Raises:
        ValueError: for a render mode other than `rgb_array`.
    """

    simulator = make_simulator()
    metadata = {"render_modes": ["rgb_array"], "render_fps": round(1.0 / FRAME)}  # noqa: RUF012 - Gymnasium's own

    def __init__(self, noise: float = 1.0, render_mode: str | None = None) -> None:
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"render_mode: expected 'rgb_array' or None, got {render_mode!r}")
        self.simulator, self.render_mode = make_simulator(noise), render_mode
        self._camera: Camera | None = None
        super().__init__()

    def render(self) -> Any:
        """The robot seen from its right, in colours from 0 to 255: (height, width, 3).

        Raises:
            RuntimeError: if nothing can be drawn here; it says what to install.
        """
        if self.render_mode is None:
            gym.logger.warn('AiboEnv: for pictures, make it with render_mode="rgb_array"')
            return None
        if self._camera is None:
            self._camera = Camera(make_model())
        return self._camera.picture(self._world.robot.qpos)

    def close(self) -> None:
        """Release the renderer."""
        if self._camera is not None:
            self._camera.close()
            self._camera = None
