"""POST /api/show"""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from edgellm.bundle.opened import OpenBundle
from edgellm.errors import NotFoundError
from edgellm.formats.gguf import GGUFHeader, read_header
from edgellm.formats.gguf_cursor import ArraySummary
from edgellm.server.dialects.ollama.details import capabilities, details, modified_at
from edgellm.server.dialects.ollama.errors import model_name, not_found
from edgellm.server.dialects.ollama.facts import model_facts, template_of
from edgellm.server.dialects.ollama.messages import ShowBody
from edgellm.server.dialects.ollama.modelfile import modelfile, parameters_of, parameters_text, system_of
from edgellm.server.http.body import read_json
from edgellm.server.http.operation import operation
from edgellm.server.http.responses import JSONResponse
from edgellm.server.state import state_of

__all__ = ["show"]

_LONGEST_LICENSE_BYTES = 1 << 20


@operation(body=ShowBody, answer=dict[str, Any], errors=(404, 422))
async def show(request: Request) -> Response:
    """Everything about one model."""
    body = await read_json(request, ShowBody)
    name = model_name(body)
    try:
        bundle = await state_of(request).models.resolve(name)
    except NotFoundError as error:
        not_found(name, error)
    return JSONResponse(await asyncio.to_thread(_record, bundle, body))


def _record(bundle: OpenBundle, body: ShowBody) -> dict[str, Any]:
    header = None if bundle.files else read_header(bundle.weights_path, skip_arrays=not body.verbose)
    template = body.template or template_of(bundle)
    system = body.system or system_of(bundle.plan)
    parameters = parameters_of(bundle.plan)
    chat = bundle.plan.chat
    found: dict[str, Any] = {
        "license": _licenses(bundle),
        "modelfile": modelfile(bundle, template, system),
        "parameters": parameters_text(parameters),
        "template": template,
        "system": system,
        "details": details(bundle),
        "messages": [message for message in chat.messages if message.role != "system"] if chat is not None else [],
        "model_info": _of_onnx(bundle) if header is None else _model_info(header, verbose=bool(body.verbose)),
        "tensors": [
            {"name": tensor.name, "type": tensor.type, "shape": list(tensor.shape)}
            for tensor in (header.tensors if header is not None else ())
        ],
        "capabilities": capabilities(bundle),
        "modified_at": modified_at(bundle),
    }
    return {key: value for key, value in found.items() if value not in ("", [])}


def _model_info(header: GGUFHeader, *, verbose: bool) -> dict[str, Any]:
    """The header's metadata; long lists only when they are asked for."""
    info = {
        key: None if isinstance(value, ArraySummary) or (isinstance(value, list | tuple) and not verbose) else value
        for key, value in header.metadata.items()
        if key != "tokenizer.chat_template"
    }
    n_parameters = 0
    for tensor in header.tensors:
        n_elements = 1
        for length in tensor.shape:
            n_elements *= length
        n_parameters += n_elements
    return {"general.parameter_count": n_parameters, **info}


def _of_onnx(bundle: OpenBundle) -> dict[str, Any]:
    """What a GGUF would say of the same model."""
    facts = model_facts(bundle)
    return {
        "general.architecture": facts.architecture,
        f"{facts.architecture}.context_length": facts.trained_context,
        f"{facts.architecture}.embedding_length": facts.n_embd,
    }


def _licenses(bundle: OpenBundle) -> str:
    """The texts of the licences, else their names."""
    texts = [
        bundle.read_doc(file.path).decode("utf-8", "replace")
        for file in bundle.license_docs()
        if file.size_bytes <= _LONGEST_LICENSE_BYTES
    ]
    return "\n".join(texts) or "\n".join(bundle.config.descriptor.licenses)
