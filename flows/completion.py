"""What the shell completes after an option: labels, presets, configuration files.

Labels are offered with underscores for spaces and without commas and brackets, so that no shell has to quote them;
``LabelTable.resolve`` takes them as they are.

Example::

    list(complete_label("acou"))      # [("acoustic_guitar", "Acoustic guitar")]
"""

import re
from collections.abc import Iterator
from glob import escape, glob

from data_specs.config import preset_names
from data_specs.labels import label_table


def shell_label(name: str) -> str:
    """A label's name as one word of any shell."""
    return re.sub(r"[\s,]+", "_", re.sub(r"[()'.]", "", name))


def complete_label(incomplete: str) -> Iterator[tuple[str, str]]:
    """Labels that begin with what is typed, in its case (shells compare letters), each with its display name."""
    for name in sorted(label_table().names):
        word = shell_label(name)
        if word.casefold().startswith(incomplete.casefold()):
            yield incomplete + word[len(incomplete) :], name


def complete_config(incomplete: str) -> Iterator[tuple[str, str]]:
    """Presets and YAML files that begin with what is typed."""
    for name in preset_names():
        if name.startswith(incomplete):
            yield name, "preset"
    for suffix in ("yaml", "yml"):
        for path in sorted(glob(f"{escape(incomplete)}*.{suffix}")):
            yield path, "file"
