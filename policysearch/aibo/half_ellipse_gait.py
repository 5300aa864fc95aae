"""The trot of the AIBO gait work: every foot follows half an ellipse, described by twelve numbers.

Source: Kohl & Stone 2004, ICRA, "Policy gradient reinforcement learning for fast quadrupedal locomotion".
A foot is on the ground for a fraction of the cycle, pushed backward at constant speed along a straight line from
y₀ + L to y₀ − L; the rest of the cycle it flies forward along the upper half of an ellipse. Diagonal legs move
together, the other pair half a cycle later. Left and right legs do the same. With phase s ∈ [0, 1) of a leg and
ground fraction f:

    s < f:  y = y₀ + L (1 − 2 s/f),         z = 0
    s ≥ f:  y = y₀ − L cos(π (s − f)/(1 − f)),  z = h sin(π (s − f)/(1 − f))
    x = x₀ + skew · (y − y₀)

in the paper's letters: x to the side (outward from the shoulder), y fore and aft, z up from the ground. The
body is pitched so that the shoulders are at the front body height above the foot's ball on the ground, the
hips at the rear one.

The values at the start, the ε of the perturbations and the learned gait are the paper's table as recalled,
not verified; units as there. What is read into it: L is half of "locus length" (with the whole, the fastest
gait of the paper would have to slide forward); heights end at the centre of the foot's ball; the skew moves a
foot outward as it goes forward. One unit of a search is 12 ε, so that 1/12 is the paper's perturbation; bounds
are ±6 ε, and for the time 0.55 to 0.85 s and for the fraction 0.25 to 0.75 (modelling choices; the front x offset
of the paper's learned gait lies 0.4 ε beyond).

When to use it: to repeat the study of Kohl & Stone, as a controller of twelve parameters with noise and falls.
When not: for other robots: its kinematics are those of the ERS-210.
"""

# mypy: disable-error-code="name-defined, no-untyped-def, no-untyped-call, call-arg, var-annotated"

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from numba import njit

from policysearch.aibo.ers210 import FORWARD, JOINTS, REAR_LEFT, SHOULDER_X, angles_from_ball
from policysearch.core import Array
from policysearch.policies.controller import CompiledController, check_actions
from policysearch.space import Parameter, Space

#: Name, unit, value at the start, perturbation ε, and the learned value, as the paper has them.
TABLE = (
    ("front locus height", "cm", 4.2, 0.35, 4.081),
    ("front locus x offset", "cm", 2.8, 0.35, 0.574),
    ("front locus y offset", "cm", 4.9, 0.35, 5.152),
    ("rear locus height", "cm", 5.6, 0.35, 6.02),
    ("rear locus x offset", "cm", 0.0, 0.35, 0.217),
    ("rear locus y offset", "cm", -2.8, 0.35, -2.982),
    ("locus length", "cm", 4.893, 0.35, 5.285),
    ("locus skew", "", 0.035, 0.175, 0.049),
    ("front body height", "cm", 7.7, 0.35, 7.483),
    ("rear body height", "cm", 11.2, 0.35, 10.843),
    ("time through locus", "s", 0.704, 0.016, 0.679),
    ("fraction on ground", "", 0.5, 0.05, 0.43),
)
#: Bounds other than six ε around the start.
BOUNDS = {"time through locus": (0.55, 0.85), "fraction on ground": (0.25, 0.75)}
EPSILONS_PER_UNIT = 12.0


def _parameter(name: str, unit: str, start: float, epsilon: float) -> Parameter:
    lower, upper = BOUNDS.get(name, (start - 6.0 * epsilon, start + 6.0 * epsilon))
    return Parameter(name, start, lower, upper, unit, step=EPSILONS_PER_UNIT * epsilon)


SPACE = Space(tuple(_parameter(*row[:4]) for row in TABLE))

#: The part of a cycle by which a leg is ahead: diagonal legs together.
_PHASE = np.array([0.0, 0.5, 0.5, 0.0])
_CM = 0.01


@njit(error_model="numpy")
def ball_of_gait(gait, leg, clock, ball):
    """Write the position of the foot's ball, in the leg's own frame in m, into `ball`.

    `gait` has the twelve values in their own units, `clock` is in seconds.
    """
    rear = leg >= REAR_LEFT
    first = 3 if rear else 0
    height, x_0, y_0 = gait[first] * _CM, gait[first + 1] * _CM, gait[first + 2] * _CM
    L, skew, f = gait[6] * _CM, gait[7], gait[11]
    front_height, rear_height = gait[8] * _CM, gait[9] * _CM
    s = clock / gait[10] + _PHASE[leg]
    s -= math.floor(s)
    if s < f:
        y, z = L * (1.0 - 2.0 * s / f), 0.0
    else:
        angle = math.pi * (s - f) / (1.0 - f)
        y, z = -L * math.cos(angle), height * math.sin(angle)
    down = (rear_height if rear else front_height) - z
    forward, outward = y_0 + y, x_0 + skew * y
    # from the ground's directions to those of the body, whose nose is lower where the front is
    sine = min(max((rear_height - front_height) / (2.0 * SHOULDER_X), -1.0), 1.0)
    cosine = math.sqrt(1.0 - sine * sine)
    ball[0] = FORWARD[leg] * (cosine * forward + sine * down)
    ball[1] = outward
    ball[2] = sine * forward - cosine * down


@njit(error_model="numpy")
def law(gait, obs, state, ball, action):
    """The twelve joint angles for the clock in the first number of the observation."""
    for leg in range(4):
        ball_of_gait(gait, leg, obs[0], ball)
        q1, q2, q3, _ = angles_from_ball(leg, ball[0], ball[1], ball[2])
        action[3 * leg], action[3 * leg + 1], action[3 * leg + 2] = q1, q2, q3


@dataclass(frozen=True)
class HalfEllipseGait(CompiledController):
    """Twelve gait parameters to twelve joint angles, by the clock in the first number of an observation.

    Its parameters are the coordinates of `space`; `space.decode` gives them names and units.
    """

    law, space = staticmethod(law), SPACE
    action_size = 4 * len(JOINTS)  # rad: rotator, elevator, knee of each leg
    scratch_size = 3

    obs_size: int

    @classmethod
    def of(cls, interface: Any) -> "HalfEllipseGait":
        """The gait for an environment (`Interface`) whose actions are the joint angles of four legs.

        Raises:
            ValueError: for other actions.
        """
        expected = "actions that are the twelve joint angles of an AIBO"
        check_actions("half-ellipse-gait", interface, 4 * len(JOINTS), expected)
        return cls(interface.obs_size)


def locus(gait: Float[Array, "12"], leg: int, clock: Float[Array, "t"]) -> Float[Array, "t 3"]:
    """Positions of a foot's ball at these times, in the leg's frame in m; `gait` in the paper's units."""
    balls = np.empty((len(clock), 3))
    for ball, seconds in zip(balls, clock, strict=True):
        ball_of_gait(np.asarray(gait, dtype=float), leg, seconds, ball)
    return balls


def unreachable(gait: Float[Array, "12"], frames: int = 100) -> int:
    """How many of the points of one cycle, `frames` for each leg, are out of reach of knee and leg."""
    times = np.arange(frames) / frames * gait[10]
    return sum(not angles_from_ball(leg, *ball)[3] for leg in range(4) for ball in locus(gait, leg, times))
