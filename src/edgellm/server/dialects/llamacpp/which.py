"""The model that a client means who names none: llama-server has one."""

from __future__ import annotations

import asyncio

from starlette.requests import Request

from edgellm.errors import UsageError
from edgellm.server.http.operation import MODEL_ERRORS, Query
from edgellm.server.state import state_of

__all__ = ["MODEL_QUERY", "QUERY_ERRORS", "model_name"]

MODEL_QUERY = Query("model", "the model that is meant, where there are several")
QUERY_ERRORS = (400, *MODEL_ERRORS)


async def model_name(request: Request, named: str | None) -> str:
    """The model that the body names, or the query (``?model=``), or the only one there is.

    Raises UsageError where several are there.
    """
    name = named or request.query_params.get("model")
    if name:
        return name
    state = state_of(request)
    rows = await asyncio.to_thread(state.store.list)
    names = {row.digest: row.full_name for row in rows if row.problem is None}
    if len(names) == 1:
        return names.popitem()[1]
    if not names:
        raise UsageError("the store holds no model", hint="edgellm pull or edgellm pack gets one")
    shown = ", ".join(sorted(names.values())[:5])
    raise UsageError("which model?", hint=f'say "model" in the body, or ?model=NAME; there are {shown}')
