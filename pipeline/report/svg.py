"""Matplotlib figures as SVG that takes its colours and fonts from the page.

Figures are drawn in the placeholder colours of ``COLOURS``. ``themed_svg`` turns those into classes (``fill-ink``,
``stroke-line``), so that the style sheet gives them the page's light or dark colours, and all other style into
attributes, so that a strict content security policy lets the SVG stand inside the page. Text stays text. The same
figure gives the same bytes.

Example::

    figure, axes = new_figure("yield", width=340, height=220)
    axes.plot([1, 2], color=COLOURS["sst"])
    svg = themed_svg(figure, "yield", label="Hours kept over the threshold")
"""

import io
import re
from typing import Any
from xml.etree import ElementTree

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Names of the style sheet's variables; the values only have to differ from one another.
COLOURS = {
    name: f"#0101{index:02x}"
    for index, name in enumerate(
        ("ink", "soft", "line", "card", "sst", "itt", "rejected", "single", "bad", "accent", "grey"), start=1
    )
}
_NAMES = {value: name for name, value in COLOURS.items()}
_SVG = "http://www.w3.org/2000/svg"
_XLINK = "http://www.w3.org/1999/xlink"
_DPI = 72  # one point is one unit of the SVG, and one CSS pixel

STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "report",
    "text.parse_math": False,
    "axes.formatter.use_mathtext": False,
    "font.size": 11,
    "axes.labelsize": 11,
    "axes.titlesize": 12,
    "axes.titlelocation": "left",
    "axes.titlecolor": COLOURS["ink"],
    "axes.titlepad": 10,
    "axes.labelcolor": COLOURS["soft"],
    "axes.edgecolor": COLOURS["line"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 1,
    "xtick.color": COLOURS["line"],
    "ytick.color": COLOURS["line"],
    "xtick.labelcolor": COLOURS["soft"],
    "ytick.labelcolor": COLOURS["soft"],
    "xtick.labelsize": 10.5,
    "ytick.labelsize": 10.5,
    "xtick.major.size": 3,
    "ytick.major.size": 0,
    "text.color": COLOURS["ink"],
    "legend.frameon": False,
    "legend.fontsize": 10.5,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "axes.axisbelow": True,
    "grid.color": COLOURS["line"],
    "grid.linewidth": 1,
}


def new_figure(*, width: float, height: float) -> tuple[Figure, Axes]:
    """An empty figure of so many CSS pixels with one set of axes; use it inside ``matplotlib.rc_context(STYLE)``."""
    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI, layout="constrained")
    return figure, figure.add_subplot()


def themed_svg(figure: Figure, name: str, *, label: str) -> str:
    """The figure as an ``<svg>`` element.

    Args:
        figure: drawn in ``COLOURS``.
        name: makes the ids inside the figure differ from those of other figures of the page.
        label: what the figure shows, for those who cannot see it.
    """
    sink = io.StringIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(sink, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    ElementTree.register_namespace("", _SVG)
    root = ElementTree.fromstring(sink.getvalue())
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.rpartition("}")[2] in ("metadata", "style"):
                parent.remove(child)
    used = set(re.findall(r"#([\w-]+)", " ".join(v for e in root.iter() for k, v in e.items() if _refers(k, v))))
    for element in root.iter():
        _clean(element, name, used)
    width, height = (float(root.attrib.pop(side).removesuffix("pt")) for side in ("width", "height"))
    root.attrib |= {"width": f"{width:g}", "height": f"{height:g}", "role": "img", "aria-label": label}
    return ElementTree.tostring(root, encoding="unicode")


def _refers(key: str, value: str) -> bool:
    return key.endswith("href") or "url(#" in value


def _clean(element: ElementTree.Element, name: str, used: set[str]) -> None:
    """Style to attributes and classes, ids to ones that are used and belong to the figure alone."""
    if element.get("id") and element.attrib["id"] not in used:
        del element.attrib["id"]
    attributes = dict(element.attrib)
    element.attrib.clear()
    style = dict(part.split(":", 1) for part in attributes.pop("style", "").split(";") if ":" in part)
    attributes |= {key.strip(): value.strip() for key, value in style.items()}
    classes = []
    for key, value in attributes.items():
        if key in ("fill", "stroke") and value in _NAMES:
            classes.append(f"{key}-{_NAMES[value]}")
        elif key == "id":
            element.set(key, f"{name}-{value}")
        elif key == f"{{{_XLINK}}}href":
            element.set("href", value.replace("#", f"#{name}-"))
        elif key == "font":
            element.set("font-size", value.split("px")[0].split()[-1])
        elif key not in ("font-family", "version"):
            element.set(key, value.replace("url(#", f"url(#{name}-"))
    if classes:
        element.set("class", " ".join(classes))
