"""Policies, and the one that suits a task: `make_policy`."""

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
