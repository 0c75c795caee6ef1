"""The counters and histograms of one server."""

from __future__ import annotations

from edgellm.server.telemetry.prometheus import Counter, Histogram

__all__ = ["ServerMetrics"]

_WAITS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_GAPS_S = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1, 2.5, 10)


class ServerMetrics:
    """Everything that grows. What is of the moment is read when it is asked for."""

    def __init__(self) -> None:
        self.requests = Counter(
            "edgellm_requests_total", "Requests answered, by route and status.", ("route", "method", "status")
        )
        self.refused = Counter("edgellm_requests_refused_total", "Requests refused because too many were in work.")
        self.duration = Histogram(
            "edgellm_request_duration_seconds", "From a request to the end of its response.", _WAITS_S, ("route",)
        )
        self.prompt_tokens = Counter("edgellm_prompt_tokens_total", "Tokens of prompts.", ("model",))
        self.cached_tokens = Counter(
            "edgellm_cached_prompt_tokens_total", "Of those, not computed again: their state was cached.", ("model",)
        )
        self.generated_tokens = Counter("edgellm_generated_tokens_total", "Tokens of answers.", ("model",))
        self.cancelled = Counter(
            "edgellm_answers_cancelled_total", "Answers that ended before they were complete.", ("model",)
        )
        self.first_token = Histogram(
            "edgellm_time_to_first_token_seconds",
            "From a request to the first token of its answer, loading and waiting included.",
            _WAITS_S,
            ("model",),
        )
        self.gap = Histogram(
            "edgellm_token_gap_seconds", "Between pieces of an answer that follow each other.", _GAPS_S, ("model",)
        )

    def text(self) -> str:
        """All lines."""
        return "".join(each.text() for each in vars(self).values())
