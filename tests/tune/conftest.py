"""Pictures of tunings are drawn in tests that ask for them."""

import pytest


@pytest.fixture
def drawn_pictures() -> None:
    """The pictures of a tuning are drawn."""


@pytest.fixture(autouse=True)
def drawn_if_asked(request: pytest.FixtureRequest) -> None:
    """The pictures of a tuning are not drawn, unless a test asks for `drawn_pictures`."""
    if "drawn_pictures" not in request.fixturenames:
        request.getfixturevalue("no_tune_pictures")
