"""Who walks in the task `exoskeleton`."""

from dataclasses import dataclass
from typing import cast

from policysearch.core import Policy
from policysearch.evaluators.runner import Runner
from policysearch.seeding import Key


@dataclass(frozen=True)
class SimulatedSubject:
    """People of a preset of `policysearch.exoskeleton.human`."""

    name: str
    steps: int = 2  # minutes of a bout: `bouts.MINUTES`, whose import takes a while

    def make_policy(self) -> Policy:
        """The torque profile: its parameters are the law."""
        from policysearch.exoskeleton.torque_profile import TorqueProfile  # noqa: PLC0415 - imports Numba

        return TorqueProfile()

    def make_evaluator(self, policy: Policy, key: Key) -> Runner:
        """The bouts of the person whom `key` names."""
        from policysearch.exoskeleton.bouts import BoutEvaluator  # noqa: PLC0415 - imports Numba
        from policysearch.exoskeleton.torque_profile import TorqueProfile  # noqa: PLC0415

        return BoutEvaluator(cast(TorqueProfile, policy), self.name, key)
