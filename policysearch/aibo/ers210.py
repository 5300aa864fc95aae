"""The legs of Sony's AIBO ERS-210: where its joints are, where its feet go, and back.

Source of the numbers: Carnegie Mellon's CMPack kinematics as kept in Tekkotsu (`Motion/OldKinematics.cc`,
`Shared/ERS210Info.h`). Lengths in metres, angles in radians. Legs are numbered left front, right front, left
rear, right rear; joints rotator (about the axis from side to side), elevator (about the long axis of the body)
and knee.

Every leg has a frame of its own at its shoulder in which all four are alike: x points from the leg's end of
the body to the middle (backward at the front, forward at the rear), y outward, z up. There

    p = R_y(q₁) R_x(q₂) (u + R_y(q₃) l)

is the centre of the foot's ball; u runs from shoulder to knee, l from knee to ball. Elbows bend backward,
knees forward.
"""

# mypy: disable-error-code="no-untyped-def"

import math

import numpy as np
from numba import njit

FRONT_LEFT, FRONT_RIGHT, REAR_LEFT, REAR_RIGHT = range(4)
LEGS = ("left front", "right front", "left rear", "right rear")
JOINTS = ("rotator", "elevator", "knee")

#: m, from the middle of the body to a shoulder: forward or backward, and to the side.
SHOULDER_X, SHOULDER_Y = 0.0595, 0.0592
#: m, from shoulder to knee, in the leg's frame: u.
UPPER = (-0.0128, 0.0005, -0.064)
#: m, from knee to the centre of the foot's ball: l of the front and of the rear legs.
LOWER_FRONT, LOWER_REAR = (0.01888, 0.0, -0.066), (0.02936, 0.0, -0.07088)
#: m, of the foot's ball.
FOOT_RADIUS = 0.01396
#: rad, what the robot's own software allows: rotator, elevator, knee.
LOWEST = (math.radians(-117.0), math.radians(-11.0), math.radians(-27.0))
HIGHEST = (math.radians(117.0), math.radians(89.0), math.radians(147.0))

#: +1 where the leg's x points forward; +1 where its y points to the left.
FORWARD, LEFT = (-1.0, -1.0, 1.0, 1.0), (1.0, -1.0, 1.0, -1.0)
_LOWER = np.array([LOWER_FRONT, LOWER_FRONT, LOWER_REAR, LOWER_REAR])


def reach(leg: int) -> float:
    """The greatest distance from shoulder to ball, in m."""
    u, l = np.array(UPPER), _LOWER[leg]  # noqa: E741 - the formula's letter
    straight = math.hypot(u[0], u[2]) + math.hypot(l[0], l[2])
    return math.hypot(straight, u[1])


@njit
def ball_from_angles(leg, q1, q2, q3):
    """The centre of a foot's ball in its leg's frame: p of the formula above."""
    lx, lz = _LOWER[leg, 0], _LOWER[leg, 2]
    vx = UPPER[0] + math.cos(q3) * lx + math.sin(q3) * lz
    vy = UPPER[1]
    vz = UPPER[2] - math.sin(q3) * lx + math.cos(q3) * lz
    wy = math.cos(q2) * vy - math.sin(q2) * vz
    wz = math.sin(q2) * vy + math.cos(q2) * vz
    return math.cos(q1) * vx + math.sin(q1) * wz, wy, -math.sin(q1) * vx + math.cos(q1) * wz


@njit
def angles_from_ball(leg, px, py, pz):
    """Joint angles that bring the ball to p, which lies below the shoulder, and whether it can get there.

    The knee bends between straight and its limit; a point too far away or too close for that is replaced by
    the nearest one on the same ray, and one too far to the side by the nearest the leg gets to, so that the
    angles are continuous in p. The limits of rotator and elevator are left to the robot.
    The knee's equation is a sin q₃ + b cos q₃ = d with

        a = 2(u_x l_z − u_z l_x),  b = 2(u_x l_x + u_z l_z),  d = |p|² − |u|² − |l|².
    """
    ux, uy, uz = UPPER
    lx, lz = _LOWER[leg, 0], _LOWER[leg, 2]
    a, b = 2.0 * (ux * lz - uz * lx), 2.0 * (ux * lx + uz * lz)
    size, straight = math.hypot(a, b), math.atan2(a, b)
    lengths = ux * ux + uy * uy + uz * uz + lx * lx + lz * lz
    nearest, farthest = lengths + size * math.cos(HIGHEST[2] - straight), lengths + size
    square = px * px + py * py + pz * pz
    reachable = nearest <= square <= farthest
    if not reachable and square > 0.0:
        shrink = math.sqrt(min(max(square, nearest), farthest) / square)
        px, py, pz = px * shrink, py * shrink, pz * shrink
        square = px * px + py * py + pz * pz
    q3 = straight + math.acos(min(max((square - lengths) / size, -1.0), 1.0))
    vx = ux + math.cos(q3) * lx + math.sin(q3) * lz
    vz = uz - math.sin(q3) * lx + math.cos(q3) * lz
    # p_y = cos q₂ v_y − sin q₂ v_z, with the leg below the body
    length = math.hypot(uy, vz)
    reachable = reachable and abs(py) <= length
    q2 = math.asin(min(max(py / length, -1.0), 1.0)) - math.atan2(uy, -vz)
    wz = math.sin(q2) * uy + math.cos(q2) * vz
    q1 = math.atan2(px, pz) - math.atan2(vx, wz)
    if q1 > math.pi:
        q1 -= 2.0 * math.pi
    elif q1 < -math.pi:
        q1 += 2.0 * math.pi
    return q1, q2, q3, reachable
