"""The walk of an AIBO ERS-210 without MuJoCo: a quasi-static model, for fast tests.

A benchmark function with the shape of the problem, not a claim about the robot. Servos, timing and what differs
between traversals are those of `traversal`, legs those of `policysearch.aibo.ers210`; the body has no mass. In
every command frame of 8 ms the feet move by Δ_i relative to the body, seen in the directions of the floor, and

    w_i ∝ exp(−h_i / SINK),   v = −Σ_i w_i Δ_i / FRAME,   σ² = Σ_i w_i |v_i − v|²  with  v_i = −Δ_i / FRAME
    speed = (1 − PITCHED sin² θ) v_x − (SLIP / friction) (1 − slope / STEEP) σ²

where h_i is a foot's height, w_i the load that it carries, and σ² how much the feet disagree: they must slip. The
pitch θ (nose down) follows, within SETTLING, the line through the lower of the front and the lower of the rear feet;
there is no roll, so that a floor that is tilted to the side changes nothing. Rewards add up to the speed over the
timed stretch, in mm/s. The robot cannot fall.

Everything marked "choice" is a modelling choice, made before anything was run on the model and left as it was. In
searches most of the twelve gait parameters end between their bounds and some at one: long front legs, for instance,
cost nothing here.
"""

# mypy: disable-error-code="no-untyped-def"

import math
from functools import lru_cache, partial
from typing import NamedTuple

import gymnasium as gym
import numpy as np
from jaxtyping import Float
from numba import njit

from policysearch.aibo.ers210 import (
    FORWARD,
    FRONT_LEFT,
    LEFT,
    LEGS,
    REAR_LEFT,
    SHOULDER_X,
    SHOULDER_Y,
    ball_from_angles,
)
from policysearch.aibo.traversal import (
    ACTION_SPACE,
    ALONG,
    ANGLES,
    CLOCK,
    FRAME,
    FRICTION,
    RUN_UP_FRAMES,
    SPEED,
    TIMED,
    WATCH,
    draw,
    drive,
    standing_angles,
)
from policysearch.core import Array
from policysearch.simulators.simulator import Simulator, SimulatorEnv

SINK = 0.002  # m, a foot this much higher than another carries 1/e of its load (choice)
SLIP = 1.0  # s/m, speed that is lost for a variance of the feet's velocities (choice)
STEEP = 0.05  # rad, of a floor that falls forward so that slipping loses nothing (choice)
PITCHED = 1.0  # share of the speed that a body would lose whose nose points straight down (choice)
SETTLING = 0.05  # s, time constant in which the body turns to where the feet support it (choice)
MAX_PITCH = math.radians(45.0)  # rad, either way (choice)


class Walk(NamedTuple):
    """A traversal: the servos, the feet and the pitch that follow from them, and its tally."""

    standing: Float[Array, "12"]  # the joint angles of the robot that stands, rad
    reference: Float[Array, "12"]  # where the servos are, rad
    feet: Float[
        Array, "4 3"
    ]  # forward, to the left and up from the middle of the body, on the floor's axes, m
    draw: Float[Array, "6"]  # what is special about this traversal
    tally: Float[Array, "2"]  # see below


#: Places in `Walk.tally`: frames so far, and the pitch of the body, nose down, in rad.
DONE, PITCH = range(2)


@njit(error_model="numpy")
def place_feet(angles, pitch, feet):
    """Write into `feet` where the balls are for these joint angles, on the floor's axes."""
    sine, cosine = math.sin(pitch), math.cos(pitch)
    for leg in range(len(LEGS)):
        px, py, pz = ball_from_angles(leg, angles[3 * leg], angles[3 * leg + 1], angles[3 * leg + 2])
        x = FORWARD[leg] * px + (SHOULDER_X if leg < REAR_LEFT else -SHOULDER_X)
        feet[leg, 0] = cosine * x + sine * pz
        feet[leg, 1] = LEFT[leg] * (py + SHOULDER_Y)
        feet[leg, 2] = -sine * x + cosine * pz


