"""Policies, and the one that suits a task: `make_policy`."""

from policysearch.policies.gaussian import Gaussian
from policysearch.policies.linear import Linear
from policysearch.policies.mlp import MLP
from policysearch.policies.softmax import Softmax

__all__ = ["MLP", "Gaussian", "Linear", "Softmax"]
