"""Everything about a job as text with styles."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content

from edgellm.api.jobs import Job
from edgellm.tui.models.bars import bar
from edgellm.tui.models.job_details import Line
from edgellm.tui.widgets.tones import toned

__all__ = ["job_content"]

_NAME_WIDTH = 10


def job_content(job: Job, lines: Sequence[Line], width: int) -> Content:
    """``lines`` with their names in a column, and under the first one a bar of ``width`` cells while it runs."""
    title, *others = lines
    parts = [Content.styled(title.text, "bold")]
    if job.state == "running" and job.total_bytes:
        parts.append(toned(bar(job.done_bytes / job.total_bytes, max(10, width)), "busy").stylize("on $panel"))
    parts += [
        Content.assemble(toned(line.name.ljust(_NAME_WIDTH), "quiet"), toned(line.text, line.tone)) for line in others
    ]
    return Content("\n").join(parts)
