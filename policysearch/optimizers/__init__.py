"""The optimizers, one file per method; `registry` has them by name."""

from policysearch.optimizers.ars import ARS
from policysearch.optimizers.auto import Auto
from policysearch.optimizers.bayesian import BayesianOptimization
from policysearch.optimizers.cma_es import CMAES
from policysearch.optimizers.cross_entropy import CrossEntropy
from policysearch.optimizers.evolution_strategy import EvolutionStrategy
from policysearch.optimizers.finite_difference import FiniteDifference
from policysearch.optimizers.genetic import Genetic
from policysearch.optimizers.hill_climbing import HillClimbing
from policysearch.optimizers.learning_rate_cma_es import LearningRateCMAES
from policysearch.optimizers.local_regression import LocalRegression
from policysearch.optimizers.multi_start import MultiStart
from policysearch.optimizers.natural_gradient import NaturalGradient
from policysearch.optimizers.nelder_mead import NelderMead
from policysearch.optimizers.off_policy_reinforce import OffPolicyReinforce
from policysearch.optimizers.one_plus_one_cma_es import OnePlusOneCMAES
from policysearch.optimizers.pgpe import PGPE
from policysearch.optimizers.ppo import PPO
from policysearch.optimizers.random_search import RandomSearch
from policysearch.optimizers.registry import (
    ONE_PARAMETER,
    OPTIMIZERS,
    build,
    find_method,
    method_of,
    not_installed,
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
