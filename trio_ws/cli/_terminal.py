"""The terminal of ``connect``: a prompt to type at, and what is shown above it.

The line editor is prompt-toolkit's, which runs on asyncio: all it does, it does in one thread with
a loop of its own, while Trio keeps the main one.  The terminal stays in raw mode from beginning to
end, also where there is no prompt for a moment: so what is typed then is neither echoed nor lost.
Whatever the end is, cancellation included, it is put back as it was.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal, TypeAlias

from prompt_toolkit import PromptSession
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.renderer import CPR_Support, print_formatted_text
from prompt_toolkit.styles import Style

from trio_ws.cli._asyncio_thread import AsyncioThread, run_with_asyncio

Mark: TypeAlias = Literal[">", "<", "*"]
"""Who says something: the user, the peer, this program."""

_STYLES: dict[Mark, str] = {">": "bold ansigreen", "<": "bold ansicyan", "*": "ansiyellow"}
_NO_STYLE = Style([])


class Terminal:
    """Asks for lines and shows others."""

    def __init__(self, thread: AsyncioThread) -> None:
        self._thread = thread
        # Not in a file: what is typed may be a password.
        self._session = PromptSession[str](
            _marked(">", ""), history=InMemoryHistory(), interrupt_exception=EOFError
        )
        # The terminal is not asked where its cursor is: the answer would be wrong once we have
        # shown something, and a terminal that gives none would be waited for.
        self._session.app.renderer.cpr_support = CPR_Support.NOT_SUPPORTED

    async def ask(self) -> str | None:
        """Let the user type a line and return it; ``None`` for Ctrl-C and Ctrl-D.

        On cancellation the prompt ends, with what was typed left to be seen.
        """
        return await self._thread.run(self._ask)

    async def show(self, mark: Mark, text: str) -> None:
        """Show lines, above the prompt if there is one; return when they stand there."""

        async def show() -> None:
            self._show(_marked(mark, f"{text}\n"))

        await self._thread.run(show)

    async def use(self, async_fn: Callable[[Terminal], Awaitable[None]]) -> None:
        """Run something that has the terminal until it ends."""
        with self._session.input.raw_mode():
            await async_fn(self)

    async def _ask(self) -> str | None:
        try:
            return await self._session.prompt_async(set_exception_handler=False)
        except EOFError:
            return None

    def _show(self, text: FormattedText) -> None:
        # Not by prompt-toolkit's run_in_terminal(): for a moment it would leave raw mode.
        app = self._session.app
        if app.is_running:
            app.renderer.erase()
        print_formatted_text(self._session.output, text, _NO_STYLE)
        app.invalidate()


async def run_with_terminal(async_fn: Callable[[Terminal], Awaitable[None]]) -> None:
    """Run something that has the terminal until it ends."""
    await run_with_asyncio(lambda thread: Terminal(thread).use(async_fn))


def _marked(mark: Mark, text: str) -> FormattedText:
    return FormattedText([(_STYLES[mark], f"{mark} "), ("", text)])
