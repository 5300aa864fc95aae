"""Torque curves through nodes; and the law as which a curve is read, against laws and curves worked out by hand."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policysearch.core import Array
from policysearch.exoskeleton.torque_law import GENERIC
from policysearch.exoskeleton.torque_profile import LATEST_END, SPACE, project, torque, why_infeasible
from policysearch.seeding import stream

with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(str(Path(__file__).parent.parent.parent / "experiments/exoskeleton"))
    from torque_curves import NodeProfile, equivalent_law, with_generic_times

FINE = np.linspace(0.0, 100.0, 100_001)  # % stride, a thousandth apart


@settings(deadline=None, max_examples=30)
@given(
    st.tuples(st.floats(0.05, 1.0), st.integers(35_000, 55_000), st.floats(10.0, 40.0), st.floats(5.0, 20.0))
)
def test_a_law_is_its_own_equivalent(numbers: tuple[float, int, float, float]) -> None:
    law = project(np.array(numbers) / [1.0, 1000.0, 1.0, 1.0])  # its peak is one of the moments
    found, rho = equivalent_law(FINE, torque(law, FINE))
    assert found == pytest.approx(law, rel=1e-6)
    assert 0.0 <= rho < 1e-6


def test_a_triangle_is_the_law_with_its_areas() -> None:
    # peak 0.4 at 50 %, from 30 % to 60 %: areas 4 and 2, so r = 2 · 4/0.4 = 20 and f = 1.6 · 2/0.4 = 8.
    # In units of 0.4: on the rise the difference is s − (3s² − 2s³), with ∫₀¹ of its square 1/210; then with
    # u = (t − 50)/8 the triangle is 1 − 0.8u and the law 1 − 1.5u² + 0.5u³, until 58 %, and from there the rest of
    # the triangle's square: 10 · 0.2³/3.
    curve = np.interp(FINE, [30.0, 50.0, 60.0], [0.0, 0.4, 0.0])
    law, rho = equivalent_law(FINE, curve)
    assert law == pytest.approx([0.4, 50.0, 20.0, 8.0], rel=1e-6)
    fall = np.polynomial.Polynomial([0.0, -0.8, 1.5, -0.5])
    squares = 20.0 / 210.0 + 8.0 * (fall**2).integ()(1.0) + 10.0 * 0.2**3 / 3.0
    assert rho == pytest.approx(np.sqrt(squares / 30.0), rel=1e-4)


def test_rho_counts_what_the_law_has_beyond_the_end_of_the_curve() -> None:
    # up along the law 0.4, 40, 20 to its peak, level until 50 %, then nothing: area 4 after the peak, f = 1.6 · 4/0.4
    curve = np.where(FINE <= 40.0, torque(np.array([0.4, 40.0, 20.0, 16.0]), FINE), 0.4) * (FINE <= 50.0)
    law, rho = equivalent_law(FINE, curve)
    assert law == pytest.approx([0.4, 40.0, 20.0, 16.0], rel=1e-3)
    law_over_peak = np.polynomial.Polynomial(
        [1.0, 0.0, -1.5, 0.5]
    )  # of u = (t − 40)/16, to u = 1; the curve to 10/16
    level, beyond = ((1.0 - law_over_peak) ** 2).integ(), (law_over_peak**2).integ()
    squares = 16.0 * (level(0.625) + beyond(1.0) - beyond(0.625))
    assert rho == pytest.approx(np.sqrt(squares / 36.0), rel=1e-3)


def test_rho_has_no_unit_and_counts_neither_moments_without_torque_nor_how_close_they_are() -> None:
    curve = NodeProfile(4).torque(np.array([0.1, 0.0, 0.6, 0.3]), FINE)
    law, rho = equivalent_law(FINE, curve)
    assert rho > 0.05
    scaled = equivalent_law(FINE, 70.0 * curve)
    assert scaled.rho == pytest.approx(rho, rel=1e-9)
    assert scaled.law == pytest.approx([70.0 * law[0], *law[1:]])
    shorter = FINE <= 66.0
    assert equivalent_law(FINE[shorter], curve[shorter]).rho == pytest.approx(rho, rel=1e-9)
    kept = np.union1d(
        np.arange(0, FINE.size, 20), np.arange(50_000, 56_000)
    )  # close together in one place only
    assert equivalent_law(FINE[kept], curve[kept]).rho == pytest.approx(rho, rel=1e-3)


def test_a_curve_that_follows_a_law_through_many_nodes_is_much_like_it() -> None:
    stride = np.linspace(0.0, 100.0, 10_001)
    likeness = []
    for nodes in (4, 22, 62):
        profile = NodeProfile(nodes)
        _, rho = equivalent_law(stride, profile.torque(torque(np.array(GENERIC), profile.times), stride))
        likeness.append(rho)
    assert 0.04 > likeness[0] > likeness[1] > likeness[2] > 0.0
    wild = NodeProfile(22).space().decode(stream(5).random(22))
    assert equivalent_law(stride, NodeProfile(22).torque(wild, stride)).rho > 0.25


def test_no_torque_is_the_generic_law_without_torque() -> None:
    law, rho = equivalent_law(FINE, np.zeros(FINE.size))
    assert law.tolist() == [0.0, *GENERIC[1:]]
    assert rho == 0.0


def test_the_peak_is_the_first_of_the_highest_torques() -> None:
    law, _ = equivalent_law(np.array([0.0, 20.0, 40.0, 50.0]), np.array([0.0, 0.5, 0.5, 0.0]))
    # areas 5 before; 10 + 2.5 after
    assert law == pytest.approx([0.5, 20.0, 20.0, 40.0])


@pytest.mark.parametrize(
    ("stride", "curve", "message"),
    [
        ([0.0, 1.0, 1.0], [0.0, 1.0, 0.0], "stride: expected moments that increase"),
        ([0.0, np.nan, 2.0], [0.0, 1.0, 0.0], "stride: expected moments that increase"),
        ([0.0, 1.0, 2.0], [0.0, np.nan, 0.0], r"torque 1 \(from 0\): expected a finite number >= 0, got nan"),
        ([0.0, 1.0, 2.0], [0.0, -0.1, 0.0], r"torque 1 \(from 0\): expected a finite number >= 0, got -0.1"),
        (
            [0.0, 1.0, 2.0],
            [0.3, 1.0, 0.0],
            "torque: expected none at the first and the last moment, got 0.3 and 0",
        ),
        (
            [0.0, 1.0, 2.0],
            [0.0, 0.1, 0.2],
            "torque: expected none at the first and the last moment, got 0 and 0.2",
        ),
    ],
)
def test_what_is_no_curve_is_refused(stride: list[float], curve: list[float], message: str) -> None:
    given_stride: Array = np.array(stride)
    with pytest.raises(ValueError, match=message):
        equivalent_law(given_stride, np.array(curve))


@settings(deadline=None)
@given(st.floats(0.0, 1.0), st.floats(35.0, 55.0))
def test_a_law_of_two_parameters_has_generic_times_and_is_feasible(height: float, peak: float) -> None:
    law = with_generic_times(np.array([height, peak]))
    assert law.tolist() == [height, peak, *GENERIC[2:]]
    assert why_infeasible(law) == ""
    assert with_generic_times(np.ones((2, 3, 2))).shape == (2, 3, 4)


PROFILES = {8: NodeProfile(4, timed=True), 22: NodeProfile(22)}
every_profile = pytest.mark.parametrize("size", PROFILES)


@every_profile
def test_a_profile_through_nodes_has_as_many_parameters_as_it_says(size: int) -> None:
    assert len(PROFILES[size].space().names) == size


@settings(deadline=None)
@given(st.sampled_from(sorted(PROFILES)), st.integers(0, 10**6))
def test_a_profile_goes_through_its_nodes_and_never_beyond_them(size: int, seed: int) -> None:
    profile, rng = PROFILES[size], stream(seed)
    law = profile.space(0.7).decode(rng.choice([0.0, 1.0, rng.random()], size))
    heights = law[: profile.nodes]
    times = law[profile.nodes :] if profile.timed else profile.times
    assert (np.diff([0.0, *times, LATEST_END]) >= profile.GAP - 1e-9).all()
    assert profile.torque(law, times) == pytest.approx(heights, abs=1e-12)
    just_before = np.subtract.outer([*times, LATEST_END], np.arange(40) * 1e-14)  # where rounding shows
    everywhere = profile.torque(law, np.concatenate([np.linspace(-20.0, 120.0, 701), just_before.ravel()]))
    assert everywhere.min() >= 0.0
    assert everywhere.max() <= heights.max()
    assert (profile.torque(law, np.array([-5.0, 0.0, LATEST_END, 66.0, 100.0])) == 0.0).all()


@every_profile
def test_a_profile_starts_with_the_curve_of_the_four_parameters_at_its_nodes(size: int) -> None:
    profile = PROFILES[size]
    law = profile.space().decode(profile.space().domain.start)
    centre = SPACE.decode(SPACE.domain.start)
    assert profile.torque(law, profile.times) == pytest.approx(torque(centre, profile.times))


def test_more_nodes_come_closer_to_the_curve_of_the_source() -> None:
    stride, law = np.linspace(0.0, 100.0, 501), np.array(GENERIC)
    errors = [
        np.abs(profile.torque(torque(law, profile.times), stride) - torque(law, stride)).max()
        for profile in (NodeProfile(4), NodeProfile(22), NodeProfile(62))
    ]
    assert errors[0] > 2 * errors[1] > 4 * errors[2]


@every_profile
def test_profiles_of_many_laws_are_those_of_each_and_nonsense_stays_in_its_row(size: int) -> None:
    profile, stride = PROFILES[size], np.linspace(0.0, 70.0, 15)
    many = profile.space().decode(stream(3).random((2, 3, size)))
    many[0, 1, 0] = np.nan
    found = profile.torque(many, stride)
    assert found.shape == (2, 3, 15)
    for i in np.ndindex(2, 3):
        assert found[i].tobytes() == profile.torque(many[i], stride).tobytes()
        assert np.isnan(found[i]).all() == (i == (0, 1))
    assert np.isnan(profile.torque(many[0, 0], np.array([np.nan]))).all()


def test_nodes_out_of_order_give_no_torque() -> None:
    profile = PROFILES[8]
    law = profile.space().decode(profile.space().domain.start)
    law[[4, 5]] = law[[5, 4]]
    assert np.isnan(profile.torque(law, np.array([10.0, 99.0]))).all()


@pytest.mark.parametrize("nodes", [0, -1, 64])
def test_a_profile_without_room_for_its_nodes_is_refused(nodes: int) -> None:
    with pytest.raises(ValueError, match=rf"nodes: expected 1 to 63, got {nodes}"):
        NodeProfile(nodes, timed=True)
