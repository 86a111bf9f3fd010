"""The fenced blocks of the documents: commands, files and Python snippets, each with where it stands."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "guide"

PAGES = (
    ROOT / "README.md",
    *(GUIDE / f"{name}.md" for name in ("README", "separate", "own-corpus", "evaluate", "shards", "reports")),
    *(GUIDE / f"{name}.md" for name in ("own-weights", "other-training", "nightly", "cluster", "label-free")),
    ROOT / "docs" / "method.md",
    ROOT / "docs" / "architecture.md",
    ROOT / "CONTRIBUTING.md",
)
"""In reading order: a page may use what an earlier one has made."""

LOGS = (ROOT / "docs" / "log.md", ROOT / "docs" / "families.md")
"""What was run once, on some machine, at some time: not to be run again."""

LANGUAGES = {"sh", "python", "yaml", "csv", "text", "math", "mermaid"}

_FENCE = re.compile(r"^```(\S*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_FILE = re.compile(r"# (?P<name>[\w./-]+\.(?:yaml|csv))\b.*\n")


@dataclass(frozen=True)
class Block:
    """A fenced block; ``line`` is that of its first line of content."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        """Page and line, as test reports show it."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def file_name(self) -> str:
        """The file that the block's first line says it is, or nothing."""
        named = _FILE.match(self.text)
        return named["name"] if named else ""

    def commands(self) -> list["Block"]:
        """The command lines of a shell block, one block each."""
        joined = self.text.replace("\\\n", "  ")
        lines = [(number, re.sub(r"\s+# .*", "", line).strip()) for number, line in enumerate(joined.splitlines())]
        return [
            Block(self.page, self.line + number, self.language, line)
            for number, line in lines
            if line and not line.startswith("#")
        ]


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page."""
    content = page.read_text("utf-8")
    return [
        Block(page, content.count("\n", 0, found.start()) + 2, found[1], found[2]) for found in _FENCE.finditer(content)
    ]
