"""The API reference from the docstrings of all layers, as pages that need no network.

Docstrings are in Google's style, with reStructuredText's double colon before an example, which pdoc would show.

Run: .venv/bin/python docs/reference/make.py build/docs
"""

import sys
from pathlib import Path

import pdoc

HERE = Path(__file__).resolve().parent
LAYERS = ("data_specs", "models", "pipeline", "flows")


def make(out: Path, *packages: str) -> None:
    """Write the pages of some packages, ``index.html`` among them."""
    pdoc.render.configure(docformat="google", template_directory=HERE)
    pdoc.pdoc(*packages, output_directory=out)
    for page in out.rglob("*.html"):
        page.write_text(page.read_text("utf-8").replace("::</p>", ":</p>"), "utf-8")


if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parents[1]))
    make(Path(sys.argv[1]), *LAYERS)
    print(f"{sys.argv[1]}/index.html")
