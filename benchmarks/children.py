"""Processes: started, pinned to a core, asked questions.

A child answers each question with one object; an exception of its own comes back as words.  It
ends when its parent hangs up, or is killed by it.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Concatenate, ParamSpec, Self

P = ParamSpec("P")

# A fork would inherit sockets and what the parent has imported.
_context = multiprocessing.get_context("spawn")

ANSWER_SECONDS = 120.0  # the longest that a round may take; then something hangs


class ChildFailed(Exception):
    """A child raised, hung or died; says what is known."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What a child answers when it raised."""

    words: str


@dataclass(frozen=True, slots=True)
class Cores:
    """Where the two sides of a row run."""

    server: int
    load: int

    @classmethod
    def available(cls) -> Self:
        """Return two different cores, or one twice where there is but one."""
        cores = sorted(os.sched_getaffinity(0))
        return cls(cores[0], cores[-1])


class Child:
    """One process and the pipe to it."""

    def __init__(
        self,
        main: Callable[Concatenate[Connection, P], None],
        core: int,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        self._pipe, theirs = _context.Pipe()
        self._process = _context.Process(
            target=_run, args=(theirs, core, main, args, kwargs), daemon=True
        )
        self._process.start()
        theirs.close()

    def ask(self, question: object) -> object:
        """Send a question and return its answer.

        Raises:
            ChildFailed: it came to nothing.
        """
        try:
            self._pipe.send(question)
        except OSError as exc:
            raise ChildFailed("the process is gone") from exc
        return self.answer()

    def answer(self) -> object:
        """Return what the child says next; its first word is that it is ready.

        Raises:
            ChildFailed: it raised, died, or said nothing for two minutes.
        """
        try:
            if not self._pipe.poll(ANSWER_SECONDS):
                raise ChildFailed(f"no answer in {ANSWER_SECONDS:g} seconds")
            answer: object = self._pipe.recv()
        except (EOFError, OSError) as exc:
            raise ChildFailed("the process died") from exc
        if isinstance(answer, Failure):
            raise ChildFailed(answer.words)
        return answer

    def end(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._process.join()
        self._pipe.close()


def raise_descriptor_limit() -> int:
    """Let this process have as many descriptors as it may have, and tell how many."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


def _run(
    pipe: Connection,
    core: int,
    main: Callable[..., None],
    args: tuple[object, ...],
    kwargs: dict[str, object],
) -> None:
    os.sched_setaffinity(0, {core})
    raise_descriptor_limit()
    try:
        main(pipe, *args, **kwargs)
    except (EOFError, KeyboardInterrupt):
        pass
    except BaseException:  # noqa: BLE001 - told to the parent, who decides
        pipe.send(Failure(traceback.format_exc()))
