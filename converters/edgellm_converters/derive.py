"""A bundle from another one: the same model file with another system prompt, template, parameters, adapters."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from edgellm.bundle.adapters import ADAPTERS_LIMIT, adapter_path
from edgellm.bundle.contents import BundleContents, FileLayer
from edgellm.bundle.digest import sha256_bytes
from edgellm.bundle.names import BundleName
from edgellm.bundle.opened import OpenBundle
from edgellm.bundle.plan import ChatDefaults, Plan, PlannedMessage
from edgellm.bundle.reading import BundleFile
from edgellm.bundle.system_prompt import SystemPrompt, make_system_prompt
from edgellm.bundle.writer import BundleWriter
from edgellm.errors import MissingAbilityError, UnsupportedError, UsageError
from edgellm.formats.gguf import read_header
from edgellm.progress import CancelToken, Progress
from edgellm_converters.lora import base_of_gguf
from edgellm_converters.pack.adapter_input import AdapterInput, naming
from edgellm_converters.pack.adapters import PackedAdapters, announce_adapters
from edgellm_converters.pack.request import ReadPrompt

__all__ = ["Changes", "derive"]

_THREADS = 1


@dataclass(frozen=True)
class Changes:
    """What is to be otherwise; None leaves it as it is. ``sampling`` has fields of SamplingDefaults."""

    system: str | None = None
    template: str | None = None
    messages: tuple[PlannedMessage, ...] | None = None
    stop: tuple[str, ...] | None = None
    sampling: Mapping[str, Any] = field(default_factory=dict)
    context: int | None = None
    licenses: tuple[str, ...] = ()  # texts
    adapters: tuple[AdapterInput, ...] = ()  # in place of those of the same names; every request uses them


def derive(
    base: OpenBundle,
    changes: Changes,
    name: BundleName,
    writer: BundleWriter,
    read_prompt: ReadPrompt,
    progress: Progress,
    cancel: CancelToken,
) -> str:
    """Write the bundle ``name``; returns its digest. Files of ``base``, which somebody holds, are shared, not copied.

    Raises UsageError, UnsupportedError for adapters that do not fit the model, and what writing raises.
    """
    progress.phase("share the model file")
    weights = tuple(_shared(base, file, writer) for file in base.bundle.weights)
    added = _adapters(base, changes.adapters, writer, progress, cancel)
    kept = {name: file for name, file in base.bundle.adapters.items() if name not in added.blobs}
    if len(kept) + len(added.blobs) > ADAPTERS_LIMIT:
        raise UsageError(f"a bundle takes at most {ADAPTERS_LIMIT} adapters")
    plan = _plan(base, changes, added)
    plan = _with_system(base, plan, changes, read_prompt, progress, cancel)
    cancel.check()
    progress.phase("write the manifest")
    contents = BundleContents(
        weights=weights,
        adapters=(*(_shared(base, file, writer) for file in kept.values()), *added.layers),
        docs=(*_documents(base, changes, set(added.blobs), writer), *added.documents),
        plan=plan,
        about=base.config.descriptor,
        facts=base.config.config,
    )
    return writer.commit(contents, name)


def _shared(base: OpenBundle, file: BundleFile, writer: BundleWriter) -> FileLayer:
    return FileLayer(file.path, writer.take_file(base.layout.blob_path(file.digest), file.digest))


def _adapters(
    base: OpenBundle,
    adapters: tuple[AdapterInput, ...],
    writer: BundleWriter,
    progress: Progress,
    cancel: CancelToken,
) -> PackedAdapters:
    if not adapters:
        return PackedAdapters({}, (), ())
    if base.files:
        raise MissingAbilityError("ONNX models have no adapters here", hint="make it from a GGUF bundle of the model")
    model = base_of_gguf(read_header(base.weights_path, skip_arrays=True))
    fitted = []
    for adapter in sorted(adapters, key=lambda adapter: adapter.name):
        with naming(adapter.name):
            fitted.append((adapter, adapter.fit(model)))
    announce_adapters(fitted, progress)
    return PackedAdapters.write(fitted, writer, _THREADS, progress, cancel)


def _plan(base: OpenBundle, changes: Changes, added: PackedAdapters) -> Plan:
    """All but the system prompt, whose tokens depend on the rest."""
    plan = base.plan
    chat = plan.chat or ChatDefaults()
    if changes.template is not None:
        chat = msgspec.structs.replace(chat, template=changes.template)
        digest = sha256_bytes(changes.template.encode("utf-8", "surrogatepass"))
        plan = msgspec.structs.replace(plan, chat_template_digest=digest)
    if changes.messages is not None:
        chat = msgspec.structs.replace(chat, messages=changes.messages)
    if changes.stop is not None:
        chat = msgspec.structs.replace(chat, stop=changes.stop)
    if added.blobs:
        chat = msgspec.structs.replace(chat, adapters=tuple(sorted(added.blobs)))
    planned = {adapter.name: adapter for adapter in (*plan.adapters, *added.planned)}
    memory = plan.predicted_memory
    context = changes.context or plan.context
    _check_context(base, context)
    kv_bytes = memory.kv_bytes * context // plan.context
    adapter_bytes = memory.adapter_bytes + sum(blob.size for blob in added.blobs.values())
    more_bytes = kv_bytes - memory.kv_bytes + adapter_bytes - memory.adapter_bytes
    return msgspec.structs.replace(
        plan,
        chat=chat if chat != ChatDefaults() else None,
        sampling=msgspec.structs.replace(plan.sampling, **changes.sampling),
        adapters=tuple(planned[name] for name in sorted(planned)),
        context=context,
        predicted_memory=msgspec.structs.replace(
            memory, kv_bytes=kv_bytes, adapter_bytes=adapter_bytes, total_bytes=memory.total_bytes + more_bytes
        ),
    )


def _check_context(base: OpenBundle, context: int) -> None:
    if context == base.plan.context or base.files:  # of what is not GGUF loading knows the limit
        return
    header = read_header(base.weights_path, skip_arrays=True)
    trained = header.metadata.get(f"{header.architecture}.context_length", 0)
    if isinstance(trained, int) and 0 < trained < context:
        raise UsageError(f"a context of {context} is more than the model was trained for ({trained})")


def _with_system(
    base: OpenBundle, plan: Plan, changes: Changes, read_prompt: ReadPrompt, progress: Progress, cancel: CancelToken
) -> Plan:
    """The plan with the system prompt, which counts on the template: another one means other tokens."""
    text = changes.system
    if text is None and plan.system_prompt is not None and changes.template is not None:
        text = plan.system_prompt.text
    if text is None:
        if plan.system_prompt is not None and len(plan.system_prompt.tokens) >= plan.context:
            raise UsageError(f"the system prompt has {len(plan.system_prompt.tokens)} tokens, more than the context")
        return plan
    chat = plan.chat or ChatDefaults()
    others = tuple(message for message in chat.messages if message.role != "system")
    prompt = None if changes.template or not text.strip() else _baked(base, plan, text, read_prompt, progress, cancel)
    if prompt is None and text.strip():  # it is sent with every chat all the same
        others = (PlannedMessage("system", text), *others)
    chat = msgspec.structs.replace(chat, messages=others)
    return msgspec.structs.replace(plan, system_prompt=prompt, chat=chat if chat != ChatDefaults() else None)


def _baked(
    base: OpenBundle, plan: Plan, text: str, read_prompt: ReadPrompt, progress: Progress, cancel: CancelToken
) -> SystemPrompt | None:
    """The prompt with the tokens that all chats begin with; None where there are none, as without a template.

    Raises UsageError for one that leaves no room for a conversation.
    """
    progress.phase("system prompt")
    with contextlib.suppress(UnsupportedError, UsageError):
        found = read_prompt(base.weights_path, plan, text, cancel, base.files)
        if len(found.tokens) >= plan.context:
            raise UnsupportedError(f"the system prompt has {len(found.tokens)} tokens, the context {plan.context}")
        if found.tokens and not (plan.chat is not None and plan.chat.template):
            return make_system_prompt(text, found.tokens)
    return None


def _documents(base: OpenBundle, changes: Changes, replaced: set[str], writer: BundleWriter) -> list[FileLayer]:
    """The papers of ``base``, without those of adapters that were ``replaced``; new licences beside or instead."""
    gone = tuple(f"{adapter_path(name).removesuffix('.gguf')}/" for name in replaced)
    own = {file.path for file in base.license_docs() if "/" not in file.path} if changes.licenses else set()
    kept = [file for file in base.bundle.docs if file.path not in own and not file.path.startswith(gone)]
    layers = [_shared(base, file, writer) for file in kept]
    for number, text in enumerate(changes.licenses):
        layers.append(FileLayer("LICENSE" if not number else f"LICENSE-{number}", writer.add_bytes(text.encode())))
    return layers
