"""Sphinx's configuration. The documentation builds offline and with every warning an error."""

import sys
from importlib.metadata import version as installed_version
from pathlib import Path

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

sys.path.insert(0, str(Path(__file__).parent))  # for diagrams.py

project = "trio_ws"
author = "the trio_ws developers"
copyright = author
release = installed_version("trio_ws")
version = release

extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "diagrams"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"trio_ws {release}"

default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
# A default is worth reading as it is written, "Limits()", not as the repr of a big value.
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
python_display_short_literal_types = True
python_use_unqualified_type_names = True
# One parameter a line, where a signature is longer than a line of text.
python_maximum_signature_line_length = 88

nitpicky = True
# What others document. No inventories are fetched: the build needs no network.
nitpick_ignore_regex = [
    ("py:.*", r"(trio|trustme|wsproto|h11|werkzeug)\..*"),
    ("py:.*", rf"({'|'.join(sys.stdlib_module_names)})\..*"),
]
nitpick_ignore = [
    ("py:class", "Buffer"),  # collections.abc.Buffer, under the name that type checkers are given
    ("py:class", "BaseConverter"),  # werkzeug's
    ("py:class", "Compression"),  # a Deflate, "deflate" or None: told at the options
    ("py:class", "Decision"),  # what a process_request returns: told at ServerOptions
    ("py:class", "Decide"),  # a process_request that is async: told at basic_auth
    ("py:class", "Compression"),  # a Deflate, or its name: told at ClientOptions.compression
    ("py:class", "Handler"),  # a function of a WebSocket: told at serve_websocket
    ("py:class", "HeadersLike"),  # what Headers is made of: told there
    ("py:class", "PasswordCheck"),  # a function: told at basic_auth
    ("py:class", "PeerCertificate"),  # what ssl.SSLSocket.getpeercert returns
    ("py:class", "ProcessRequest"),  # a function of a Request: told at ServerOptions
    ("py:class", "TokenCheck"),  # a function: told at bearer_auth
    ("py:class", "_AnyHandler"),  # whatever function is decorated
    ("py:class", "ProxyLike"),  # a URL or FROM_ENVIRONMENT: told at ConnectOptions.proxy
]

# Where public objects are documented, most public first; they may be defined somewhere below.
PUBLIC_HOMES = [
    "trio_ws",
    "trio_ws.testing",
    "trio_ws.pubsub",
    "trio_ws.protocol",
    "trio_ws.protocol.handshake",
    "trio_ws.protocol.origins",
    "trio_ws.protocol.state",
]


def resolve_home(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, contnode: nodes.TextElement
) -> nodes.reference | None:
    """Find ``trio_ws._options.Limits``, as annotations name it, where it is documented.

    Docstrings say ``Limits`` alone, wherever they stand; that is found so as well.
    """
    if node.get("refdomain") != "py":
        return None
    domain = env.domains.python_domain
    parts = str(node["reftarget"]).split(".")
    if len(parts) > 1 and parts[0] != "trio_ws" and not parts[0][0].isupper():
        return None  # somebody else's
    for start in range(len(parts)):
        for home in PUBLIC_HOMES:
            target = ".".join([home, *parts[start:]])
            if target in domain.objects:
                return domain.resolve_xref(
                    env, node["refdoc"], app.builder, "obj", target, node, contnode
                )
    return None


# Napoleon takes an attribute's first words, up to a colon, for its type. Ours are typed by
# annotations, and a colon is punctuation: so it is not shown the colons of first lines.
HIDDEN_COLON = "\ue000"


def hide_colons(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Disguise the colons in the first line of an attribute's docstring."""
    if what in {"attribute", "data", "property"} and lines:
        lines[0] = lines[0].replace(": ", f"{HIDDEN_COLON} ")


def show_colons(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Undo what ``hide_colons`` did."""
    lines[:] = [line.replace(HIDDEN_COLON, ":") for line in lines]


def setup(app: Sphinx) -> None:
    """Connect what is defined above."""
    app.connect("missing-reference", resolve_home)
    # Before and after Napoleon, which is connected with priority 500.
    app.connect("autodoc-process-docstring", hide_colons, priority=400)
    app.connect("autodoc-process-docstring", show_colons, priority=600)
