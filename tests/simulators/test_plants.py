"""Plants to tune a controller on, against SciPy."""

import math
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from scipy import signal
from scipy.integrate import solve_ivp
from scipy.linalg import solve_discrete_are

from policysearch.core import Array
from policysearch.policies.pid import reaction_gains, ultimate_gains
from policysearch.seeding import stream
from policysearch.simulators import PLANTS, cart_pole_force, motor, quadrotor, tanks, thermal
from policysearch.simulators.cart_pole_force import CartPoleForceEnv
from policysearch.simulators.integration import discretised
from policysearch.simulators.motor import MotorEnv
from policysearch.simulators.quadrotor import QuadrotorEnv
from policysearch.simulators.simulator import SimulatorEnv
from policysearch.simulators.tanks import TanksEnv
from policysearch.simulators.thermal import ThermalEnv


def started(env: SimulatorEnv, draw: Array) -> Array:
    """The first observation of the episode of this draw."""
    env._reset_world(env._world, draw)
    return np.asarray(env._observe())


def driven(env: SimulatorEnv, actions: Array) -> tuple[Array, float]:
    """The observations after each action, and the return."""
    seen, total = [], 0.0
    for action in actions:
        obs, reward, *_ = env.step(np.atleast_1d(action))
        seen.append(obs)
        total += reward
    return np.array(seen), total


@pytest.mark.parametrize("name", PLANTS)
@pytest.mark.filterwarnings("ignore:.*(symmetric and normalized space|Box observation space m)")
def test_gymnasium_accepts_the_environment(name: str) -> None:
    check_env(gym.make(f"policysearch/{name}-v0").unwrapped, skip_render_check=True)


@pytest.mark.parametrize("plant", [motor, thermal, tanks, cart_pole_force, quadrotor])
def test_an_episode_has_the_steps_that_its_module_says(plant: Any) -> None:
    assert (plant.__name__.rpartition(".")[2], plant.STEPS) in PLANTS.values()


@pytest.mark.parametrize("name", PLANTS)
def test_episodes_differ_and_the_same_seed_is_the_same_episode(name: str) -> None:
    env = gym.make(f"policysearch/{name}-v0")
    middle = (env.action_space.low + env.action_space.high) / 2.0 + 1.0  # type: ignore[attr-defined]

    def returned(seed: int) -> float:
        env.reset(seed=seed)
        return sum(float(env.step(middle)[1]) for _ in range(PLANTS[name][1]))

    returns = [returned(seed) for seed in (1, 2, 3, 1)]
    assert returns[0] == returns[3]
    assert len(set(returns)) == 3
    assert max(returns) < 0.0


# ------------------------------------------------------------------------------------------------------ the motor


def motor_draw(aim: float, friction: float) -> Array:
    A, B = discretised(*motor.matrices(motor.INERTIA, motor.RESISTANCE, motor.TORQUE_CONSTANT), motor.DT)
    return np.concatenate([[aim, friction], A.ravel(), B.ravel()])


