"""Diagrams that are drawn from the code they show, so that they cannot differ from it.

``.. drawn:: layers`` and ``.. drawn:: states`` are directives like ``graphviz``, with its options.
Those that are written by hand are in ``diagrams/``.  What all of them look like is said here: boxes
have a light fill of their own and lines are of a middle grey, so that they can be read on a light
page as well as on a dark one.
"""

import ast
from pathlib import Path
from typing import ClassVar

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.ext.graphviz import Graphviz

from trio_ws.protocol.state import TRANSITIONS, State

DOT_ARGUMENTS = [
    "-Gsize=7.4,20",  # in inches: what is wider than the page's column is made smaller
    "-Gbgcolor=transparent",
    "-Gfontname=Helvetica,Arial,sans-serif",
    "-Gfontsize=12",
    "-Gfontcolor=#7a7a7a",
    "-Gcolor=#7a7a7a",
    "-Nshape=box",
    "-Nstyle=filled,rounded",
    "-Nfillcolor=#e6edf3",
    "-Ncolor=#8a99a8",
    "-Nfontcolor=#1c2733",
    "-Nfontname=Helvetica,Arial,sans-serif",
    "-Nfontsize=12",
    "-Ecolor=#7a7a7a",
    "-Efontcolor=#7a7a7a",
    "-Efontname=Helvetica,Arial,sans-serif",
    "-Efontsize=11",
]

LAYER_NAMES = ["values", "protocol", "transport", "connection", "roles", "edges"]  # upwards
NAMES_A_LINE = 5

# What makes the transitions of ``state.py``; a new one has to be named here.
CAUSES = {
    (State.CONNECTING, State.OPEN): "opening handshake\\lsucceeds\\l",
    (State.CONNECTING, State.CLOSED): "handshake fails",
    (State.OPEN, State.CLOSING): "we send a Close\\l",
    (State.OPEN, State.CLOSED): "the peer's Close is answered,\\l"
    "the connection is failed,\\lor the stream ends\\l",
    (State.CLOSING, State.CLOSED): "the peer's Close comes,\\l"
    "a failure, or the end\\lof the stream\\l",
}


def layers() -> str:
    """Return the layers as the test of the layers has them, the highest on top."""
    test = Path(__file__).parent.parent / "tests" / "test_layering.py"
    (modules,) = (
        node.value
        for node in ast.parse(test.read_text(encoding="utf-8")).body
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "LAYERS"
    )
    assert modules is not None
    boxes = list(zip(LAYER_NAMES, ast.literal_eval(modules), strict=True))[::-1]
    lines = [f"{name} [label=<<b>{name}</b><br/>{_wrapped(sorted(each))}>]" for name, each in boxes]
    chain = " -> ".join(name for name, _ in boxes)
    return f"digraph layers {{ ranksep=0.2 node [width=5.5]\n{_joined(lines)}{chain} }}"


def _wrapped(names: list[str]) -> str:
    shown = [name or "trio_ws" for name in names]
    rows = [shown[start : start + NAMES_A_LINE] for start in range(0, len(shown), NAMES_A_LINE)]
    return "<br/>".join(",  ".join(row) for row in rows)


def states() -> str:
    """Return the states of a connection and what leads from one to the next."""
    arrows = [
        f'{before.name} -> {after.name} [label="{CAUSES[before, after]}"]'
        for before, afters in TRANSITIONS.items()
        for after in sorted(afters, key=lambda state: state.value)
    ]
    return f"digraph states {{\n{_joined(arrows)}}}"


def _joined(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


class Drawn(Graphviz):
    """A diagram that a function above returns."""

    required_arguments = 1
    optional_arguments = 0
    has_content = False
    functions: ClassVar = {"layers": layers, "states": states}

    def run(self) -> list[nodes.Node]:
        """Have it drawn as if the page contained it."""
        self.content = StringList(self.functions[self.arguments.pop()]().splitlines())
        return super().run()


def setup(app: Sphinx) -> None:
    """Add the directive, and draw as said above."""
    app.setup_extension("sphinx.ext.graphviz")
    app.add_directive("drawn", Drawn)
    app.connect("config-inited", _configure)
    app.add_css_file("pages.css")


def _configure(app: Sphinx, config: object) -> None:
    app.config.graphviz_output_format = "svg"
    app.config.graphviz_dot_args = DOT_ARGUMENTS
    app.config.html_static_path.append("_static")
