"""The picture of the documentation, taken anew: ``python -m tests.browser.screenshots``.

It goes to ``docs/images``.  Its letters are those of Debian's ``fonts-inter``, where that is
installed.
"""

import trio
from playwright.async_api import ViewportSize

from tests.browser.chat import at_tab
from tests.browser.chromium import Chromium, running_chromium
from tests.running import ROOT, running

IMAGES = ROOT / "docs" / "images"
SIZE: ViewportSize = {"width": 900, "height": 640}
FONT = "* { font-family: Inter, system-ui, sans-serif }"

TALK = [
    ("Ada", "I cancelled a send in the middle of a message, on purpose."),
    ("Grace", "And?"),
    ("Ada", "Nothing. The message was sent whole, or not at all, and the connection went on."),
    ("Ada", "Then I killed the server …"),
    ("Grace", "… and my page came back by itself. I saw it say so."),
    ("Grace", "What do we break next?"),
]


async def take_chat(chromium: Chromium) -> None:
    """Take the picture of two people who talk."""
    async with (
        running("-m", "trio_ws.demo", 0) as server,
        chromium.window(viewport=SIZE, scale=2) as window,
    ):
        address = await server.address()
        people = {name: await at_tab(window, address) for name, _ in TALK[:2]}
        for name, person in people.items():
            await person.join(name)
        for name, text in TALK:
            await people[name].say(text)
        ada = people["Ada"]
        await ada.sees(TALK[-1][1])
        await ada.do(ada.page.add_style_tag(content=FONT))
        await ada.do(ada.field.fill("The proxy in between"))
        path = IMAGES / "chat.png"
        await ada.do(ada.page.screenshot(path=path, animations="disabled"))


def main() -> None:
    """Start a browser, take the picture."""
    IMAGES.mkdir(exist_ok=True)
    with running_chromium() as chromium:
        trio.run(take_chat, chromium)


if __name__ == "__main__":
    main()
