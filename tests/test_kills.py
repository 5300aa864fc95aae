"""Commands that are killed at random times go on to the same results; `make kills` makes 2,000 of them."""

from pathlib import Path

import pytest
from crash_random import COMMANDS, make


@pytest.mark.nightly
def test_commands_killed_at_random_times_go_on_to_the_same_results(tmp_path: Path) -> None:
    found = make(range(3 * len(COMMANDS)), tmp_path)
    assert [entry for entry in found if not entry["same"]] == []
    assert sum(entry["kills"] for entry in found) > len(COMMANDS)  # the others ended before
    assert make(range(3 * len(COMMANDS)), tmp_path) == found  # what was made is known
