"""From a model file and its plan to a loaded backend: adjusted to this machine, checked against its memory."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edgellm.bundle.plan import Plan
from edgellm.devices.settings import SPARE_ROOMS
from edgellm.errors import DoesNotFitError, UnsupportedError, UsageError
from edgellm.files import os_errors
from edgellm.pip import pip_install
from edgellm.progress import CancelToken, Progress, SilentProgress
from edgellm.units import format_bytes
from edgellm_runtimes.backend import BackendSettings
from edgellm_runtimes.engine_info import EngineInfo

if TYPE_CHECKING:
    from edgellm.devices.model import ModelShape
    from edgellm.devices.profile import Profile
    from edgellm_runtimes.llama_cpp.model import LlamaBackend

__all__ = ["LoadRequest", "info_of", "load_backend", "plan_settings"]

_DEFAULT_CONTEXT = 4096  # for a file without a plan
_SMALLEST_CONTEXT = 256
_SPARE = 4  # sequences beside the only one that runs, for conversations that pause; they share its room
_MOST_SEQUENCES = 256


class LoadRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What to load and how. None leaves a value to the plan, or to this machine where there is no plan."""

    model_path: Path  # of a split model any part, in the folder of the others
    name: str = ""  # what messages call the model, instead of the file's name
    plan: Plan | None = None
    context: int | None = None  # tokens of one sequence
    sequences: int | None = None
    threads: int | None = None
    batch_threads: int | None = None
    ubatch: int | None = None
    kv_type_k: str | None = None
    kv_type_v: str | None = None
    flash_attention: bool | None = None
    mmap: bool | None = None
    repack: bool | None = None
    adapters: Mapping[str, Path] = msgspec.field(
        default_factory=dict
    )  # LoRA adapters by name (OpenBundle.adapter_paths)
    force: bool = False  # load what the memory check refuses
    model_digest: str = ""  # sha256:... of the weights; with a folder it keeps prefixes on disk
    adapter_digests: Mapping[str, str] = msgspec.field(default_factory=dict)  # sha256:... by name
    prefix_folder: Path | None = None
    prefix_cap_bytes: int = 1 << 30  # of the whole folder
    prefix_daily_bytes: int = 1 << 30  # written by all processes together
    save_chats: bool = False  # conversations too, of requests that ask for it


def load_backend(
    request: LoadRequest, *, progress: Progress | None = None, cancel: CancelToken | None = None
) -> tuple[LlamaBackend, EngineInfo]:
    """Load the model. Blocks for as long as it takes.

    Raises DoesNotFitError, ModelFileError, UnsupportedError, NotFoundError, UsageError, Interrupted.
    """
    from edgellm.devices.gguf_shape import shape_from_gguf
    from edgellm.devices.local import detect_local
    from edgellm.formats.gguf_split import find_parts, read_model

    started = time.monotonic()
    progress = progress or SilentProgress()
    shape = shape_from_gguf(read_model(find_parts(request.model_path), skip_arrays=True).header)
    machine = detect_local()
    if request.plan is not None:
        _check_plan(request.plan, machine, progress)
    settings = plan_settings(request, shape, machine, progress)
    _check_memory(request, settings, shape, machine, progress)
    from edgellm_runtimes.llama_cpp.model import LlamaBackend

    backend = LlamaBackend(
        request.model_path,
        settings,
        extra_ends=request.plan.eos_token_ids if request.plan is not None else (),
        normalization=request.plan.text_normalization if request.plan is not None else "",
        space_prefix=request.plan is not None and request.plan.text_space_prefix,
        adapters=request.adapters,
        progress=progress,
        cancel=cancel,
    )
    return backend, info_of(backend, time.monotonic() - started)


def plan_settings(request: LoadRequest, shape: ModelShape, machine: Profile, progress: Progress) -> BackendSettings:
    """The settings for this machine: what was asked for, then the plan's, then the machine's own.

    Threads of the plan are cut to the fast cores that this process may use; a message says so. Raises UsageError for a
    context that the model was not trained for, unless forced, and for impossible values.
    """
    from edgellm_runtimes.llama_cpp.loading import check_settings

    plan, policy = request.plan, machine.policy
    threads = request.threads or _fitting_threads(plan.threads if plan else 0, machine.threads, progress)
    if request.batch_threads or request.threads:
        batch_threads = request.batch_threads or threads
    else:
        batch_threads = min((plan.batch_threads if plan else 0) or machine.batch_threads, machine.batch_threads)
    planned = msgspec.structs.asdict(plan) if plan is not None else msgspec.structs.asdict(policy)

    def choose(name: str) -> object:
        asked = getattr(request, name)
        return planned[name] if asked is None else asked

    ubatch = int(str(choose("ubatch")))
    sequences = _at_least_one("sequences", request.sequences) or (plan.sequences if plan else 1)
    settings = BackendSettings(
        context=_context(request, shape),
        sequences=sequences,
        spare_sequences=_SPARE if sequences == 1 else min(SPARE_ROOMS, _MOST_SEQUENCES - sequences),
        shared_cells=sequences == 1,
        batch=ubatch,
        ubatch=ubatch,
        threads=threads,
        batch_threads=batch_threads,
        kv_type_k=str(choose("kv_type_k")),
        kv_type_v=str(choose("kv_type_v")),
        flash_attention=bool(choose("flash_attention")),
        mmap=bool(choose("mmap")),
        repack=bool(choose("repack")),
    )
    check_settings(settings)
    return settings


