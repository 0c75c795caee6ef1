"""What operators of a server ask for: /metrics, in Prometheus' form."""

from __future__ import annotations

from starlette.routing import Route

from edgellm.server.dialects.native import NATIVE
from edgellm.server.http.deferred import deferred
from edgellm.server.http.dialect import Dialect

__all__ = ["OPERATION"]

OPERATION = Dialect(
    "operation",
    ("/metrics",),
    [Route("/metrics", deferred(__name__, "metrics", "metrics"), methods=["GET"])],
    NATIVE.errors,
)