@njit(error_model="numpy")
def supported_height(feet, left):
    """The height of the feet `left` and the next (m), each counted by the load that it would carry of both."""
    other = 1.0 / (1.0 + math.exp((feet[left + 1, 2] - feet[left, 2]) / SINK))
    return (1.0 - other) * feet[left, 2] + other * feet[left + 1, 2]


@njit(error_model="numpy")
def reset(walk, noise):
    """The standing robot, and the random values of this traversal."""
    walk.reference[:] = walk.standing
    walk.draw[:] = noise
    walk.tally[:] = 0.0
    place_feet(walk.reference, 0.0, walk.feet)


@njit(error_model="numpy")
def observe(walk, obs):
    """The gait's clock (s), down as the body sees it (three numbers), and the servos' angles (rad)."""
    pitch = walk.tally[PITCH]
    obs[0] = walk.draw[CLOCK] + walk.tally[DONE] * FRAME
    obs[1], obs[2], obs[3] = math.sin(pitch), 0.0, -math.cos(pitch)
    for i in range(ANGLES):
        obs[4 + i] = walk.reference[i]


@njit(error_model="numpy")
def ground_speed(before, feet):
    """How fast the loaded feet push the body forward (m/s), and the variance of their velocities (m²/s²)."""
    lowest = min(feet[0, 2], feet[1, 2], feet[2, 2], feet[3, 2])
    load = ahead = leftward = square = 0.0
    for leg in range(len(LEGS)):
        weight = math.exp((lowest - feet[leg, 2]) / SINK)
        v_x, v_y = (before[leg, 0] - feet[leg, 0]) / FRAME, (before[leg, 1] - feet[leg, 1]) / FRAME
        load += weight
        ahead += weight * v_x
        leftward += weight * v_y
        square += weight * (v_x * v_x + v_y * v_y)
    ahead, leftward = ahead / load, leftward / load
    return ahead, square / load - ahead * ahead - leftward * leftward


@njit(error_model="numpy")
def step(walk, action):
    """One command frame; rewards add up to the measured speed in mm/s."""
    tally, feet = walk.tally, walk.feet
    before = feet.copy()
    drive(walk.reference, walk.standing, action, tally[DONE], walk.draw[SPEED])
    place_feet(walk.reference, tally[PITCH], feet)
    lean = (supported_height(feet, FRONT_LEFT) - supported_height(feet, REAR_LEFT)) / (2.0 * SHOULDER_X)
    pitch = tally[PITCH] + (1.0 - math.exp(-FRAME / SETTLING)) * lean
    tally[PITCH] = min(max(pitch, -MAX_PITCH), MAX_PITCH)
    place_feet(walk.reference, tally[PITCH], feet)
    tally[DONE] += 1.0
    if tally[DONE] <= RUN_UP_FRAMES:
        return 0.0, 0
    ahead, variance = ground_speed(before, feet)
    slip = SLIP / walk.draw[FRICTION] * (1.0 - walk.draw[ALONG] / STEEP) * variance
    speed = (1.0 - PITCHED * math.sin(tally[PITCH]) ** 2) * ahead - slip
    return 1000.0 * FRAME * speed / (TIMED * (1.0 + walk.draw[WATCH])), 0


def make_walk() -> Walk:
    """A robot that stands."""
    standing = standing_angles()
    return Walk(standing, standing.copy(), np.zeros((len(LEGS), 3)), np.zeros(6), np.zeros(2))


@lru_cache
def make_simulator(noise: float = 1.0) -> Simulator:
    """The traversal as a simulator; `noise` scales what differs between traversals."""
    return Simulator(
        observation_space=gym.spaces.Box(-np.inf, np.inf, (4 + ANGLES,), np.float64),
        action_space=ACTION_SPACE,
        make_world=make_walk,
        draw=partial(draw, noise=noise),
        reset=reset,
        observe=observe,
        step=step,
    )


class AiboReducedEnv(SimulatorEnv):
    """The traversal as a Gymnasium environment; `noise` scales what differs between traversals."""

    simulator = make_simulator()

    def __init__(self, noise: float = 1.0) -> None:
        self.simulator = make_simulator(noise)
        super().__init__()
