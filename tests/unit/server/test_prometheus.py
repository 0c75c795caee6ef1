"""Prometheus' text format, read back by a parser written from its specification."""

from __future__ import annotations

import re

from edgellm.server.telemetry.prometheus import Counter, Histogram, family

_LINE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)')


def parse(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Samples by name and labels; an assertion fails where a line is none."""
    samples = {}
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("# "):
            assert re.fullmatch(r"# (HELP \S+ .+|TYPE \S+ (counter|gauge|histogram))", line), line
            continue
        match = _LINE.fullmatch(line)
        assert match is not None, line
        labels = match[2] or ""
        pairs = _LABEL.findall(labels)
        assert "".join(f'{name}="{value}",' for name, value in pairs).rstrip(",") == labels, line
        key = (match[1], tuple((n, re.sub(r"\\(.)", lambda m: {"n": "\n"}.get(m[1], m[1]), v)) for n, v in pairs))
        assert key not in samples, line
        samples[key] = float(match[3])
    return samples


def test_odd_characters_of_a_label_survive() -> None:
    odd = 'a "quoted" \\ back\nslash, {brace}'
    counter = Counter("x_total", "Things.", ("name",))
    counter.add(2, odd)
    counter.add(0.5, odd)
    assert parse(counter.text()) == {("x_total", (("name", odd),)): 2.5}


def test_a_counter_without_labels_is_there_before_it_counts() -> None:
    assert parse(Counter("x_total", "Things.").text()) == {("x_total", ()): 0}


def test_buckets_add_up() -> None:
    histogram = Histogram("t_seconds", "Times.", (0.1, 1.0), ("model",))
    for value in (0.05, 0.1, 0.5, 7):
        histogram.series("m").observe(value)
    model = ("model", "m")
    assert parse(histogram.text()) == {
        ("t_seconds_bucket", (model, ("le", "0.1"))): 2,
        ("t_seconds_bucket", (model, ("le", "1"))): 3,
        ("t_seconds_bucket", (model, ("le", "+Inf"))): 4,
        ("t_seconds_sum", (model,)): 7.65,
        ("t_seconds_count", (model,)): 4,
    }


def test_truth_values_are_numbers() -> None:
    assert parse(family("on", "gauge", "Whether.", [("", (), (), True)])) == {("on", ()): 1}
