"""Policies, each imported when it is first used; `policysearch.tasks.make_policy` has the one that suits a task."""

from typing import TYPE_CHECKING

from policysearch.exports import exports

if TYPE_CHECKING:  # for editors and type checkers
    from policysearch.policies.cascaded_pid import CascadedPID
    from policysearch.policies.energy_swing_up import EnergySwingUp
    from policysearch.policies.gaussian import Gaussian
    from policysearch.policies.linear import Linear
    from policysearch.policies.lqr_weights import LQRWeights
    from policysearch.policies.mlp import MLP
    from policysearch.policies.pattern_generator import PatternGenerator
    from policysearch.policies.pid import PID
    from policysearch.policies.softmax import Softmax

__all__ = [
    "MLP",
    "PID",
    "CascadedPID",
    "EnergySwingUp",
    "Gaussian",
    "LQRWeights",
    "Linear",
    "PatternGenerator",
    "Softmax",
]

__getattr__ = exports(
    __name__,
    {
        "MLP": "mlp",
        "PID": "pid",
        "CascadedPID": "cascaded_pid",
        "EnergySwingUp": "energy_swing_up",
        "Gaussian": "gaussian",
        "LQRWeights": "lqr_weights",
        "Linear": "linear",
        "PatternGenerator": "pattern_generator",
        "Softmax": "softmax",
    },
)