def test_the_motor_without_friction_is_the_linear_system_of_its_equations() -> None:
    volts = np.repeat(stream("volts").uniform(-24.0, 24.0, 10), motor.STEPS // 10)
    env = MotorEnv()
    started(env, motor_draw(1.0, 0.0))
    seen, _ = driven(env, volts)
    # J L s³ + (J R + b L) s² + (b R + K²) s, of θ to V, held for a step
    system = signal.TransferFunction([0.01], [0.005, 0.06, 0.1001, 0.0])
    times = motor.DT * np.arange(motor.STEPS + 1)
    _, y, _ = signal.lsim(system, np.append(volts, 0.0), times, interp=False)
    assert np.abs(y).max() > 1.0
    assert np.abs(seen[:, 1] - y[1:]).max() <= motor.ENCODER_RESOLUTION / 2 + 1e-9


def test_dry_friction_holds_the_motor_against_a_small_voltage_and_never_speeds_it_up() -> None:
    env = MotorEnv()
    for volts, moves in ((1.9, False), (2.1, True), (-1.9, False), (-2.1, True)):
        started(env, motor_draw(1.0, motor.COULOMB_FRICTION))  # 0.02 N·m: 2 V make 2 A and as much torque
        driven(env, np.full(300, volts))
        assert bool(abs(env._world.x[0]) > 0.01) is moves
    started(env, motor_draw(1.0, motor.COULOMB_FRICTION))
    driven(env, np.full(50, 24.0))
    turning = env._world.x[1]
    driven(env, np.zeros(300))
    assert turning > 1.0
    assert env._world.x[1] == pytest.approx(0.0, abs=1e-12)


def test_friction_takes_its_torque_from_a_turning_motor() -> None:
    # at rest in ω and i: b ω + T = K i, V = R i + K ω
    env = MotorEnv()
    started(env, motor_draw(1.0, motor.COULOMB_FRICTION))
    driven(env, np.full(400, 24.0))
    current = np.linalg.solve([[0.1, -0.01], [0.01, 1.0]], [-motor.COULOMB_FRICTION, 24.0])
    assert env._world.x[1:] == pytest.approx(current, rel=1e-6)


def test_the_motors_cost_is_itae() -> None:
    env = MotorEnv()
    started(env, motor_draw(-1.5, motor.COULOMB_FRICTION))
    _, total = driven(env, np.zeros(motor.STEPS))
    # ∫ t 1.5 dt over 8 s, as a sum of steps: 1.5 DT² n (n − 1) / 2
    assert total == pytest.approx(-1.5 * motor.DT**2 * 400 * 399 / 2)


def test_the_ultimate_gain_of_the_motor_worked_by_hand() -> None:
    # a₂ = 0.005, a₁ = 0.06, a₀ = 0.1001: k = 0.06 · 0.1001 / (0.005 · 0.01), ω² = 20.02
    gain, period = motor.ultimate()
    assert (gain, period) == pytest.approx((120.12, 2.0 * math.pi / math.sqrt(20.02)))
    poles = np.roots([0.005, 0.06, 0.1001, 0.01 * gain])
    assert sorted(poles.real) == pytest.approx([-12.0, 0.0, 0.0], abs=1e-9)
    assert max(poles.imag) == pytest.approx(2.0 * math.pi / period)
    # 0.6 · 120.12, Ti = T/2 = 0.702 s, Td = T/8 = 0.1755 s
    assert ultimate_gains(gain, period) == pytest.approx((72.072, 102.65, 12.65, 0.01755), rel=1e-3)


# ---------------------------------------------------------------------------------------------------- the heater


def thermal_draw(aim: float, dead: int = 8, noise: float = 0.0) -> Array:
    A, B = discretised(np.array([[-1.0 / 175.0]]), np.array([[0.9 / 175.0]]), thermal.DT)
    disturbed = noise * stream("thermometer").standard_normal(thermal.STEPS + 1)
    return np.concatenate([[aim, A[0, 0], B[0, 0], dead], disturbed])


@pytest.mark.parametrize("dead", [0, 1, 8, thermal.MAX_DELAY])
def test_the_heater_is_a_lag_after_its_dead_time(dead: int) -> None:
    power = stream("power").uniform(0.0, 100.0, thermal.STEPS)
    env = ThermalEnv()
    assert started(env, thermal_draw(50.0, dead)).tolist() == [50.0, thermal.AMBIENT]
    seen, _ = driven(env, power)
    late = np.concatenate([np.zeros(dead), power])[: thermal.STEPS]
    times = thermal.DT * np.arange(thermal.STEPS + 1)
    _, y, _ = signal.lsim(([0.9], [175.0, 1.0]), np.append(late, 0.0), times, interp=False)
    assert seen[:, 1] == pytest.approx(thermal.AMBIENT + y[1:])


def test_the_thermometer_is_noisy_and_the_cost_is_not() -> None:
    power, plain, noisy = np.full(thermal.STEPS, 30.0), ThermalEnv(), ThermalEnv()
    started(plain, thermal_draw(50.0))
    started(noisy, thermal_draw(50.0, noise=thermal.NOISE))
    (seen, total), (disturbed, same) = driven(plain, power), driven(noisy, power)
    assert (disturbed - seen)[:, 1].std() == pytest.approx(thermal.NOISE, rel=0.15)
    assert total == same


def test_the_heaters_cost_is_itae_in_minutes() -> None:
    env = ThermalEnv()
    started(env, thermal_draw(43.0))
    _, total = driven(env, np.zeros(thermal.STEPS))
    assert total == pytest.approx(-20.0 * (2.0 / 60.0) ** 2 * 300 * 299 / 2)  # 20 °C too cold for ten minutes


def test_the_reaction_of_the_heater_worked_by_hand() -> None:
    # R = 0.9/175 °C/s per %, L = 15 s: kp = 1.2 · 175 / 13.5 = 15.56, Ti = 30 s, Td = 7.5 s
    found = reaction_gains(*thermal.reaction())
    assert found == pytest.approx((210.0 / 13.5, 210.0 / 405.0, 1575.0 / 13.5, 0.75))


# ----------------------------------------------------------------------------------------------------- the tanks


def tanks_draw(aim: float) -> Array:
    outflow = math.sqrt(2.0 * 981.0) * 0.178 / 15.518
    return np.array([aim, 3.3 / 15.518, outflow, outflow])


def test_the_tanks_follow_their_equations() -> None:
    env = TanksEnv()
    started(env, tanks_draw(15.0))
    env._world.levels[:] = 5.0, 8.0
    volts = np.repeat([9.0, 3.0, 12.0], 40)

    def rates(t: float, h: Array, u: float) -> Any:
        first, second = 0.178 * np.sqrt(2.0 * 981.0 * h)
        return [(3.3 * u - first) / 15.518, (first - second) / 15.518]

    levels = np.array([5.0, 8.0])
    for action in volts:
        env.step(np.array([action]))
        levels = solve_ivp(rates, (0.0, tanks.DT), levels, args=(action,), rtol=1e-10, atol=1e-12).y[:, -1]
        assert env._world.levels == pytest.approx(levels, rel=1e-6)


def test_the_tanks_settle_where_inflow_equals_outflow_and_lose_what_is_above_the_rim() -> None:
    env = TanksEnv()
    started(env, tanks_draw(15.0))
    driven(env, np.full(2000, 9.0))
    assert env._world.levels == pytest.approx(np.full(2, (3.3 * 9.0 / 0.178) ** 2 / (2.0 * 981.0)))
    driven(env, np.full(2000, 15.0))
    assert env._world.levels == pytest.approx(np.full(2, tanks.RIM), rel=1e-3)
    assert env._world.levels.max() <= tanks.RIM


def test_the_tanks_cost_counts_the_error_and_what_the_pump_does() -> None:
    env = TanksEnv()
    started(env, tanks_draw(10.0))
    # both empty: 0.5 s · 100 cm² each; a change of 4 V, then of −3 V: the lower tank is not yet reached
    assert env.step(np.array([4.0]))[1] == pytest.approx(-(50.0 + 0.1 * 16.0))
    low = env._world.levels[1]
    assert env.step(np.array([1.0]))[1] == pytest.approx(-(0.5 * (10.0 - low) ** 2 + 0.1 * 9.0))


def test_the_reaction_of_the_tanks_is_the_steepest_tangent_of_their_linear_response() -> None:
    tau = 15.518 * math.sqrt(30.0 / 981.0) / 0.178
    assert tau == pytest.approx(15.2, abs=0.05)
    gain = 3.3 / 0.178 * math.sqrt(30.0 / 981.0)
    times, y = signal.step(([gain], [tau**2, 2.0 * tau, 1.0]), T=np.linspace(0.0, 100.0, 100_001))
    slope = np.gradient(y, times)
    steepest = int(slope.argmax())
    lag = times[steepest] - y[steepest] / slope[steepest]
    assert tanks.reaction() == pytest.approx((slope[steepest], lag), rel=1e-4)


# ------------------------------------------------------------------------------------------ the cart and its pole


def test_the_cart_and_its_pole_obey_lagranges_equations() -> None:
    # (M + m) ẍ + m l θ̈ cos θ − m l θ̇² sin θ = F;  (4/3) l θ̈ + ẍ cos θ − g sin θ = 0, l: half of the pole
    rate = np.empty(4)
    for x, force in zip(stream("states").standard_normal((20, 4)), (-10.0, 7.0) * 10, strict=True):
        cart_pole_force.derivative(x, np.array([force]), np.array([0.3, 0.8]), rate)
        turn, c, s = rate[3], math.cos(x[2]), math.sin(x[2])
        assert 1.3 * rate[1] + 0.24 * turn * c - 0.24 * x[3] ** 2 * s == pytest.approx(force)
        assert 4.0 / 3.0 * 0.8 * turn + rate[1] * c - 9.8 * s == pytest.approx(0.0, abs=1e-12)
        assert (rate[0], rate[2]) == (x[1], x[3])


def test_the_linear_model_is_the_derivative_of_a_step() -> None:
    A, B = cart_pole_force.linear_model()
    env, h = CartPoleForceEnv(), 1e-5
    slopes = []
    for bump in h * np.eye(5):
        ends = []
        for sign in (1.0, -1.0):
            started(env, np.concatenate([sign * bump[:4], [0.1, 0.5]]))
            env.step(sign * bump[4:])
            ends.append(env._world.x.copy())
        slopes.append((ends[0] - ends[1]) / (2.0 * h))
    assert pytest.approx(A, abs=1e-6) == np.array(slopes[:4]).T
    assert slopes[4] == pytest.approx(B[:, 0], abs=1e-6)


def test_small_starts_cost_what_the_riccati_recursion_says() -> None:
    problem, env = cart_pole_force.linear_problem(), CartPoleForceEnv()
    P = solve_discrete_are(problem.A, problem.B, problem.Q, problem.R)
    K = np.linalg.solve(problem.R + problem.B.T @ P @ problem.B, problem.B.T @ P @ problem.A)
    start = 0.01 * np.array([1.0, -1.0, 1.0, 1.0])
    x, total = started(env, np.concatenate([start, [0.1, 0.5]])), 0.0
    for _ in range(cart_pole_force.STEPS):
        obs, reward, *_ = env.step(-K @ x)
        x, total = np.asarray(obs), total + reward
    assert total == pytest.approx(-(start @ P @ start), rel=1e-3)
    assert problem.optimal_return() == pytest.approx(-np.trace(P @ problem.S_0), rel=1e-7)


# -------------------------------------------------------------------------------------------------- the quadrotor


def test_the_quadrotor_falls_hovers_and_turns() -> None:
    env, m = QuadrotorEnv(), quadrotor.MASS
    hover = 0.5 * m * 9.81
    started(env, np.array([0.0, 1.0, m, quadrotor.INERTIA, 0.0]))
    driven(env, np.zeros((50, 2)))
    assert env._world.x == pytest.approx([0.0, 1.0 - 0.5 * 9.81, 0.0, 0.0, -9.81, 0.0])
    started(env, np.array([1.0, 1.0, m, quadrotor.INERTIA, 0.4]))
    driven(env, np.full((50, 2), hover))
    assert env._world.x == pytest.approx([1.2, 1.0, 0.0, 0.4, 0.0, 0.0])  # ½ · 0.4 · 1² m of wind
    started(env, np.array([0.0, 0.0, m, quadrotor.INERTIA, 0.0]))
    driven(env, np.full((1, 2), [hover + 0.1, hover - 0.1]))
    assert env._world.x[5] == pytest.approx(0.25 * 0.2 / 0.00383 * 0.02)
    assert env._world.x[3] < 0.0  # tilted to the left, it goes there


def test_the_quadrotor_follows_its_equations() -> None:
    env, actions = QuadrotorEnv(), stream("thrust").uniform(0.0, 5.0, (100, 2))
    started(env, np.array([1.0, -1.0, 0.5, 0.004, 0.3]))

    def rates(t: float, x: Array, u: Array) -> Any:
        lift = u.sum() / 0.5
        turn = 0.25 * (u[0] - u[1]) / 0.004
        return [*x[3:], -lift * math.sin(x[2]) + 0.3, lift * math.cos(x[2]) - 9.81, turn]

    x = env._world.x.copy()
    for action in actions:
        env.step(action)
        x = solve_ivp(rates, (0.0, quadrotor.DT), x, args=(action,), rtol=1e-10, atol=1e-12).y[:, -1]
    assert env._world.x == pytest.approx(x, abs=2e-4)


def test_the_quadrotors_cost_worked_by_hand() -> None:
    env = QuadrotorEnv()
    started(env, np.array([1.0, -2.0, quadrotor.MASS, quadrotor.INERTIA, 0.0]))
    env._world.x[2] = 0.5
    # 1 + 4 + 0.1 · 0.25 + 0.01 (1 + 4), for 0.02 s
    half = 0.5 * quadrotor.MASS * 9.81
    assert env.step(np.array([half + 1.0, half - 2.0]))[1] == pytest.approx(-0.02 * 5.075)