def _at_least_one(name: str, value: int | None) -> int | None:
    if value is not None and value < 1:
        raise UsageError(f"{name} is {value}; it must be at least 1")
    return value


def _context(request: LoadRequest, shape: ModelShape) -> int:
    asked = _at_least_one("context", request.context)
    trained = shape.context_length
    if asked is None:
        return request.plan.context if request.plan is not None else min(trained or _DEFAULT_CONTEXT, _DEFAULT_CONTEXT)
    if trained and asked > trained and not request.force:
        raise UsageError(
            f"a context of {asked} is more than the model was trained for ({trained})",
            hint=f"use --context {trained}, or --force to try it anyway",
        )
    return asked


def _fitting_threads(planned: int, here: int, progress: Progress) -> int:
    """``here`` already respects the affinity and the CPU quota of this process."""
    if planned > here:
        progress.message(f"this bundle was planned for {planned} threads; {here} suit this machine")
    return min(planned or here, here)


def _check_plan(plan: Plan, machine: Profile, progress: Progress) -> None:
    """Raise UnsupportedError for what this machine lacks; say when it has less memory than was planned for."""
    if plan.runtime.name != "llama.cpp":
        raise UnsupportedError(
            f"this bundle is made for the runtime {plan.runtime.name!r}, which is not here", hint="update edgellm"
        )
    missing = sorted(set(plan.runtime.cpu_features) - set(machine.cpu.features))
    if missing:
        raise UnsupportedError(
            f"this bundle was made for {plan.target.name} and needs CPU features that are not here: "
            f"{', '.join(missing)}",
            hint="pack the model again with --device local",
        )
    _check_version(plan)
    here = machine.memory.size_bytes
    if plan.target.memory_bytes > here * 1.1:  # what a board reports is less than what is printed on it
        progress.message(
            f"this bundle was made for {plan.target.name} with {format_bytes(plan.target.memory_bytes)}; "
            f"this machine has {format_bytes(here)}"
        )


def _check_version(plan: Plan) -> None:
    from importlib.metadata import PackageNotFoundError, version

    def numbers(text: str) -> tuple[int, ...]:
        return tuple(int(part) for part in text.split(".") if part.isdigit())

    try:
        installed = version(plan.runtime.package)
    except PackageNotFoundError:
        return  # loading the library says it better
    if numbers(installed) < numbers(plan.runtime.minimum_version):
        raise UnsupportedError(
            f"this bundle needs {plan.runtime.package} >= {plan.runtime.minimum_version}, {installed} is installed",
            hint=pip_install(f"--upgrade {plan.runtime.package}"),
        )


def _check_memory(
    request: LoadRequest, settings: BackendSettings, shape: ModelShape, machine: Profile, progress: Progress
) -> None:
    from edgellm.devices.fit import RunSettings, estimate
    from edgellm.devices.local import available_memory_bytes
    from edgellm_runtimes.llama_cpp.loading import logits_rows

    run = RunSettings(
        context=settings.context,
        sequences=settings.sequences,
        ubatch=settings.ubatch,
        kv_type_k=settings.kv_type_k,
        kv_type_v=settings.kv_type_v,
        flash_attention=settings.flash_attention,
        mmap=settings.mmap,
        repack=settings.repack,
        n_outputs=logits_rows(settings),
        adapter_bytes=_adapter_bytes(request.adapters),
    )

    def needs(context: int) -> int:
        return estimate(shape, machine, msgspec.structs.replace(run, context=context)).memory.total_bytes

    needed = needs(settings.context)
    available = available_memory_bytes()
    if available is None:
        progress.message("how much memory is free cannot be read here: whether the model fits was not checked")
        return
    if needed <= available:
        return
    message = (
        f"{request.name or request.model_path.name} with a context of {settings.context} needs {format_bytes(needed)}, "
        f"this machine has {format_bytes(available)} free"
    )
    if request.force:
        progress.message(f"{message}: loading it anyway (--force)")
        return
    hints = []
    context = settings.context // 2
    while context > _SMALLEST_CONTEXT and needs(context) > available:
        context //= 2
    if context >= _SMALLEST_CONTEXT and needs(context) <= available:
        hints.append(f"--context {context}")
    hints.append("a bundle with a smaller recipe (edgellm fit shows what fits)")
    raise DoesNotFitError(message, hint=f"try {', '.join(hints)}, close other programs, or --force")


def _adapter_bytes(adapters: Mapping[str, Path]) -> int:
    """What all adapters take when each has been used once: the data of their files is copied into memory."""
    with os_errors("read the adapters"):
        return sum(path.stat().st_size for path in adapters.values())


def info_of(backend: LlamaBackend, load_s: float) -> EngineInfo:
    """How ``backend`` was loaded, in ``load_s`` seconds."""

    facts, settings = backend.facts, backend.settings
    return EngineInfo(
        path=str(backend.path),
        architecture=facts.architecture,
        description=facts.description,
        n_parameters=facts.n_parameters,
        size_bytes=facts.size_bytes,
        context=settings.context,
        trained_context=facts.trained_context,
        sequences=settings.sequences,
        threads=settings.threads,
        batch_threads=settings.batch_threads,
        kv_type_k=settings.kv_type_k,
        kv_type_v=settings.kv_type_v,
        flash_attention=settings.flash_attention,
        mmap=settings.mmap,
        repack=settings.repack,
        has_chat_template=facts.chat_template is not None,
        adapters=backend.adapters,
        load_s=load_s,
    )
