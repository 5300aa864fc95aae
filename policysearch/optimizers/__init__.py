"""The optimizers, one file per method; `names` has them by name. Each is imported when it is first used."""

from typing import TYPE_CHECKING

from policysearch.exports import exports

if TYPE_CHECKING:  # for editors and type checkers; `exports` has the same at run time
    from policysearch.optimizers.ars import ARS
    from policysearch.optimizers.auto import Auto
    from policysearch.optimizers.bayesian import BayesianOptimization
    from policysearch.optimizers.checks import not_installed
    from policysearch.optimizers.cma_es import CMAES
    from policysearch.optimizers.cross_entropy import CrossEntropy
    from policysearch.optimizers.evolution_strategy import EvolutionStrategy
    from policysearch.optimizers.finite_difference import FiniteDifference
    from policysearch.optimizers.genetic import Genetic
    from policysearch.optimizers.hill_climbing import HillClimbing
    from policysearch.optimizers.learning_rate_cma_es import LearningRateCMAES
    from policysearch.optimizers.local_regression import LocalRegression
    from policysearch.optimizers.multi_start import MultiStart
    from policysearch.optimizers.names import OPTIMIZERS
    from policysearch.optimizers.natural_gradient import NaturalGradient
    from policysearch.optimizers.nelder_mead import NelderMead
    from policysearch.optimizers.off_policy_reinforce import OffPolicyReinforce
    from policysearch.optimizers.one_plus_one_cma_es import OnePlusOneCMAES
    from policysearch.optimizers.pgpe import PGPE
    from policysearch.optimizers.ppo import PPO
    from policysearch.optimizers.quadratic_model import QuadraticModel
    from policysearch.optimizers.random_search import RandomSearch
    from policysearch.optimizers.registry import (
        ONE_PARAMETER,
        build,
        find_method,
        method_of,
        revision_of,
        source_of,
    )
    from policysearch.optimizers.reinforce import Reinforce
    from policysearch.optimizers.repeated import Repeated
    from policysearch.optimizers.separable_cma_es import SeparableCMAES
    from policysearch.optimizers.snes import SNES
    from policysearch.optimizers.spsa import SPSA
    from policysearch.optimizers.trpo import TRPO
    from policysearch.optimizers.trusted import Trusted
    from policysearch.optimizers.whitened import Whitened

__all__ = [
    "ARS",
    "CMAES",
    "ONE_PARAMETER",
    "OPTIMIZERS",
    "PGPE",
    "PPO",
    "SNES",
    "SPSA",
    "TRPO",
    "Auto",
    "BayesianOptimization",
    "CrossEntropy",
    "EvolutionStrategy",
    "FiniteDifference",
    "Genetic",
    "HillClimbing",
    "LearningRateCMAES",
    "LocalRegression",
    "MultiStart",
    "NaturalGradient",
    "NelderMead",
    "OffPolicyReinforce",
    "OnePlusOneCMAES",
    "QuadraticModel",
    "RandomSearch",
    "Reinforce",
    "Repeated",
    "SeparableCMAES",
    "Trusted",
    "Whitened",
    "build",
    "find_method",
    "method_of",
    "not_installed",
    "revision_of",
    "source_of",
]

__getattr__ = exports(
    __name__,
    {
        "ARS": "ars",
        "Auto": "auto",
        "BayesianOptimization": "bayesian",
        "CMAES": "cma_es",
        "CrossEntropy": "cross_entropy",
        "EvolutionStrategy": "evolution_strategy",
        "FiniteDifference": "finite_difference",
        "Genetic": "genetic",
        "HillClimbing": "hill_climbing",
        "LearningRateCMAES": "learning_rate_cma_es",
        "LocalRegression": "local_regression",
        "MultiStart": "multi_start",
        "NaturalGradient": "natural_gradient",
        "NelderMead": "nelder_mead",
        "ONE_PARAMETER": "registry",
        "OPTIMIZERS": "names",
        "OffPolicyReinforce": "off_policy_reinforce",
        "OnePlusOneCMAES": "one_plus_one_cma_es",
        "PGPE": "pgpe",
        "PPO": "ppo",
        "QuadraticModel": "quadratic_model",
        "RandomSearch": "random_search",
        "Reinforce": "reinforce",
        "Repeated": "repeated",
        "SNES": "snes",
        "SPSA": "spsa",
        "SeparableCMAES": "separable_cma_es",
        "TRPO": "trpo",
        "Trusted": "trusted",
        "Whitened": "whitened",
        "build": "registry",
        "find_method": "registry",
        "method_of": "registry",
        "not_installed": "checks",
        "revision_of": "registry",
        "source_of": "registry",
    },
)
