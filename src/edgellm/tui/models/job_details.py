"""Everything about one job, as lines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from edgellm.api.jobs import Job
from edgellm.tui.models.job_order import kind_of, order_lines, subject_of
from edgellm.tui.models.speed import SpeedMeter
from edgellm.tui.models.text import Tone, moment, one_line, shortened
from edgellm.units import format_bytes, format_duration

__all__ = ["Line", "job_lines"]

_DIGEST_LENGTH = 40
_LONGEST_RESULT = 300


class Line(NamedTuple):
    """A line of text: a name in front of it or none, and how it is meant."""

    name: str
    text: str
    tone: Tone = "plain"


def job_lines(job: Job, now_s: float, meter: SpeedMeter | None = None) -> list[Line]:
    """``now_s``: seconds since the epoch. What matters most comes first: an error, then how far it is."""
    return [
        Line("", f"{kind_of(job.order)} {subject_of(job.order)}", "plain"),
        *_error(job),
        *_state(job, now_s),
        *_now(job, meter),
        *(Line("phase", _phase(phase.name, phase.ended - phase.started, phase.done_bytes)) for phase in job.phases),
        *(Line(name, value) for name, value in order_lines(job.order)),
        *([Line("file", shortened(job.digest, _DIGEST_LENGTH), "quiet")] if job.digest else []),
        *(Line("", one_line(text), "quiet") for message in job.messages for text in message.splitlines()),
        *_result(job.result),
        Line("id", job.id, "quiet"),
    ]


def _error(job: Job) -> Iterator[Line]:
    if job.error is not None:
        yield Line("failed", one_line(job.error.message), "bad")
        if job.error.hint:
            yield Line("next", one_line(job.error.hint), "good")


def _state(job: Job, now_s: float) -> Iterator[Line]:
    words = {
        "queued": "waits since {created}",
        "running": "runs since {started}",
        "done": "done at {ended}",
        "failed": "failed at {ended}",
        "cancelled": "cancelled at {ended}; what was downloaded is kept, and resuming it goes on there",
        "interrupted": "the server ended before it; resuming it goes on where it was",
    }
    times = {
        name: moment(value, now_s) if value is not None else "?"
        for name, value in (("created", job.created), ("started", job.started), ("ended", job.ended))
    }
    attempt = f" (attempt {job.attempts})" if job.attempts > 1 else ""
    yield Line("state", words[job.state].format(**times) + attempt)


def _now(job: Job, meter: SpeedMeter | None) -> Iterator[Line]:
    if job.state != "running" or not job.phase:
        return
    done = format_bytes(job.done_bytes)
    parts = [done if job.total_bytes is None else f"{done} of {format_bytes(job.total_bytes)}"]
    speed = None if meter is None else meter.bytes_per_s()
    left = None if meter is None else meter.left_s(job.total_bytes)
    parts += [] if speed is None else [f"{format_bytes(speed)}/s"]
    parts += [] if left is None else [f"{format_duration(left)} left"]
    has_bytes = job.done_bytes or job.total_bytes or speed
    yield Line("now", f"{one_line(job.phase)}: {', '.join(parts)}" if has_bytes else one_line(job.phase), "busy")


def _phase(name: str, took_s: float, done_bytes: int) -> str:
    size = f"{format_bytes(done_bytes)} " if done_bytes else ""
    return f"{one_line(name)}: {size}in {format_duration(max(0.0, took_s))}"


def _result(result: Any) -> Iterator[Line]:
    """The result of a command is its JSON: numbers and words of the first level, of each bundle that was made."""
    for one in result if isinstance(result, list) else [result]:
        if isinstance(one, dict):
            plain = {key: value for key, value in one.items() if isinstance(value, str | int | float) and value != ""}
            text = ", ".join(f"{key} {_value(key, value)}" for key, value in plain.items())
            if text:
                yield Line("result", one_line(text)[:_LONGEST_RESULT], "good")


def _value(key: str, value: str | float) -> str:
    if isinstance(value, str):
        return value
    return format_bytes(value) if key.endswith("_bytes") else f"{value:g}"
