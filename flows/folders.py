"""Where the results of a command go, checked before the work begins: nobody waits for models to learn of a wrong path.

Example::

    check_folder(out)             # ``--out DIR``
    check_file(metrics)           # ``--out FILE``
"""

import os
from pathlib import Path

from data_specs.errors import UserError


def check_folder(folder: Path, option: str = "--out") -> None:
    """Whether files can be written into a folder, which need not exist; nothing is made.

    Raises:
        UserError: it is a file, lies below one, or must not be written.
    """
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise UserError(f"{there} is a file, not a folder: give another {option}")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UserError(f"{there} cannot be written: give another {option}, or write permission")


def check_file(file: Path, option: str = "--out") -> None:
    """Whether a file can be written; it may exist already.

    Raises:
        UserError: it is a folder, or its folder cannot be written.
    """
    if file.is_dir():
        raise UserError(f"{file} is a folder: give the name of a file as {option}")
    check_folder(file.parent, option)
