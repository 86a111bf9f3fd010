"""Data that a report's page loads when it is asked for: small scripts, since a page from ``file://`` may fetch nothing.

Each file calls ``dataEngine.receive(name, value)``; the page's script puts it into a ``<script>`` element. Values are
ASCII JSON, so that nothing in them is ever read as markup.

Example::

    write_data(folder, "listen", {"clips": []})      # folder/data/listen.js
"""

import json
from pathlib import Path
from typing import Any

FOLDER = "data"


def write_data(folder: Path, name: str, value: Any) -> None:
    """Write ``value`` as ``folder/data/<name>.js``.

    Raises:
        ValueError: NaN or infinity, which JSON does not know.
    """
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    path = folder / FOLDER / f"{name}.js"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"dataEngine.receive({json.dumps(name)},{text});\n", encoding="ascii")
