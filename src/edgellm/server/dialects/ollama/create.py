"""POST /api/create"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from edgellm.api.orders import CreateOrder, Order, OrderMessage, PackOrder
from edgellm.bundle.names import parse_name, sanitize_name
from edgellm.errors import NotFoundError, UsageError
from edgellm.server.dialects.ollama.answering import NDJSON
from edgellm.server.dialects.ollama.chat import refuse_images
from edgellm.server.dialects.ollama.errors import model_name, not_found, require_digest
from edgellm.server.dialects.ollama.managing import LATEST
from edgellm.server.dialects.ollama.messages import CreateBody
from edgellm.server.dialects.ollama.options import asked_context, check_options
from edgellm.server.dialects.ollama.progress import Status, run_jobs
from edgellm.server.dialects.ollama.templates import require_jinja
from edgellm.server.http.body import read_json
from edgellm.server.http.operation import MODEL_ERRORS, operation
from edgellm.server.state import state_of

__all__ = ["create"]

_ADAPTER_PARTS = re.compile(r"\.(?:gguf|safetensors|json|bin)$")


@operation(body=CreateBody, answer=Status, stream=NDJSON, errors=MODEL_ERRORS)
async def create(request: Request) -> Response:
    """A new model: from one of the store with changes, or from uploaded files."""
    body = await read_json(request, CreateBody)
    name = str(parse_name(model_name(body), default_tag=LATEST))
    stream = body.stream is not False
    if body.modelfile and not (body.from_ or body.files):
        raise UsageError(
            "a modelfile is not read by the server", hint="send its parts: from, system, template, parameters, ..."
        )
    _check(body)
    if body.files:
        return await _from_files(request, body, name, stream)
    if not body.from_:
        raise UsageError("neither 'from' or 'files' was specified")
    try:
        base = await state_of(request).models.resolve(body.from_)
    except NotFoundError as error:
        not_found(body.from_, error)
    if body.quantize and body.quantize.upper() != base.plan.recipe.upper():
        raise UsageError(
            f"{base.name} is {base.plan.recipe}: a packed model is not quantized again",
            hint="pull or pack the model in that recipe",
        )
    order = _changed(body, name, base.name)
    return await run_jobs(request, [order], stream=stream, first="using existing layer")


def _check(body: CreateBody) -> None:
    if body.template:
        require_jinja(body.template)
    for message in body.messages or ():
        refuse_images(message.images)
        if message.role not in ("system", "user", "assistant"):
            raise UsageError(f"a message has the role {message.role[:40]!r}; it must be system, user or assistant")


def _parameters(body: CreateBody) -> dict[str, Any]:
    found = check_options(body.parameters)
    asked_context(found)
    return found


async def _from_files(request: Request, body: CreateBody, name: str, stream: bool) -> Response:
    """Files become a model. With changes they do so under a name of their own, from which the model is made: when that
    fails ``name`` means what it meant."""
    files = {file: require_digest(digest) for file, digest in (body.files or {}).items()}
    if not any((body.template, body.parameters, body.messages, body.license, body.adapters)):
        order = PackOrder(files=files, devices=["local"], name=name, quant=body.quantize, system=body.system or "")
        return await run_jobs(request, [order], stream=stream, first="parsing GGUF")
    plain = f"files-{hashlib.sha256(repr((name, sorted(files.items()))).encode()).hexdigest()[:16]}:{LATEST}"
    orders: list[Order] = [
        PackOrder(files=files, devices=["local"], name=plain, quant=body.quantize),
        _changed(body, name, plain),
    ]
    store = state_of(request).store

    async def remove_plain() -> None:
        with contextlib.suppress(NotFoundError):
            await asyncio.to_thread(store.remove, plain)

    return await run_jobs(request, orders, stream=stream, first="parsing GGUF", afterwards=remove_plain)


def _changed(body: CreateBody, name: str, base: str) -> CreateOrder:
    return CreateOrder(
        name=name,
        base=base,
        system=body.system,
        template=body.template,
        parameters=_parameters(body),
        messages=[OrderMessage(message.role, message.content or "") for message in body.messages or ()],
        licenses=_texts(body.license),
        adapters=_adapters(body.adapters),
    )


def _adapters(files: dict[str, str] | None) -> dict[str, dict[str, str]]:
    """Adapters by name: a GGUF file is one, all that is not GGUF is one as PEFT saves it."""
    found: dict[str, dict[str, str]] = {}
    for file, digest in (files or {}).items():
        stem = _ADAPTER_PARTS.sub("", file) if file.lower().endswith(".gguf") else "adapter"
        found.setdefault(sanitize_name(stem), {})[file] = require_digest(digest)
    return found


def _texts(value: str | list[str] | None) -> list[str]:
    if value is None or value == "":
        return []
    return [value] if isinstance(value, str) else value
