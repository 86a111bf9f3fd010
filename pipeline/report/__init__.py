"""The report of a round, and the page over all rounds of a workspace: for looking and listening in the morning.

The last stage of a round; ``data-engine report`` writes it again. ``rounds/NNN/report/index.html`` says first what is
wrong, then what became of every input, what the gate kept and why, whether the new separator is better, and lets people
listen. ``report/index.html`` of the workspace shows the rounds side by side. Both work from ``file://``, offline, and
from any web server. Everything that comes from data (labels, paths, reasons) is text, never markup.

    scan, summary        one pass over the manifests gives the figures of a round, kept as summary.json
    history, problems    earlier rounds, and what is wrong with this one
    figures, *_figures   plots; svg makes them follow the page's colours
    listen, hearing      audio, spectrograms and what the tagger hears
    track_table          all tracks, in chunks that the page loads when asked
    page, templates/     the pages; static/ is their style and script
    artifacts            the same figures as Markdown, for orchestrators

Example::

    write_report(Workspace("runs/demo"), 1)      # runs/demo/rounds/001/report/index.html
"""

from pipeline.report.write import write_overview, write_report

__all__ = ["write_overview", "write_report"]
