"""Our own routes, /api/edgellm/...: everything that our terminal programs show and do."""

from __future__ import annotations

from functools import partial

from starlette.routing import Route

from edgellm.server.http.deferred import deferred
from edgellm.server.http.dialect import Dialect

__all__ = ["NATIVE"]

_deferred = partial(deferred, __name__)

NATIVE = Dialect(
    "native",
    ("/api/edgellm",),
    [
        Route("/api/edgellm/version", _deferred("server", "version"), methods=["GET"]),
        Route("/api/edgellm/server", _deferred("server", "server"), methods=["GET"]),
        Route("/api/edgellm/keep", _deferred("server", "keep"), methods=["POST"]),
        Route("/api/edgellm/ps", _deferred("server", "loaded"), methods=["GET"]),
        Route("/api/edgellm/stop", _deferred("server", "stop"), methods=["POST"]),
        Route("/api/edgellm/run", _deferred("run", "run"), methods=["POST"]),
        Route("/api/edgellm/chat", _deferred("chat", "chat"), methods=["POST"]),
        Route("/api/edgellm/embed", _deferred("embed", "embed"), methods=["POST"]),
        Route("/api/edgellm/jobs", _deferred("jobs", "list_jobs"), methods=["GET"]),
        Route("/api/edgellm/jobs", _deferred("jobs", "start"), methods=["POST"]),
        Route("/api/edgellm/jobs/stream", _deferred("jobs", "follow"), methods=["GET"]),
        Route("/api/edgellm/jobs/{id}", _deferred("jobs", "show"), methods=["GET"]),
        Route("/api/edgellm/jobs/{id}", _deferred("jobs", "remove"), methods=["DELETE"]),
        Route("/api/edgellm/jobs/{id}/cancel", _deferred("jobs", "cancel"), methods=["POST"]),
        Route("/api/edgellm/jobs/{id}/resume", _deferred("jobs", "resume"), methods=["POST"]),
        Route("/api/edgellm/jobs/{id}/events", _deferred("jobs", "events"), methods=["GET"]),
        Route("/api/edgellm/jobs/{id}/output", _deferred("jobs", "output"), methods=["GET"]),
        Route("/api/edgellm/models", _deferred("models", "list_models"), methods=["GET"]),
        Route("/api/edgellm/show", _deferred("models", "show"), methods=["POST"]),
        Route("/api/edgellm/load", _deferred("models", "load"), methods=["POST"]),
        Route("/api/edgellm/pin", _deferred("models", "pin"), methods=["POST"]),
        Route("/api/edgellm/copy", _deferred("models", "copy"), methods=["POST"]),
        Route("/api/edgellm/rename", _deferred("models", "rename"), methods=["POST"]),
        Route("/api/edgellm/delete", _deferred("models", "delete"), methods=["POST"]),
        Route("/api/edgellm/fit", _deferred("fit", "fit"), methods=["POST"]),
        Route("/api/edgellm/devices", _deferred("devices", "devices"), methods=["GET"]),
        Route("/api/edgellm/changes", _deferred("watching", "changes"), methods=["GET"]),
        Route("/api/edgellm/device", _deferred("watching", "device"), methods=["GET"]),
        Route("/api/edgellm/settings", _deferred("watching", "settings"), methods=["GET"]),
        Route("/api/edgellm/statistics", _deferred("watching", "statistics"), methods=["GET"]),
        Route("/api/edgellm/statistics/stream", _deferred("watching", "statistics_stream"), methods=["GET"]),
        Route("/api/edgellm/log", _deferred("watching", "log"), methods=["GET"]),
        Route("/api/edgellm/log/stream", _deferred("watching", "log_stream"), methods=["GET"]),
    ],
    f"{__name__}.errors",
)
