"""Errors as responses: the body is the dialect's, status and headers are the same for all."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edgellm.errors import BusyError, EdgeLLMError, KeyRequiredError
from edgellm.server.http.dialect import Dialect, dialect_of
from edgellm.server.http.responses import JSONResponse

__all__ = ["error_response"]


def error_response(dialects: Sequence[Dialect], path: str, error: EdgeLLMError, status: int) -> JSONResponse:
    """``error`` in the form that clients asking for ``path`` read."""
    headers = {}
    if isinstance(error, BusyError):
        headers["retry-after"] = str(max(1, math.ceil(error.retry_after_s)))
    elif isinstance(error, KeyRequiredError):
        headers["www-authenticate"] = 'Bearer realm="edgellm"'
    return JSONResponse(dialect_of(dialects, path).error_body(error, status), status, headers)
