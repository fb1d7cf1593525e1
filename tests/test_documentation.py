"""What the documentation shows is there, and is run: its code, its commands, its links.

Sphinx itself sees to cross-references and to the table of contents (``make docs``).
"""

import re
import tomllib
from contextlib import redirect_stderr, redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from textwrap import indent

import pytest

from tests.pages import DOCS, PAGES, blocks, commands, paths, read
from tests.running import EXAMPLES, ROOT
from tests.test_hardening_docs import DEFAULTS, written
from trio_ws.cli._main import parse

every_page = pytest.mark.parametrize("page", PAGES)

# Examples are run by tests, as test_examples.py makes sure; so is the chat, by test_demo.py.
RUN = [
    *EXAMPLES.rglob("*.py"),
    *(ROOT / "trio_ws" / "demo").glob("*.py"),
    *(ROOT / "tests").rglob("test_*.py"),
]
SOURCES = [path.read_text(encoding="utf-8") for path in RUN]

# Where a literalinclude may take its text from.
INCLUDED_FROM = [EXAMPLES, ROOT / "tests", ROOT / "trio_ws" / "demo"]

# Where the documentation says that its commands are to be typed, besides the checkout's root.
DIRECTORIES = [ROOT, EXAMPLES, EXAMPLES / "tutorial", EXAMPLES / "reverse_proxy"]

# Options with what a page says is their default: :attr:`Timeouts.open` (10 s).
DEFAULT = re.compile(r":attr:`~?(\w+\.\w+)`\s+\((\d[^,;)]*)")

PROJECT = tomllib.loads(read("pyproject.toml"))["project"]
TARGETS = re.findall(r"^([a-z]+): ", read("Makefile"), re.MULTILINE)


def is_run(code: str) -> bool:
    """Return whether this stands, line for line, in something that is run."""
    margins = (" " * width for width in range(0, 21, 4))
    variants = [f"\n{indent(code, margin)}\n" for margin in margins]
    return any(variant in f"\n{source}\n" for source in SOURCES for variant in variants)


def missing_in(words: list[str]) -> list[str]:
    """Return what a command names of ours, or of Python's, that is not there."""
    match words:
        case ["trio-ws", *arguments] | ["python" | "python3", "-m", "trio_ws", *arguments]:
            return [] if is_understood(arguments) else [" ".join(arguments)]
        case ["python" | "python3", "-m", module, *_]:
            return [] if find_spec(module) else [module]
        case ["python" | "python3", script, *_] if not script.startswith("-"):
            return [] if any((path / script).is_file() for path in DIRECTORIES) else [script]
        case ["make", *targets]:
            return [target for target in targets if "=" not in target and target not in TARGETS]
        case ["pip", "install", *wanted]:
            names = ",".join(re.findall(r"^(?:trio_ws|\.)\[([\w,]+)\]", "\n".join(wanted)))
            extras = PROJECT["optional-dependencies"]
            return [name for name in names.split(",") if name and name not in extras]
        case [program, *_] if "/" in program and not program.startswith("/"):
            return [] if (ROOT / program).exists() else [program]
        case _:
            return []


def is_understood(arguments: list[str]) -> bool:
    """Return whether our own command line takes these arguments."""
    if not arguments or "COMMAND" in arguments:  # it is about all of them
        return True
    with redirect_stdout(None), redirect_stderr(None):
        try:
            parse(arguments)
        except SystemExit as exit_:
            return not exit_.code  # it was for help
    return True


def is_inside(path: Path, directories: list[Path]) -> bool:
    """Return whether a file is in one of these."""
    return any(path.resolve().is_relative_to(directory) for directory in directories)


@every_page
def test_python_is_run(page: str) -> None:
    """Each piece of Python is part of an example or a test."""
    written = [
        block
        for block in blocks(read(page))
        if (block.name == "code-block" and block.argument in {"", "python", "python3"})
        or (block.name == "literal" and re.search(r"^\s*(async|await|import|def) ", block.text))
    ]
    assert [f"{page}:{block.line}" for block in written if not is_run(block.text)] == []


@every_page
def test_included_files_are_run(page: str) -> None:
    """What is included literally comes from the examples, the tests or the chat."""
    included = [
        (ROOT / page).parent / block.argument
        for block in blocks(read(page))
        if block.name == "literalinclude"
    ]
    assert [str(path) for path in included if not is_inside(path, INCLUDED_FROM)] == []


def test_every_example_is_included_in_a_page() -> None:
    """What is worth being an example is worth being read where it is explained."""
    included = {
        ((ROOT / page).parent / block.argument).resolve()
        for page in PAGES
        for block in blocks(read(page))
        if block.name == "literalinclude"
    }
    examples = {path.resolve() for path in (ROOT / "examples").rglob("*.py")}
    assert sorted(str(path) for path in examples - included) == []


