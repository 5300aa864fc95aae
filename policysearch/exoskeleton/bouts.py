"""Bouts of walking with an exoskeleton: one person, one law after the other.

A candidate is a control law, an episode a bout: two minutes under that law, of which the breaths are taken and the
steady-state metabolic rate is estimated, as in Zhang et al. 2017. The return is the reduction of the net rate that
these breaths suggest, in % of what this person needs without torque.

The person gets used to the device, drifts, and carries the last bout's breathing into the next, so an evaluation is
a function of all that went before it: evaluations run in their order, one at a time, and a continued search runs
them again. Proposals of the purpose "report" are not walked: their return is the true reduction, without noise and
drift, for the person who is as used to the device as after the 64 minutes of that study.
"""

from jaxtyping import Float

from policysearch.core import Array, Evaluation, Proposal
from policysearch.evaluators.runner import Outcome, Runner, collect
from policysearch.exoskeleton.human import Walker, adapted_after, draw_participant
from policysearch.exoskeleton.respirometry import fit
from policysearch.exoskeleton.torque_profile import TorqueProfile
from policysearch.seeding import Key, seed_of, stream

MINUTES = 2  # of a bout
ADAPTED = adapted_after(64.0)  # levels of adaptation of a novice after so many minutes


class BoutEvaluator(Runner):
    """A simulated person on the treadmill.

    Args:
        policy: makes laws of parameters.
        preset: who walks; see `policysearch.exoskeleton.human`.
        key: names the person.
    """

    description = "bouts of a simulated person, one after the other"
    sequential = True

    def __init__(self, policy: TorqueProfile, preset: str, key: Key) -> None:
        self.policy = policy
        self.person = draw_participant(stream(*key, "person"), preset)
        self.walker = Walker.start(self.person, stream(*key, "start"))

    def evaluate(self, proposal: Proposal, key: Key) -> Evaluation:
        """One bout per candidate and episode, in order."""
        if proposal.sample or proposal.record:
            raise ValueError("a bout has no actions to draw or record; use a method without scores")
        laws = self.policy.law(proposal.params)
        if proposal.purpose == "report":
            truth = [100.0 * self.walker.true_reduction(law, ADAPTED) for law in laws]
            return collect(proposal, [Outcome(i, j, truth[i]) for i, j in proposal.pairs])
        return collect(proposal, [self._bout(laws[i], (*key, "bout", i, j), i, j) for i, j in proposal.pairs])

    def _bout(self, law: Float[Array, "4"], key: Key, i: int, j: int) -> Outcome:
        try:
            rate = fit(self.walker.walk(law, 60.0 * MINUTES, stream(*key))).rate
        except ValueError as error:  # too few breaths
            return Outcome.failed(i, j, seed_of(*key), str(error), steps=MINUTES)
        net = (rate - self.person.standing_rate) / self.person.net_rate
        return Outcome(i, j, 100.0 * (1.0 - net), steps=MINUTES)
