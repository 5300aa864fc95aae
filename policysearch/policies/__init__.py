"""Policies, and the one that suits a task: `make_policy`."""

from policysearch.policies.cascaded_pid import CascadedPID
from policysearch.policies.energy_swing_up import EnergySwingUp
from policysearch.policies.gaussian import Gaussian
from policysearch.policies.half_ellipse_gait import HalfEllipseGait
from policysearch.policies.linear import Linear
from policysearch.policies.lqr_weights import LQRWeights
from policysearch.policies.mlp import MLP
from policysearch.policies.pattern_generator import PatternGenerator
from policysearch.policies.pid import PID
from policysearch.policies.softmax import Softmax
from policysearch.policies.torque_profile import TorqueProfile

__all__ = [
    "MLP",
    "PID",
    "CascadedPID",
    "EnergySwingUp",
    "Gaussian",
    "HalfEllipseGait",
    "LQRWeights",
    "Linear",
    "PatternGenerator",
    "Softmax",
    "TorqueProfile",
]
