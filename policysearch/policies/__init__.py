"""Policies, and the one that suits a task: `make_policy`."""

from policysearch.policies.gaussian import Gaussian
from policysearch.policies.half_ellipse_gait import HalfEllipseGait
from policysearch.policies.linear import Linear
from policysearch.policies.mlp import MLP
from policysearch.policies.softmax import Softmax
from policysearch.policies.torque_profile import TorqueProfile

__all__ = ["MLP", "Gaussian", "HalfEllipseGait", "Linear", "Softmax", "TorqueProfile"]
