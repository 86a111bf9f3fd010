"""The one exception that means "the user can fix this": one line that says what to do, exit status 2. How such lines
list names.

Example::

    raise UserError(f"the files {few(names)} are missing: check the path")
"""

from collections.abc import Sequence


class UserError(Exception):
    """Bad input from the user. The message is one line and says what to do about it.

    The command line prints it without a stack trace and exits with status 2; flows do not retry it.
    """


def few(names: Sequence[str], most: int = 4) -> str:
    """Names in a message, the rest counted: ``a, b and 3 more``."""
    return ", ".join(names[:most]) + (f" and {len(names) - most:,} more" if len(names) > most else "")
