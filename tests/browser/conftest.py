"""What the tests with a real browser share."""

from collections.abc import AsyncGenerator, Iterator

import pytest

from tests.browser.chromium import Chromium, Window, running_chromium


@pytest.fixture(scope="session")
def chromium() -> Iterator[Chromium]:
    """Run one browser for all tests; what it holds open is open before each of them begins."""
    with running_chromium() as running:
        yield running


@pytest.fixture
async def window(chromium: Chromium) -> AsyncGenerator[Window, None]:
    """Open a window for one test."""
    async with chromium.window() as opened:
        yield opened
