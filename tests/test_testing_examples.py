"""The chat of the guide to testing, and its tests, run as its readers run them."""

from tests.running import EXAMPLES, finished, running
from trio_ws import open_websocket_url


async def test_chat_to_be_tested_serves() -> None:
    """It is a program too."""
    async with (
        running("testing/chat_server.py", 0) as server,
        open_websocket_url(f"{await server.address()}kitchen?Ada") as ada,
    ):
        assert await ada.receive() == "Ada is here"


async def test_tests_of_the_chat_pass() -> None:
    """All of them, with the plugin that their pytest.ini asks for."""
    lines = await finished(
        *("-m", "pytest", "-q", "-p", "no:cacheprovider"),
        EXAMPLES / "testing/test_rooms.py",
        EXAMPLES / "testing/test_time.py",
        EXAMPLES / "testing/test_faults.py",
        EXAMPLES / "testing/test_peers.py",
        EXAMPLES / "testing/test_network.py",
    )
    assert lines[-1].startswith("15 passed")


async def test_tests_of_what_holds_always_pass() -> None:
    """Those that try many cases, by Hypothesis and by the check of channels."""
    lines = await finished(
        *("-m", "pytest", "-q", "-p", "no:cacheprovider"),
        EXAMPLES / "testing/test_channel.py",
        EXAMPLES / "testing/test_properties.py",
    )
    assert lines[-1].startswith("3 passed")