@every_page
def test_files_are_there(page: str) -> None:
    """Each file that is linked, included or named exists."""
    assert [str(path) for path in paths(page) if not path.exists()] == []


@every_page
def test_commands_are_there(page: str) -> None:
    """Each script, module, target and extra in a command exists."""
    missing = [(words, missing_in(words)) for words in commands(read(page))]
    assert [(words, names) for words, names in missing if names] == []


@every_page
def test_defaults_are_right(page: str) -> None:
    """Each default of a limit or a timeout that is given beside its name."""
    defaults = {name: written(float(value) if is_time(name) else value) for name, value in DEFAULTS}
    told = [(name, value) for name, value in DEFAULT.findall(read(page)) if name in defaults]
    assert [(name, value) for name, value in told if defaults[name] != value] == []


def is_time(name: str) -> bool:
    """Return whether an option is in seconds."""
    return not name.startswith("Limits")


def test_readme_and_front_page_begin_with_the_same_example() -> None:
    """Whichever is read first: it is the example that the tests run."""
    first = next(block for block in blocks(read("README.rst")) if block.argument == "python")
    front = next(
        block for block in blocks(read("docs/index.rst")) if block.name == "literalinclude"
    )
    example = DOCS / front.argument
    assert first.text in example.read_text(encoding="utf-8")


def test_readme_shows_the_recorded_session() -> None:
    """What it shows of a terminal is what test_cli_programs.py sees there."""
    session = read("tests/session.txt").rstrip()
    assert session in [block.text for block in blocks(read("README.rst"))]


# That these tests can fail


@pytest.mark.parametrize(
    ("code", "run"),
    [
        ("async for message in ws:\n    await ws.send(message)", True),
        ("async for message in ws:\n    await ws.send(message.upper())", False),
        ("for message in ws:\n    await ws.send(message)", False),
        ("async for message in ws:", True),
    ],
)
def test_code_that_is_run_is_told_from_code_that_is_not(code: str, run: bool) -> None:
    """By whole lines, however far they are indented where they are run."""
    assert is_run(code) is run


@pytest.mark.parametrize(
    ("command", "names"),
    [
        ("$ python hello.py", []),
        ("$ python echo_server.py 8766", []),
        ("$ python -m trio_ws.demo", []),
        ("$ make demo ARGS='-k close'", []),
        ("$ REDIS_URL=redis://localhost make demo", []),
        ("$ pip install '.[testing,redis]' pytest", []),
        ("$ cd examples && python hello.py", []),
        ("$ .ci/run", []),
        ("$ trio-ws serve --help", []),
        ("$ echo hello | python -m trio_ws ws://localhost:8765/", []),
        ("$ redis-cli PUBLISH room hello", []),
        ("$ python helo.py", ["helo.py"]),
        ("$ python -m trio_ws_demo", ["trio_ws_demo"]),
        ("$ make coffee", ["coffee"]),
        ("$ pip install 'trio_ws[testing,tea]'", ["tea"]),
        ("$ cd examples && python helo.py", ["helo.py"]),
        ("$ .ci/walk", [".ci/walk"]),
        ("$ echo hello | trio-ws sing", ["sing"]),
    ],
)
def test_commands_are_understood(command: str, names: list[str]) -> None:
    """What does not exist is found, in a block with a prompt and in one without."""
    texts = [f".. code-block:: console\n\n    {command}\n    output", f"Type::\n\n    {command}"]
    if command.startswith(("$ python", "$ make", "$ pip")):
        texts.append(f"Type ``{command.removeprefix('$ ')}`` now.")
    for text in texts:
        assert [name for words in commands(text) for name in missing_in(words)] == names


def test_blocks_are_found() -> None:
    """Directives and literal blocks end where the text goes on."""
    text = (
        "Title\n=====\n\n.. code-block:: python\n    :caption: it\n\n    a\n\n      b\n\nText::\n\n"
        "  c\n\n- item\n\n  .. literalinclude:: there\n      :pyobject: it\n\nEnd.\n"
    )
    assert [(block.line, block.name, block.argument, block.text) for block in blocks(text)] == [
        (4, "code-block", "python", "a\n\n  b"),
        (11, "literal", "", "c"),
        (17, "literalinclude", "there", ""),
    ]


def test_paths_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Links, directives and names in a sentence; not what is elsewhere in the world."""
    monkeypatch.setattr("tests.pages.ROOT", tmp_path)
    (tmp_path / "page.rst").write_text(
        "`one <one.py>`__, `elsewhere <https://example.org/>`__, ``tests/two.py``\n\n"
        ".. image:: three.png\n    :alt: it\n\n.. literalinclude:: four.py\n"
    )
    found = [path.relative_to(tmp_path).as_posix() for path in paths("page.rst")]
    assert found == ["one.py", "three.png", "four.py", "tests/two.py"]
