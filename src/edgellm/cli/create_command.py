"""What `edgellm create` does."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from edgellm.cli.console import print_json, print_message
from edgellm.cli.context import open_store, user_settings
from edgellm.cli.progress import cancel_on_interrupt, make_progress
from edgellm.errors import UsageError
from edgellm.files import read_small_file
from edgellm.machine import this_device_id
from edgellm.paths import user_path

if TYPE_CHECKING:
    from edgellm_converters.derive import Changes

__all__ = ["CreateOptions", "create"]

_LIMIT_BYTES = 1 << 20
_DEFAULT_TAG = "latest"


@dataclass(frozen=True)
class CreateOptions:
    """The command line of `edgellm create`."""

    name: str
    base: str
    system: str | None
    template: str | None
    messages: str | None
    parameters: str | None
    licenses: tuple[str, ...]
    adapters: tuple[str, ...]
    as_json: bool
    quiet: bool


def create(options: CreateOptions) -> None:
    """Make the bundle. Raises errors of our tree."""
    from edgellm.bundle.names import parse_name
    from edgellm_converters.derive import derive
    from edgellm_runtimes.system_prompt import read_system_prompt

    settings = user_settings()
    store = open_store(settings)
    name = parse_name(options.name, default_tag=_DEFAULT_TAG)
    base = store.resolve(options.base, this_device_id(settings))
    with contextlib.ExitStack() as stack:
        stack.enter_context(base.hold())
        changes = _changes(options, stack)
        progress = stack.enter_context(make_progress(options.quiet or options.as_json))
        cancel = stack.enter_context(cancel_on_interrupt())
        writer = stack.enter_context(store.writer())
        digest = derive(base, changes, name, writer, read_system_prompt, progress, cancel)
    if options.as_json:
        print_json({"name": str(name), "digest": digest, "base": base.name})
    elif not options.quiet:
        print_message(f"created {name} from {base.name}\n  {digest}")


def _changes(options: CreateOptions, stack: contextlib.ExitStack) -> Changes:
    from edgellm.bundle.plan import PlannedMessage
    from edgellm.cli.adapter_options import open_adapters
    from edgellm_converters.derive import Changes

    parameters = _json(options.parameters, dict[str, Any], "the parameters") or {}
    sampling, stop, context = _parameters(parameters)
    messages = _json(options.messages, tuple[PlannedMessage, ...], "the messages")
    return Changes(
        system=_text(options.system, "the system prompt"),
        template=_text(options.template, "the template"),
        messages=messages,
        stop=stop,
        sampling=sampling,
        context=context,
        licenses=tuple(text for file in options.licenses if (text := _text(file, "the licence"))),
        adapters=open_adapters(options.adapters, stack),
    )


def _parameters(parameters: dict[str, Any]) -> tuple[dict[str, Any], tuple[str, ...] | None, int | None]:
    """Sampling by our names, stop texts, context. Raises UsageError for what is no parameter or out of range."""
    from edgellm_runtimes.ollama_names import SAMPLING_NAMES
    from edgellm_runtimes.sampling import SamplingParams

    rest = dict(parameters)
    stop = rest.pop("stop", None)
    context = rest.pop("num_ctx", None)
    predict = rest.pop("num_predict", None)
    rest.pop("num_keep", None)
    unknown = sorted(rest.keys() - SAMPLING_NAMES.keys())
    if unknown:
        known = ", ".join(sorted((*SAMPLING_NAMES, "num_ctx", "num_predict", "stop")))
        raise UsageError(f"there is no parameter {unknown[0][:40]!r}", hint=f"the parameters are: {known}")
    sampling = {SAMPLING_NAMES[name]: value for name, value in rest.items()}
    if predict is not None and predict > 0:
        sampling["max_tokens"] = predict
    SamplingParams(**sampling)
    if context is not None and (not isinstance(context, int) or context < 16):
        raise UsageError(f"num_ctx is {context!r}; it must be at least 16")
    if stop is None:
        return sampling, None, context
    stops = [stop] if isinstance(stop, str) else stop
    if not isinstance(stops, list) or not all(isinstance(text, str) and text for text in stops):
        raise UsageError("stop must be a list of texts")
    return sampling, tuple(stops), context


def _text(file: str | None, what: str) -> str | None:
    if file is None:
        return None
    try:
        return read_small_file(user_path(file), _LIMIT_BYTES, what).decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise UsageError(f"{what} {file} is not UTF-8 text: {error.reason} at byte {error.start}") from error


def _json(file: str | None, kind: Any, what: str) -> Any:
    text = _text(file, what)
    if text is None:
        return None
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.MsgspecError as error:
        raise UsageError(f"{what} in {file} cannot be read: {error}") from error
