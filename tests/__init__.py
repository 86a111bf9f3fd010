"""Tests mirror the source; a package of its own name, since installed packages ship a `tests` too."""
