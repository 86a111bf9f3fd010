"""AudioSet's 527 classes and its ontology: which names exist, how they are spelt, which class contains which.

Everything that reads or compares labels stands on this: the corpus readers and ingest (spelling), tagging (mutually
exclusive labels), mixing and evaluation (no pair of a class with itself or its parent). The tables in ``assets/`` hold
facts of Gemmeke et al. 2017: index, mid and display name of the classes; id, name and children of the ontology nodes.

Example::

    table = label_table()
    table.resolve("bark"), table.resolve("/m/05tny_")        # 'Bark', 'Bark'
    table.exclusive(["Dog", "Bark", "Rain"])                 # ('Bark', 'Rain')
"""

import csv
import difflib
import json
from collections.abc import Iterable
from functools import cache, lru_cache
from importlib import resources

_LEFT_OUT = str.maketrans({"_": " ", ",": " ", "(": " ", ")": " ", ".": None, "'": None})


class UnknownLabelError(ValueError):
    """A text that names no AudioSet class. ``suggestion`` says what may have been meant (empty if nothing is near)."""

    def __init__(self, label: str, suggestion: str = "") -> None:
        super().__init__(f"unknown label: {label!r}" + (f" ({suggestion})" if suggestion else ""))
        self.label = label
        self.suggestion = suggestion

    def __reduce__(self):
        return type(self), (self.label, self.suggestion)


class LabelTable:
    """The classes in AudioSet's order and the ontology graph around them.

    The graph has 632 nodes, 527 of which are classes; the others (``Human sounds``, ``Yak``) only structure it or have
    no recordings. A node may have several parents. Names are unique over all nodes.
    """

    def __init__(self, classes: Iterable[tuple[str, str]], nodes: Iterable[dict]) -> None:
        """Classes are (mid, display name) in index order; nodes have ``id``, ``name`` and ``child_ids``."""
        mids, names = zip(*classes, strict=True)
        self.names: tuple[str, ...] = names
        self.mids: tuple[str, ...] = mids
        self._index = {name: index for index, name in enumerate(names)}
        nodes = list(nodes)
        self._nodes = {node["name"] for node in nodes}
        self._spellings = {_key(node["id"]): node["name"] for node in nodes}
        self._spellings |= {_key(node["name"]): node["name"] for node in nodes}
        self._ancestors = _ancestors(nodes)
        children = {child for node in nodes for child in node["child_ids"]}
        self.categories: tuple[str, ...] = tuple(node["name"] for node in nodes if node["id"] not in children)

    def __len__(self) -> int:
        return len(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self._index

    def index(self, name: str) -> int:
        """Position of a class in ``names``: the column of a tagger's scores.

        Raises:
            UnknownLabelError: not the display name of a class.
        """
        return self._index[name] if name in self._index else self._index[self.resolve(name)]

    def resolve(self, text: str) -> str:
        """The display name for a display name or mid, whatever its case.

        Underscores, commas, brackets, dots, apostrophes and "and" do not count, so that FSD50K's
        ``Baby_cry_and_infant_cry`` is found as well, and a name without anything that a shell has to quote.

        Raises:
            UnknownLabelError: no such class; the message suggests the nearest one.
        """
        name = self._node(text)
        if name not in self._index:
            raise UnknownLabelError(text.strip(), "in AudioSet's ontology, but not one of its 527 classes")
        return name

    def resolve_all(self, texts: Iterable[str]) -> tuple[str, ...]:
        """Display names of the labels of one clip, in order, without duplicates.

        Ontology nodes that are no class are left out where another label of the clip is more specific: corpora such
        as FSD50K give every ancestor too, and the mutually exclusive labels never hold them.

        Raises:
            UnknownLabelError: for the first text that is no class and has no more specific label beside it.
        """
        nodes = list(dict.fromkeys(self._node(text) for text in texts))
        covered = frozenset().union(*(self._ancestors[name] for name in nodes if name in self._index))
        return tuple(self.resolve(name) for name in nodes if name in self._index or name not in covered)

    def ancestors(self, name: str) -> frozenset[str]:
        """Names of all ontology nodes above ``name``, by every path, without itself.

        Raises:
            UnknownLabelError: no such class or node.
        """
        return self._ancestors[name] if name in self._nodes else self._ancestors[self._node(name)]

    def related(self, a: str, b: str) -> bool:
        """Whether two labels may sound at once in one event: they are the same, or one contains the other."""
        a, b = self._node(a), self._node(b)
        return a == b or a in self._ancestors[b] or b in self._ancestors[a]

    def exclusive(self, names: Iterable[str]) -> tuple[str, ...]:
        """The mutually exclusive labels of a clip (paper, A.2): an ancestor goes when a descendant is present.

        The order stays, duplicates go.
        """
        nodes = list(dict.fromkeys(self._node(name) for name in names))
        covered = frozenset().union(*(self._ancestors[name] for name in nodes))
        return tuple(name for name in nodes if name not in covered)

    def category(self, name: str) -> str:
        """The top node above a label, the first of ``categories`` where there are several; "" for an unknown label."""
        above = self._ancestors.get(name, frozenset()) | {name}
        return next((top for top in self.categories if top in above), "")

    def _node(self, text: str) -> str:
        if text in self._nodes:
            return text
        name = self._spellings.get(_key(text))
        if name is None:
            raise UnknownLabelError(text.strip(), self._suggestion(text.strip()))
        return name

    @lru_cache(maxsize=4096)  # noqa: B019 - one table lives as long as the process
    def _suggestion(self, text: str) -> str:
        parts = [_key(part) for part in text.split(",")]
        if len(parts) > 1 and all(part in self._spellings for part in parts):
            return "separate labels with ';'"
        if len(text) > 2 * max(map(len, self.names)):
            return ""
        candidates = {_key(name): name for name in self.names}
        close = difflib.get_close_matches(_key(text), candidates, n=1)
        return f"did you mean {candidates[close[0]]!r}?" if close else ""


@cache
def label_table() -> LabelTable:
    """The table of AudioSet's classes, read once per process."""
    assets = resources.files("data_specs").joinpath("assets")
    rows = csv.DictReader(assets.joinpath("audioset_labels.csv").read_text("utf-8").splitlines())
    nodes = json.loads(assets.joinpath("ontology.json").read_text("utf-8"))
    return LabelTable(((row["mid"], row["display_name"]) for row in rows), nodes)


def _key(text: str) -> str:
    """What is left of a name when case, punctuation, "and" and spacing do not count; mids keep theirs."""
    text = text.strip().casefold()
    if text.startswith("/"):
        return text
    words = text.translate(_LEFT_OUT).split()
    return " ".join(word for word in words if word != "and")


def _ancestors(nodes: list[dict]) -> dict[str, frozenset[str]]:
    names = {node["id"]: node["name"] for node in nodes}
    parents: dict[str, list[str]] = {node["name"]: [] for node in nodes}
    for node in nodes:
        for child in node["child_ids"]:
            parents[names[child]].append(node["name"])

    @cache
    def above(name: str) -> frozenset[str]:
        return frozenset(parents[name]).union(*(above(parent) for parent in parents[name]))

    return {name: above(name) for name in parents}
