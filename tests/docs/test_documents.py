"""Every command, file and snippet of the README and the documents does what it is there for.

A page's blocks are followed in one folder, from the README to the last page of the guide: what one command writes, the
next one reads. ``tests.docs.reduced`` lists what is run smaller and what is left out; nothing else is skipped.
"""

import re
import shlex
import warnings

import pytest
import typer

from data_specs.config import load_config
from docs.reference.make import make
from flows.cli import COMMANDS, GROUPS, app
from flows.help import split_examples
from tests.docs.documents import LANGUAGES, LOGS, PAGES, ROOT, Block, blocks
from tests.docs.reduced import CHANGED, LEFT_OUT

BLOCKS = [block for page in PAGES for block in blocks(page)]
LINES = [command for block in BLOCKS if block.language == "sh" for command in block.commands()]
SNIPPETS = [block for block in BLOCKS if block.language == "python"]
CONFIGURATIONS = [block for block in BLOCKS if block.language == "yaml"]


def places(steps: list[Block]) -> list[str]:
    return [f"{step.place} {step.text.strip().splitlines()[0][:60]}" for step in steps]


@pytest.mark.parametrize("command", LINES, ids=places(LINES))
def test_a_command_of_the_documents_succeeds(reader, command):
    if command.text in LEFT_OUT:
        pytest.skip(LEFT_OUT[command.text])
    reader.follow(command)


@pytest.mark.parametrize("snippet", SNIPPETS, ids=places(SNIPPETS))
def test_a_snippet_of_the_documents_runs(reader, snippet):
    reader.follow(snippet)


@pytest.mark.parametrize("block", CONFIGURATIONS, ids=places(CONFIGURATIONS))
def test_a_configuration_of_the_documents_is_valid(tmp_path, block):
    assert block.file_name, "its first line has to name the file, so that commands can use it"
    (tmp_path / "config.yaml").write_text(block.text, "utf-8")
    load_config(str(tmp_path / "config.yaml"))


def test_every_page_is_followed_and_every_block_says_what_it_is():
    assert set(PAGES) | set(LOGS) == {ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")}
    assert [block.place for block in BLOCKS if block.language not in LANGUAGES] == []


def test_no_command_hides_in_a_block_that_is_not_run():
    commands = re.compile(r"^(?:data-engine|prefect|kubectl|docker|ray|sh|make|python|\.venv/\S+) ", re.MULTILINE)
    assert [block.place for block in BLOCKS if block.language == "text" and commands.search(block.text)] == []


def first_words() -> set[str]:
    """The commands of one word, as users type them."""
    return {command.__name__.replace("_", "-") for commands in COMMANDS.values() for command in commands}


def test_commands_that_the_prose_names_exist():
    known = first_words() | set(GROUPS)
    for page in PAGES:
        named = set(re.findall(r"`data-engine (\w[\w-]*)", page.read_text("utf-8"))) - {"COMMAND"}
        assert named <= known, page.name


def test_what_is_reduced_or_left_out_is_still_in_the_documents():
    commands = {command.text for command in LINES}
    assert [command for command in (*CHANGED, *LEFT_OUT) if command not in commands] == []


def test_the_guide_lists_every_command_and_no_other():
    table = (ROOT / "docs" / "guide" / "README.md").read_text("utf-8")
    listed = re.findall(r"^\| `([a-z]+[a-z-]*(?: [a-z]+[a-z-]*)?)[ `]", table, re.MULTILINE)
    known = first_words() | {f"{first} {second}" for first, (_, _, own) in GROUPS.items() for second in own}
    assert set(listed) == known


def is_taken(command_line: str) -> bool:
    """Whether a command exists and takes these arguments; nothing is run."""
    words = shlex.split(command_line, comments=True)[1:]
    command = typer.main.get_command(app)
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    return command.make_context(command.name, words) is not None


def test_examples_in_the_help_are_taken_by_their_commands():
    """Parsed only: the guide runs the commands, with files that are there."""
    engine = typer.main.get_command(app)
    for command in engine.commands.values():
        for one in getattr(command, "commands", {"": command}).values():
            _, examples = split_examples(one.help or "")
            assert examples, one.name
            assert all(map(is_taken, examples))


@pytest.mark.parametrize("command", [one for one in LEFT_OUT if re.match(r"data-engine [a-z]", one)])
def test_a_command_that_is_left_out_is_taken_by_the_command_line(command):
    assert is_taken(command)


def test_files_for_deployment_that_the_documents_name_are_there():
    """In commands that want a cluster as well; ``tests/infra`` validates the files."""
    named = {word for page in PAGES for word in re.findall(r"\binfra/[\w./-]*\w", page.read_text("utf-8"))}
    assert "infra/docker/Dockerfile.cuda" in named
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_links_of_the_documents_lead_to_files_and_headings():
    for page in (*PAGES, *LOGS):
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
            name, _, heading = target.partition("#")
            if "://" in target:
                continue
            linked = (page.parent / name) if name else page
            assert linked.exists(), f"{page.name}: {target}"
            if heading:
                headings = re.findall(r"^#+ (.+)$", linked.read_text("utf-8"), re.MULTILINE)
                assert heading in {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings}, target


def test_the_api_reference_is_made_without_a_warning_and_without_the_network(tmp_path):
    """What ``make docs`` does for all packages, for two."""
    assert "docs/reference/make.py" in (ROOT / "Makefile").read_text("utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make(tmp_path, "data_specs", "flows")
    page = (tmp_path / "flows" / "separate_command.html").read_text("utf-8")
    assert "data-engine separate street.ogg" in page
    assert "Examples:" in page
    assert "::</p>" not in page
    pages = [one.read_text("utf-8") for one in tmp_path.rglob("*.html")]
    assert not [text for text in pages if re.search(r"<(?:script|link|img)[^>]*(?:src|href)=[\"']https?:", text)]
    assert "every command, how errors become exit statuses" in (tmp_path / "index.html").read_text("utf-8")
