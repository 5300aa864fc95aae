"""One timed walk of an AIBO: what the experiment and its servos are, whatever the model of the body.

The robot stands, starts to walk, and after a run-up its speed is taken over three seconds. Between two walks the
floor, the battery, the phase of the gait (also where in a cycle the watch starts and stops) and the watch differ: the
reason why Kohl & Stone (2004) averaged three. Walking backward is a negative speed; a fall is 0.
Everything marked "choice" is a modelling choice.
"""

# mypy: disable-error-code="no-untyped-def"

import math
from functools import lru_cache
from typing import Any

import gymnasium as gym
import numpy as np
from jaxtyping import Float
from numba import njit

from policysearch.aibo.ers210 import HIGHEST, JOINTS, LEGS, LOWEST, angles_from_ball
from policysearch.core import Array

ANGLES = len(LEGS) * len(JOINTS)

# ------------------------------------------------------------------------------------------------ servos
FRAME = 0.008  # s, between commands (Tekkotsu)
LAG = 0.025  # s, time constant of a servo (choice)
RATE = 4.0  # rad/s, fastest motion of a servo with a full battery (choice; Sony recommends 2.5 to 2.8)
# ---------------------------------------------------------------------------------------- the traversal
STANDING = 0.105  # m, from the shoulders to the balls of the feet of the robot that stands (choice)
SOFT_START = 0.8  # s, from standing still to the gait (choice)
RUN_UP, TIMED = 1.5, 3.0  # s, about two and four cycles of the first gait (choice)
RUN_UP_FRAMES, TIMED_FRAMES = round(RUN_UP / FRAME), round(TIMED / FRAME)
FRAMES = RUN_UP_FRAMES + TIMED_FRAMES
# ------------------------------------------------------------------------ what differs between traversals
LATEST_START = 1.0  # s, on the clock of the gait when a traversal begins
FRICTION_SPREAD = 0.2  # of the carpet's friction, to either side (choice)
BATTERY, BATTERY_SPREAD = 0.965, 0.035  # of the servos' speed: middle, and to either side (choice)
TILT = math.radians(0.5)  # rad, the floor is level up to this in both directions (choice)
TIMING = 0.015  # standard deviation of the measured time, relative (choice)
#: The places of all these in the draw of an episode.
CLOCK, FRICTION, SPEED, ALONG, ACROSS, WATCH = range(6)

ACTION_SPACE = gym.spaces.Box(np.tile(LOWEST, 4), np.tile(HIGHEST, 4), (ANGLES,), np.float64)


def draw(rng: np.random.Generator, noise: float = 1.0) -> Float[Array, "6"]:
    """The clock (s), friction (relative), fastest motion (rad/s), tilts (rad), and the watch's error (relative).

    `noise` stretches all but the clock about their middle.
    """
    friction, battery, along, across = noise * rng.uniform(-1.0, 1.0, 4)
    return np.array(
        [
            rng.uniform(0.0, LATEST_START),
            1.0 + FRICTION_SPREAD * friction,
            RATE * (BATTERY + BATTERY_SPREAD * battery),
            TILT * along,
            TILT * across,
            noise * TIMING * rng.standard_normal(),
        ]
    )


@lru_cache
def _standing_angles() -> tuple[float, ...]:
    angles: list[Any] = [angles_from_ball(leg, 0.0, 0.0, -STANDING)[:3] for leg in range(len(LEGS))]
    return tuple(float(angle) for angle in np.ravel(angles))


def standing_angles() -> Float[Array, "12"]:
    """The joint angles of the robot that stands, in rad."""
    return np.array(_standing_angles())


@njit(error_model="numpy")
def drive(reference, standing, action, frames, speed):
    """Move the servos' references for one frame: first-order lag, then the limit `speed` in rad/s.

    The walk begins gradually: in the first frames the command is a mixture of the standing pose and the action.
    """
    share, most = 1.0 - math.exp(-FRAME / LAG), speed * FRAME
    part = min(frames * FRAME / SOFT_START, 1.0)
    for i in range(action.size):
        wanted = standing[i] + part * (action[i] - standing[i])
        reference[i] += min(max(share * (wanted - reference[i]), -most), most)
