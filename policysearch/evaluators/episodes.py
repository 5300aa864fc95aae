"""Episodes of any Gymnasium environment, many at a time in lockstep.

One episode per environment copy: the policy acts on a batch with one row per running episode, then every
copy takes one step. When an episode ends, its copy takes the next pending episode; nothing is stepped after
its end, and nothing is auto-reset. Since a policy computes each row by itself and every episode draws from
its own streams, the numbers do not depend on how many copies there are. A policy that has a kernel acts by
it, as in compiled rollouts.
"""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from policysearch.core import Policy, Proposal
from policysearch.evaluators.copies import Copies
from policysearch.evaluators.episode import Setting
from policysearch.evaluators.interface import Interface
from policysearch.evaluators.lockstep import Lockstep
from policysearch.evaluators.runner import Divisible
from policysearch.evaluators.shared import Deploy, Outcome, check_deploy, check_fit, check_proposal
from policysearch.evaluators.single import run_single
from policysearch.seeding import Key


class EpisodeEvaluator(Divisible):
    """Runs a policy in copies of a Gymnasium environment.

    Args:
        make: builds one environment copy.
        policy: maps flat observations to actions; see `Interface` for their sizes.
        deploy: whether candidates run the policy's mode or draw from it. A proposal may ask for draws.
        common_random_numbers: whether episode j has the same seed for every candidate.
        max_copies: the most environment copies to hold.

    Raises:
        ValueError: if the policy does not fit the environment's spaces, or for an option that is not one.
    """

    description = "rollouts by the environment's step"
    interface: Interface

    def __init__(
        self,
        make: Callable[[], Any],
        policy: Policy,
        *,
        deploy: Deploy = "mode",
        common_random_numbers: bool = True,
        max_copies: int = 64,
    ) -> None:
        check_deploy(deploy)
        if max_copies < 1:
            raise ValueError(f"max_copies: expected at least 1, got {max_copies}")
        self.policy, self.deploy = policy, deploy
        self.common_random_numbers, self.max_copies = common_random_numbers, max_copies
        self._copies = Copies(make)
        self.interface = self._copies.interface
        check_fit(policy, self.interface, self._copies.begin(0, seed=0))

    def __reduce__(self) -> Any:
        """Another process builds it anew."""
        options: dict[str, Any] = {
            "deploy": self.deploy,
            "common_random_numbers": self.common_random_numbers,
            "max_copies": self.max_copies,
        }
        return functools.partial(EpisodeEvaluator, **options), (self._copies.make, self.policy)

    def compile(self) -> int:
        """Compile the policy's kernel, if any; returns 1 if it was neither in memory nor on disk, else 0."""
        kernel: Any = getattr(self.policy, "kernel", None)
        if kernel is None or kernel.act_on_rows.signatures:
            return 0
        sizes = (self.policy.num_params, self.interface.obs_size, self.policy.state_size, 0)
        scratch, actions = np.empty(kernel.scratch_size), np.empty((1, self.interface.action_size))
        rows = [np.zeros((1, size)) for size in sizes]
        kernel.act_on_rows(*rows, scratch, actions)
        kernel.act(*(row[0] for row in rows), scratch, actions[0])
        return int(not kernel.act_on_rows.stats.cache_hits)

    def close(self) -> None:
        """Close all environment copies."""
        self._copies.close()

    def check(self, proposal: Proposal) -> None:
        """Raise ValueError for a proposal that the policy cannot run."""
        check_proposal(proposal, self.policy, self.deploy)

    def outcomes(self, proposal: Proposal, key: Key, pairs: Sequence[tuple[int, int]]) -> Iterable[Outcome]:
        """What comes of these (candidate, episode) pairs of a proposal; it does not depend on the others."""
        sampling = proposal.sample or self.deploy == "sample"
        setting = Setting(self._copies, self.policy, proposal, key, sampling, self.common_random_numbers)
        if min(len(pairs), self.max_copies) > 1:
            return Lockstep(setting, pairs, self.max_copies).run()
        return [run_single(setting, pair) for pair in pairs]
