"""The methods by name, which the command lines read; a method is imported when it is first used.

A new method of the package is one new file and one line here. One outside is named as `module:Class`, or by an entry
point of the group `policysearch.optimizers`.
"""

from functools import partial
from typing import TYPE_CHECKING

from policysearch.registry import Registry, found

if TYPE_CHECKING:
    from policysearch.core import Optimizer

#: The module of each method in this folder, and its class.
_PLACES = {
    "random-search": "random_search:RandomSearch",
    "hill-climbing": "hill_climbing:HillClimbing",
    "nelder-mead": "nelder_mead:NelderMead",
    "multi-start": "multi_start:MultiStart",
    "quadratic-model": "quadratic_model:QuadraticModel",
    "auto": "auto:Auto",
    "genetic": "genetic:Genetic",
    "cross-entropy": "cross_entropy:CrossEntropy",
    "cma-es": "cma_es:CMAES",
    "sep-cma-es": "separable_cma_es:SeparableCMAES",
    "lra-cma-es": "learning_rate_cma_es:LearningRateCMAES",
    "one-plus-one-cma-es": "one_plus_one_cma_es:OnePlusOneCMAES",
    "snes": "snes:SNES",
    "pgpe": "pgpe:PGPE",
    "finite-difference": "finite_difference:FiniteDifference",
    "spsa": "spsa:SPSA",
    "evolution-strategy": "evolution_strategy:EvolutionStrategy",
    "ars": "ars:ARS",
    "reinforce": "reinforce:Reinforce",
    "off-policy-reinforce": "off_policy_reinforce:OffPolicyReinforce",
    "natural-gradient": "natural_gradient:NaturalGradient",
    "trpo": "trpo:TRPO",
    "ppo": "ppo:PPO",
    "bayesian": "bayesian:BayesianOptimization",
}

OPTIMIZERS: "Registry[type[Optimizer]]" = Registry("optimizer", "policysearch.optimizers")
for _name, _place in _PLACES.items():
    _place = f"{__package__}.{_place}"
    OPTIMIZERS.declare(_name, partial(found, _place), said=_place)
