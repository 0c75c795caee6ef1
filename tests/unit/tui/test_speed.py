"""How fast something goes, from what was seen of it."""

from __future__ import annotations

from edgellm.tui.models.speed import SpeedMeter


def test_one_look_says_nothing() -> None:
    meter = SpeedMeter()
    meter.look(0.0, "a", 100)
    assert meter.bytes_per_s() is None
    assert meter.left_s(1000) is None


def test_only_the_last_quarter_of_a_minute_counts() -> None:
    meter = SpeedMeter()
    for second in range(60):
        meter.look(float(second), "a", 100 * min(second, 30) + 10 * max(0, second - 30))
    assert meter.bytes_per_s() == 10
    assert meter.left_s(3000 + 290 + 50) == 5


def test_something_that_stands_still_has_no_end() -> None:
    meter = SpeedMeter()
    meter.look(0.0, "a", 100)
    meter.look(5.0, "a", 100)
    assert meter.bytes_per_s() == 0
    assert meter.left_s(1000) is None


def test_a_new_attempt_begins_anew() -> None:
    meter = SpeedMeter()
    meter.look(0.0, "a", 0)
    meter.look(2.0, "a", 200)
    meter.look(4.0, "a", 50)
    assert meter.bytes_per_s() is None
    meter.look(6.0, "a", 70)
    assert meter.bytes_per_s() == 10
