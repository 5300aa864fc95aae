"""The batch of episodes from which a likelihood-ratio method learns in one step."""

from collections.abc import Generator, Mapping

from jaxtyping import Float

from policysearch.core import Array, Evaluation, Proposal, Rollout

#: What a search yields and is sent on the way to the episodes that succeeded, and the diagnostics of the step.
Batch = Generator[Proposal, Evaluation, tuple[tuple[Rollout, ...], dict[str, float]]]


def batch(theta: Float[Array, "d"], episodes: int, diagnostics: Mapping[str, float]) -> Batch:
    """The recorded episodes drawn from π(· | s; θ), without the failed ones, and how many of these there are.

    `diagnostics` are those of the step before, which the proposal carries.
    """
    evaluation = yield Proposal(
        theta[None], theta, episodes, sample=True, record=True, diagnostics=diagnostics
    )
    rollouts = evaluation.rollouts[0]
    return rollouts, {"dropped_episodes": float(episodes - len(rollouts))}
