"""A central pattern generator for a swimming chain: coupled oscillators set the angles of its joints.

Source: Ijspeert, Crespi, Ryczko & Cabelguen 2007, Science 315, "From swimming to walking with a salamander robot
driven by a spinal cord model"; Ijspeert 2008, Neural Networks 21, "Central pattern generators for locomotion control
in animals and robots: a review"; the offset is that of Sproewitz et al. 2008, IJRR 27, "Learning to move in modular
robots using central pattern generators and online optimization"; all as recalled, not verified. Joint i, counted from
the head, has a phase θ_i (rad), an amplitude r_i (rad) and its speed r_i'; the chain has one offset x (rad):

    θ_i' = 2πν + Σ_j w r_j sin(θ_j − θ_i − φ_ij)     over its neighbours, φ_ij = −φ for the next, φ for the one before
    r_i'' = a (a/4 (R_i − r_i) − r_i'),   x'' = a (a/4 (X − x) − x')
    q*_i = x + r_i cos θ_i,   torque_i = k (q*_i − q_i − T q_i')     within its limits

with the frequency ν, the phase lag φ of a joint behind the one before, the offset X, amplitudes R_i on a straight
line from head to tail, and the stiffness k. Locked, every θ_i' is 2πν. A positive lag sends waves to the tail and the
chain forward; an offset bends its path. At the start all phases, amplitudes and the offset are 0.

Over a step the parameters are constant. The amplitudes are critically damped and follow their closed form; the phases
follow the midpoint rule, which makes no error once they are locked.

State: θ_i, r_i, r_i', x and x'. Observed as in Gymnasium's Swimmer with n joints: the heading, n joint angles, two
speeds, the rate of the heading, n joint speeds.

When to use it: for periodic gaits of chains and legs: few parameters, and smooth motions from the first
rollout.
When not: where the motion has to react to what is observed: it is blind but for the joint angles of its servo.
"""

# mypy: disable-error-code="name-defined, no-untyped-def, no-untyped-call, call-arg, var-annotated"

import math
from dataclasses import dataclass
from typing import Any

from numba import njit

from policysearch.elementary import cos, exp, sin
from policysearch.policies.controller import CompiledController, check_actions, check_observations
from policysearch.space import Parameter, Space

RATE = 20.0  # a, 1/s (choice)
COUPLING = 10.0  # w, 1/(s·rad) (choice)
SUBSTEP = 0.01  # s at most (choice)
DAMPING_TIME = 0.05  # T, s (choice)

#: Bounds and starts are choices. A torque of Swimmer-v5 is between −1 and 1, of 150 N·m.
SPACE = Space(
    (
        Parameter("frequency", 0.5, 0.1, 3.0, "Hz", scale="log"),
        Parameter("head amplitude", 0.4, 0.05, 1.5, "rad"),
        Parameter("tail amplitude", 0.4, 0.05, 1.5, "rad"),
        Parameter("phase lag", 0.3, -3.0, 3.0, "rad"),
        Parameter("offset", 0.0, -0.5, 0.5, "rad"),
        Parameter("stiffness", 1.0, 0.1, 30.0, "1/rad", scale="log"),
    )
)


@njit(error_model="numpy")
def approach(value, speed, i, target, h):
    """Move `value[i]` and `speed[i]` on by h seconds of v'' = a (a/4 (target − v) − v')."""
    b = 0.5 * RATE
    distance = value[i] - target
    slope, decay = speed[i] + b * distance, exp(-b * h)
    value[i] = target + (distance + slope * h) * decay
    speed[i] = (speed[i] - b * slope * h) * decay


@njit(error_model="numpy")
def pace(theta, r, frequency, lag, rate):
    """Write the θ_i' into `rate`."""
    rate[:] = 2.0 * math.pi * frequency
    for i in range(len(theta) - 1):
        pull = COUPLING * sin(theta[i + 1] - theta[i] + lag)
        rate[i] += r[i + 1] * pull
        rate[i + 1] -= r[i] * pull


@njit(error_model="numpy")
def swell(r, r_speed, head, tail, h):
    """Move the amplitudes on by h seconds towards a straight line from head to tail."""
    for i in range(len(r)):
        approach(r, r_speed, i, head + (tail - head) * i / (len(r) - 1), h)


@njit(error_model="numpy")
def law(values, obs, state, scratch, action):
    """One step of the oscillators, and the torques towards the angles that they ask for."""
    frequency, head, tail, lag = values[0], values[1], values[2], values[3]
    theta, r, r_speed = state[:JOINTS], state[JOINTS : 2 * JOINTS], state[2 * JOINTS : 3 * JOINTS]
    x, rate, halfway = state[3 * JOINTS :], scratch[:JOINTS], scratch[JOINTS:]
    substeps = math.ceil(DT / SUBSTEP)
    h = DT / substeps
    for _ in range(substeps):
        pace(theta, r, frequency, lag, rate)
        for i in range(JOINTS):
            halfway[i] = theta[i] + 0.5 * h * rate[i]
        swell(r, r_speed, head, tail, 0.5 * h)
        pace(halfway, r, frequency, lag, rate)
        for i in range(JOINTS):
            theta[i] += h * rate[i]
        swell(r, r_speed, head, tail, 0.5 * h)
    approach(x, x[1:], 0, values[4], DT)  # the offset and, behind it, its speed
    for i in range(JOINTS):
        missing = x[0] + r[i] * cos(theta[i]) - obs[1 + i]
        torque = values[5] * (missing - DAMPING_TIME * obs[4 + JOINTS + i])
        action[i] = torque if math.isnan(torque) else min(max(torque, -MAX_TORQUE), MAX_TORQUE)


@dataclass(frozen=True)
class PatternGenerator(CompiledController):
    """The controller for a chain with as many oscillators as joints."""

    law, space = staticmethod(law), SPACE

    joints: int
    dt: float  # s between two steps
    max_torque: float  # as the environment has it

    @classmethod
    def of(cls, interface: Any, dt: float) -> "PatternGenerator":
        """The controller for an environment (`Interface`) that is observed as a Swimmer.

        Raises:
            ValueError: for other observations or actions, and for fewer than two joints.
        """
        name, joints = "pattern-generator", max(interface.action_size, 2)
        check_actions(name, interface, joints, "the torques of two joints or more")
        expected = f"{2 * joints + 4} observations, those of a Swimmer with {joints} joints"
        check_observations(name, interface, 2 * joints + 4, expected)
        return cls(joints, dt, float(interface.action_space.high[0]))

    @property
    def action_size(self) -> int:
        """One torque per joint."""
        return self.joints

    @property
    def state_size(self) -> int:
        """Phase, amplitude and its speed of each joint; the offset and its speed."""
        return 3 * self.joints + 2

    @property
    def scratch_size(self) -> int:
        """Rates of the phases, and the phases half a substep later."""
        return 2 * self.joints
