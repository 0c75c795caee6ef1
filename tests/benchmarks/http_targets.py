"""What the server should reach over HTTP."""

from __future__ import annotations

from serve_report import PEER, WORKER, Target

__all__ = ["CPU", "FIRST", "FREE", "FULL", "OURS", "SPEED", "TARGETS"]

OURS = "edgellm serve"
SPEED, FIRST = "tokens/s", "median first token, ms"
CPU = "CPU of the server, us per token"
FULL, FREE = "longest until 503, ms", "nothing"

TARGETS = (
    Target("http", SPEED, 0.90, ours=OURS, other=WORKER, cases=("16 streams",)),
    Target("http", SPEED, 1.05, ours=OURS, other=PEER),
    Target("http", FIRST, 1 / 1.05, at_most=True, ours=OURS, other=PEER),
    Target("http", CPU, 120, at_most=True, ours=OURS, other=FREE, cases=("16 streams",), is_difference=True),
    Target("full", FULL, 50, at_most=True, ours=OURS, other=FREE, is_difference=True),
)
