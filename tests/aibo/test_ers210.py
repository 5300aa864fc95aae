"""The legs of the AIBO: forward kinematics against rotation matrices, and the way back."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from policysearch.aibo.ers210 import (
    FORWARD,
    HIGHEST,
    LEFT,
    LEGS,
    LOWER_FRONT,
    LOWER_REAR,
    LOWEST,
    REAR_LEFT,
    UPPER,
    angles_from_ball,
    ball_from_angles,
    reach,
)
from policysearch.core import Array
from policysearch.seeding import stream

#: mm, the sagittal lengths of the upper part and of the lower part in front and in the rear; and to the side.
UPPER_LENGTH, LOWER_LENGTHS, ASIDE = math.hypot(12.8, 64.0), (68.647, 76.720), 0.5
every_leg = pytest.mark.parametrize("leg", range(4), ids=LEGS)


def lower(leg: int) -> tuple[float, ...]:
    return LOWER_REAR if leg >= REAR_LEFT else LOWER_FRONT


def straight(leg: int) -> float:
    """The angle of the knee at which shoulder, knee and ball are in one line, seen from the side."""
    direction = [math.atan2(vector[0], -vector[2]) for vector in (UPPER, lower(leg))]
    return direction[1] - direction[0]  # R_y(q) turns what hangs down by q toward −x


def least(leg: int) -> float:
    """The distance from shoulder to ball with the knee bent fully."""
    return float(np.linalg.norm(ball_from_angles(leg, 0.0, 0.0, HIGHEST[2])))


def poses(leg: int, n: int) -> Array:
    """Angles between their limits, the knee bent as the robot bends it."""
    low = np.array([LOWEST[0], LOWEST[1], straight(leg) + 1e-6])
    high = np.array([HIGHEST[0], math.radians(85.0), HIGHEST[2] - 1e-9])
    return stream("poses", leg).uniform(low, high, (n, 3))


def by_matrices(leg: int, q: Array) -> Array:
    shoulder = Rotation.from_euler("y", q[0]) * Rotation.from_euler("x", q[1])
    return np.asarray(shoulder.apply(UPPER + Rotation.from_euler("y", q[2]).apply(lower(leg))))


@every_leg
def test_the_balls_place_is_that_of_three_rotation_matrices(leg: int) -> None:
    rng = stream("any angles", leg)
    for q in rng.uniform(-math.pi, math.pi, (200, 3)):
        assert np.array(ball_from_angles(leg, *q)) == pytest.approx(by_matrices(leg, q), abs=1e-15)


@every_leg
def test_angles_bring_the_ball_back_to_where_it_was(leg: int) -> None:
    for q in poses(leg, 2000):
        p = np.array(ball_from_angles(leg, *q))
        *angles, reachable = angles_from_ball(leg, *p)
        assert reachable
        assert np.abs(np.array(ball_from_angles(leg, *angles)) - p).max() < 1e-13  # m
        assert np.array(angles) == pytest.approx(q, abs=1e-9)


@every_leg
def test_no_foot_gets_further_than_upper_and_lower_part_in_one_line(leg: int) -> None:
    farthest = math.hypot(UPPER_LENGTH + LOWER_LENGTHS[leg >= REAR_LEFT], ASIDE)
    assert 1000 * reach(leg) == pytest.approx(farthest, abs=1e-3)
    assert 1000 * reach(leg) == pytest.approx(142.0 if leg >= REAR_LEFT else 133.9, abs=0.05)
    knees = np.append(np.linspace(-math.pi, math.pi, 1001), straight(leg))
    distances = [float(np.linalg.norm(ball_from_angles(leg, 0.3, 0.2, q3))) for q3 in knees]
    assert max(distances) == distances[-1] == pytest.approx(reach(leg), abs=1e-15)


@every_leg
def test_the_knee_goes_from_straight_at_the_greatest_distance_to_its_limit_at_the_least(leg: int) -> None:
    direction = np.array([0.3, 0.2, -0.9]) / np.linalg.norm([0.3, 0.2, -0.9])
    for distance, knee in ((reach(leg), straight(leg)), (least(leg), HIGHEST[2])):
        # where the knee is straight, 1e-12 of the distance are 1e-6 of the angle
        inward = -1.0 if distance > least(leg) else 1.0
        *_, q3, reachable = angles_from_ball(leg, *(distance * (1 + inward * 1e-12) * direction))
        assert reachable
        assert q3 == pytest.approx(knee, abs=1e-5)
        *_, q3, reachable = angles_from_ball(leg, *(distance * (1 - inward * 1e-9) * direction))
        assert not reachable
        assert q3 == pytest.approx(knee, abs=1e-7)
    middle = [angles_from_ball(leg, *(d * direction))[2] for d in np.linspace(least(leg), reach(leg), 100)]
    assert (np.diff(middle) < 0).all()


@every_leg
def test_a_point_too_far_or_too_close_is_replaced_by_the_nearest_one_on_its_ray(leg: int) -> None:
    for x, y, z in stream("directions", leg).uniform([-1.0, -0.2, -1.0], [1.0, 0.2, -0.8], (100, 3)):
        # a knee that is bent fully gets no further to the side than 0.25 of the distance
        direction = np.array([x, y, z]) / math.sqrt(x * x + y * y + z * z)
        for distance, instead in ((1.5 * reach(leg), reach(leg)), (0.5 * least(leg), least(leg))):
            *angles, reachable = angles_from_ball(leg, *(distance * direction))
            assert not reachable
            assert np.array(ball_from_angles(leg, *angles)) == pytest.approx(instead * direction, abs=1e-9)


@every_leg
@pytest.mark.parametrize("side", [1.0, -1.0], ids=["outward", "inward"])
def test_a_point_too_far_to_the_side_is_replaced_by_one_as_far_away_and_less_to_the_side(
    leg: int, side: float
) -> None:
    for distance in (0.08, 0.1, 0.12):
        for x in (-0.01, 0.002, 0.01):
            p = np.array([x, side * math.sqrt(distance**2 - x**2 - 0.002**2), -0.002])
            q1, q2, q3, reachable = angles_from_ball(leg, *p)
            assert not reachable
            got = np.array(ball_from_angles(leg, q1, q2, q3))
            assert np.linalg.norm(got) == pytest.approx(distance, abs=1e-12)
            elevators = np.linspace(-2.0, 2.0, 4001)
            furthest = max(side * ball_from_angles(leg, q1, angle, q3)[1] for angle in elevators)
            assert side * got[1] == pytest.approx(furthest, abs=1e-7)
            assert side * got[1] < side * p[1]


@every_leg
def test_no_point_whatever_gives_an_angle_that_is_not_finite(leg: int) -> None:
    tiny, far, extremes = 1e-300, 1e100, []
    for scale in (0.0, tiny, 1e-12, 0.03, 0.1, reach(leg), 1.0, far):
        extremes += [scale * np.array(p) for p in np.ndindex(3, 3, 3)]
        extremes += [-scale * np.array(p) for p in np.ndindex(3, 3, 3)]
    for p in [*extremes, *stream("anywhere").uniform(-0.3, 0.3, (500, 3))]:
        *angles, reachable = angles_from_ball(leg, *p.astype(float))
        assert np.isfinite(angles).all(), p
        if reachable:
            assert np.array(ball_from_angles(leg, *angles)) == pytest.approx(p, abs=1e-12)


Path = Callable[[float], Array]


def crossings(leg: int, path: Path, pieces: int = 400) -> list[tuple[float, float]]:
    """The places of a path, as narrow as numbers allow, between which reachable becomes unreachable or back."""
    found, ends = [], np.linspace(0.0, 1.0, pieces + 1)
    for low, high in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True):
        before = angles_from_ball(leg, *path(low))[3]
        if before == angles_from_ball(leg, *path(high))[3]:
            continue
        for _ in range(60):
            middle = (low + high) / 2
            if angles_from_ball(leg, *path(middle))[3] == before:
                low = middle  # noqa: PLW2901 - the interval is narrowed
            else:
                high = middle  # noqa: PLW2901
        found.append((low, high))
    return found


@every_leg
def test_angles_are_continuous_where_points_become_unreachable(leg: int) -> None:
    """Rays that leave the reach on both ends, and lines that leave it to the side.

    Near the ends the angles have the slope of a square root: a step of h there may turn the knee by √(2·2rh/s)
    with r the distance and s = 2|u||l|, and the other joints by a few times that.
    """
    rng = stream("rays", leg)

    def ray(direction: Array) -> Path:
        return lambda t: 0.2 * t * direction

    def line(start: Array, end: Array) -> Path:
        return lambda t: start + t * (end - start)

    seen = {"far": 0, "close": 0, "side": 0}
    for _ in range(60):
        x, y, z, distance = *rng.uniform(-1.0, 1.0, 2), -rng.uniform(0.2, 1.0), rng.uniform(0.07, 0.12)
        direction = np.array([x, 0.4 * y, z]) / np.linalg.norm([x, 0.4 * y, z])
        below = distance * np.array([0.3 * x, 0.0, z]) / math.hypot(0.3 * x, z)
        aside = below + np.array([0.0, math.copysign(0.15, y), 0.0])
        for path in (ray(direction), line(below, aside)):
            for low, high in crossings(leg, path):
                p, q = path(low), path(high)
                assert np.linalg.norm(q - p) < 1e-16
                one, other = (np.array(angles_from_ball(leg, *place)[:3]) for place in (p, q))
                assert np.abs(one - other).max() < 1e-6, (p, one, other)  # √(4·0.14·1e-16/0.009) is 8e-8
                size = float(np.linalg.norm(p))
                far, close = size > reach(leg) - 1e-9, size < least(leg) + 1e-9
                seen["far" if far else "close" if close else "side"] += 1
    assert min(seen.values()) >= 20, seen


@every_leg
def test_angles_make_no_jump_along_any_line_below_the_shoulder(leg: int) -> None:
    """The largest change in 500 pieces of a line is narrowed down a million times: a jump would stay."""
    rng = stream("lines", leg)
    largest = 0.0
    for _ in range(60):
        start, end = rng.uniform([-0.15, -0.15, -0.2], [0.15, 0.15, -0.01], (2, 3))

        def angles(t: float, start: Array = start, end: Array = end) -> Array:
            return np.array(angles_from_ball(leg, *(start + t * (end - start)))[:3])

        ends = np.linspace(0.0, 1.0, 501)
        steps = np.abs(np.diff([angles(t) for t in ends], axis=0)).max(axis=1)
        worst = int(steps.argmax())
        low, high = float(ends[worst]), float(ends[worst + 1])
        largest = max(largest, float(steps[worst]))
        for _ in range(20):
            middle = (low + high) / 2
            left, right = np.abs(angles(middle) - angles(low)), np.abs(angles(high) - angles(middle))
            low, high = (low, middle) if left.max() > right.max() else (middle, high)
        # a line of 0.5 m in 500 pieces of which a millionth is left: 1e-9 m, √(4·0.14·1e-9/0.009) is 2.5e-4
        assert np.abs(angles(high) - angles(low)).max() < 3e-3
    assert largest > 0.05  # there was something to be narrowed down


def test_left_and_right_legs_are_mirror_images_and_front_and_rear_legs_are_not_alike() -> None:
    assert [(FORWARD[leg], LEFT[leg]) for leg in range(4)] == [(-1, 1), (-1, -1), (1, 1), (1, -1)]
    rng = stream("mirror")
    for q in rng.uniform(LOWEST, HIGHEST, (50, 3)):
        places = [ball_from_angles(leg, *q) for leg in range(4)]
        assert places[0] == places[1] != places[2] == places[3]
    for p in rng.uniform([-0.05, -0.01, -0.12], [0.05, 0.05, -0.07], (50, 3)):
        angles = [angles_from_ball(leg, *p) for leg in range(4)]
        assert angles[0] == angles[1] != angles[2] == angles[3]


def test_positive_angles_swing_a_leg_away_from_the_middle_lift_it_outward_and_bend_the_knee() -> None:
    """In the leg's frame: x to the middle of the body, y outward; angles turn as the right hand does."""
    hanging = np.array(ball_from_angles(0, 0.0, 0.0, straight(0)))
    swung = np.array(ball_from_angles(0, 0.5, 0.0, straight(0)))
    lifted = np.array(ball_from_angles(0, 0.0, 0.5, straight(0)))
    assert swung[0] < hanging[0] - 0.05  # R_y turns what hangs down toward −x
    assert lifted[1] > hanging[1] + 0.05
    bent = np.array(ball_from_angles(0, 0.0, 0.0, straight(0) + 1.0))
    assert np.linalg.norm(bent) < np.linalg.norm(hanging) - 0.01
