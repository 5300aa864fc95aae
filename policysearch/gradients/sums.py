"""Sums over the steps of an episode in compiled form; a template, as `policysearch.jit` has it."""

# mypy: disable-error-code="no-untyped-def, no-untyped-call"


def to_go(rewards, ends, discount, G):
    """Write G_t = r_t + γ G_{t+1} for every step of episodes in a row; `ends` has where each of them ends."""
    first = 0
    for end in ends:
        later = -0.0  # which adds nothing, not even to −0
        for t in range(end - 1, first - 1, -1):
            later = rewards[t] + discount * later
            G[t] = later
        first = end
