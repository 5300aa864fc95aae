"""Policies by name: `linear`, `mlp:32,32`, `tabular`, and controllers with parameters of their own.

A controller is a callable that is given the environment's `Interface` and returns the policy for it; a class with a
class method `of` stands for that method. One outside the package is named as `module:Name`, or by an entry point of
the group `policysearch.policies`.
"""

from collections.abc import Callable
from functools import cache, partial

from policysearch.core import Policy
from policysearch.evaluators.interface import Interface
from policysearch.registry import did_you_mean
from policysearch.tasks.memory import PARAMETER_BYTES, shortage
from policysearch.tasks.names import CONTROLLERS, GENERAL, policy_names


@cache
def tuned_controllers() -> dict[str, Callable[[Interface], Policy]]:
    """Those of `names.TUNED`, with the gains at the start; their plants are imported for it."""
    from policysearch.policies import (  # noqa: PLC0415 - imports Numba
        PID,
        CascadedPID,
        EnergySwingUp,
        LQRWeights,
        PatternGenerator,
    )
    from policysearch.policies.pid import gain_space  # noqa: PLC0415
    from policysearch.simulators import (  # noqa: PLC0415
        cart_pole_force,
        motor,
        pendulum,
        quadrotor,
        tanks,
        thermal,
    )

    rod, quad = pendulum, quadrotor
    return {
        "motor-pid": partial(PID.of, gains=gain_space((10.0, 5.0, 3.0, 0.05), "V", "rad"), dt=motor.DT),
        "thermal-pid": partial(PID.of, gains=gain_space((2.0, 0.01, 10.0, 2.0), "%", "°C"), dt=thermal.DT),
        "tanks-pid": partial(PID.of, gains=gain_space((0.5, 0.02, 1.0, 0.2), "V", "cm"), dt=tanks.DT),
        "cart-pole-lqr": partial(
            LQRWeights.of, names=("x", "x speed", "angle", "angle speed"), model=cart_pole_force.linear_model
        ),
        "pattern-generator": partial(PatternGenerator.of, dt=0.04),  # s, as Swimmer-v5
        "energy-swing-up": partial(EnergySwingUp.of, mass=rod.MASS, length=rod.LENGTH, gravity=rod.GRAVITY),
        "cascaded-pid": partial(
            CascadedPID.of,
            mass=quad.MASS, inertia=quad.INERTIA, arm=quad.ARM, gravity=quad.GRAVITY, dt=quad.DT,
        ),
    }  # fmt: skip


def tuned_controller(name: str) -> Callable[[Interface], Policy]:
    """The controller of that name, which imports its plant when it is first given an environment."""
    return partial(_tuned_controller, name)


def _tuned_controller(name: str, interface: Interface) -> Policy:
    """The controller of that name for an environment."""
    return tuned_controllers()[name](interface)


def policy_module(spec: str) -> str:
    """The module of a plug-in's policy; empty for what the package has."""
    _, body, hidden = parse_policy(spec)
    return "" if hidden else CONTROLLERS.module_of(body)


def parse_policy(spec: str) -> tuple[str, str, tuple[int, ...]]:
    """Head, body and hidden layers of a policy's name; of a controller, no head and no layers.

    `linear` and `mlp` take the head that the task's actions need; `mlp:32,32` sets the hidden layers.

    Raises:
        ValueError: for a name that is not known, or hidden layers that are not positive integers.
    """
    name, _, sizes = spec.partition(":")
    if name not in GENERAL:
        is_plug_in = name not in CONTROLLERS and CONTROLLERS.module_of(spec) and not sizes[:1].isdecimal()
        if spec in CONTROLLERS or is_plug_in:
            return "", spec, ()
        if name not in CONTROLLERS:
            near = did_you_mean(name, policy_names(), f"there are {', '.join(policy_names())}")
            raise ValueError(f"unknown policy {name!r}; {near}")
    head, _, body = name.rpartition("-")
    layers = sizes.split(",") if sizes else ["16"]
    if (sizes and body != "mlp") or not all(layer.isdecimal() and int(layer) > 0 for layer in layers):
        raise ValueError(f"policy {spec!r}: expected hidden layers only for mlp, as in mlp:32,32")
    return head, body, tuple(int(layer) for layer in layers)


def _controller(spec: str, interface: Interface) -> Policy:
    """What a controller's callable returns.

    Raises:
        ValueError: if it cannot be imported, does not fit the environment, or returns no policy.
    """
    make = CONTROLLERS.find(spec)
    make = getattr(make, "of", make)
    try:
        policy = make(interface) if callable(make) else make
    except ValueError:
        raise
    except Exception as error:  # a plug-in may raise anything
        raise ValueError(f"policy {spec!r}: {type(error).__name__}: {error}") from error
    if not isinstance(policy, Policy):
        raise ValueError(
            f"policy {spec!r}: expected a callable that is given the environment's Interface and returns a Policy "
            f"(num_params, state_size, param_names, start, act), got {policy!r}"
        )
    return policy


def make_policy(spec: str, interface: Interface) -> Policy:
    """A policy for an environment: softmax for discrete actions, Gaussian for continuous ones; or a controller.

    Raises:
        ValueError: if the policy does not fit the environment's observations or actions, or into the memory.
    """
    from policysearch.policies import MLP, Gaussian, Linear, Softmax  # noqa: PLC0415 - imports Numba

    head, body, hidden = parse_policy(spec)
    if not hidden:
        return _controller(spec, interface)
    choices, discrete = interface.choices, bool(interface.choices)
    head = "softmax" if body == "tabular" else head or ("softmax" if discrete else "gaussian")
    if head == "softmax" and not discrete:
        raise ValueError(
            f"policy {spec!r} is for discrete actions, but the actions are {interface.action_space}; "
            "use linear, mlp, gaussian-linear or gaussian-mlp"
        )
    if head == "gaussian" and discrete:
        raise ValueError(
            f"policy {spec!r} is for continuous actions, but the actions are {interface.action_space}; "
            "use linear, mlp, softmax-linear or softmax-mlp"
        )
    if body == "tabular" and not interface.one_hot:
        raise ValueError(
            f"policy 'tabular' is for Discrete observations, but they are {interface.observation_space}; "
            "use linear or mlp"
        )
    outputs = sum(choices) if discrete else interface.action_size
    mean: Linear | MLP
    if body == "mlp":
        mean = MLP(interface.obs_size, outputs, hidden)
    else:
        mean = Linear(interface.obs_size, outputs, bias=body == "linear")
    if short := shortage(PARAMETER_BYTES * mean.num_params):
        raise ValueError(
            f"policy {spec!r} has {mean.num_params:,} parameters and {short}; choose a smaller one"
        )
    return Softmax(mean, choices) if discrete else Gaussian(mean)
