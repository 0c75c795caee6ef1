"""From a model file and its plan to a loaded backend: adjusted to this machine, checked against its memory."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from edgellm.bundle.plan import Plan
from edgellm.errors import UnsupportedError, UsageError
from edgellm.pip import pip_install
from edgellm.progress import CancelToken, Progress, SilentProgress
from edgellm.units import format_bytes
from edgellm_runtimes.backend import BackendSettings
from edgellm_runtimes.engine_info import EngineInfo
from edgellm_runtimes.load_memory import adapter_bytes, check_memory, loaded_memory

if TYPE_CHECKING:
    from edgellm.bundle.opened import OpenBundle
    from edgellm.devices.model import ModelShape
    from edgellm.devices.prediction import PredictedMemory
    from edgellm.devices.profile import Profile
    from edgellm_runtimes.backend import Backend

__all__ = [
    "LoadForecast",
    "LoadRequest",
    "Loader",
    "bundle_request",
    "info_of",
    "load_backend",
    "open_plain",
    "plan_settings",
]

_DEFAULT_CONTEXT = 4096  # for a file without a plan


class LoadRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What to load and how. None leaves a value to the plan, or to this machine where there is no plan."""

    model_path: Path  # of a split model any part, in the folder of the others
    files: Mapping[str, Path] = msgspec.field(default_factory=dict)  # of a model of several files, by their names
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
    prepared_folder: Path | None = None  # of weights in this processor's layout
    save_chats: bool = False  # conversations too, of requests that ask for it


def bundle_request(bundle: OpenBundle, **changes: Any) -> LoadRequest:
    """The request for ``bundle``: its files, adapters and digests. ``changes`` are further fields."""
    return LoadRequest(
        model_path=bundle.weights_path,
        files=bundle.files,
        name=bundle.name,
        plan=bundle.plan,
        adapters=bundle.adapter_paths,
        model_digest=bundle.bundle.model_file.digest,
        adapter_digests={name: file.digest for name, file in bundle.bundle.adapters.items()},
        **changes,
    )


class Loader(Protocol):
    """What differs from one format of models to another while a model is loaded. Making one raises NotFoundError,
    ModelFileError and UnsupportedError."""

    runtime: str  # as a plan names it

    def shape(self) -> ModelShape:
        """What the files say about the size of things."""

    def fixed(self) -> dict[str, object]:
        """Settings that the model was made for: they count instead of a plan's."""

    def rooms(self, sequences: int) -> tuple[bool, int]:
        """Whether ``sequences`` share cells, and how many spare ones there are beside them."""

    def check(self, settings: BackendSettings) -> None:
        """Raise UsageError for impossible settings."""

    def open(self, settings: BackendSettings, progress: Progress, cancel: CancelToken | None) -> Backend:
        """Load it."""


class LoadForecast:
    """What loading ``request`` takes here, for any context and number of sequences. The weights are not read.

    Raises ModelFileError, UnsupportedError, NotFoundError.
    """

    def __init__(self, request: LoadRequest) -> None:
        from edgellm.devices.local import detect_local

        self._request = request
        self._machine = detect_local()
        self._loader = _loader(request)
        self._shape = self._loader.shape()
        self._adapter_bytes = adapter_bytes(request.adapters)

    @property
    def trained_context(self) -> int | None:
        """The largest context that the model was trained for, None where it does not say."""
        return self._shape.context_length or None

    def settings(self, context: int | None, sequences: int | None) -> BackendSettings:
        """How it would be loaded; None is what the request says. Raises UsageError."""
        request = msgspec.structs.replace(
            self._request,
            context=self._request.context if context is None else context,
            sequences=self._request.sequences if sequences is None else sequences,
        )
        return plan_settings(request, self._shape, self._machine, SilentProgress(), self._loader)

    def memory(self, settings: BackendSettings) -> PredictedMemory:
        """The bytes of a process of its own with it."""
        return loaded_memory(settings, self._shape, self._machine, self._adapter_bytes)


def load_backend(
    request: LoadRequest, *, progress: Progress | None = None, cancel: CancelToken | None = None
) -> tuple[Backend, EngineInfo]:
    """Load the model, with the library for its format. Blocks for as long as it takes.

    Raises DoesNotFitError, ModelFileError, UnsupportedError, NotFoundError, UsageError, Interrupted.
    """
    from edgellm.devices.local import detect_local

    started = time.monotonic()
    progress = progress or SilentProgress()
    loader = _loader(request)
    machine = detect_local()
    if request.plan is not None:
        _check_plan(request.plan, loader.runtime, machine, progress)
    shape = loader.shape()
    settings = plan_settings(request, shape, machine, progress, loader)
    check_memory(request, settings, shape, machine, progress)
    backend = loader.open(settings, progress, cancel)
    return backend, info_of(backend, time.monotonic() - started)


def open_plain(request: LoadRequest, settings: BackendSettings) -> Backend:
    """Load the model with ``settings``, but for those that it was made for; nothing is asked of plan and machine.

    Raises what loading raises.
    """
    loader = _loader(request)
    shared_cells, _spare = loader.rooms(settings.sequences)
    fixed: dict[str, Any] = loader.fixed()
    settings = msgspec.structs.replace(settings, shared_cells=shared_cells, **fixed)
    if loader.shape().is_encoder:
        settings = _for_whole_texts(settings)
    return loader.open(settings, SilentProgress(), None)


def _loader(request: LoadRequest) -> Loader:
    """What knows the format of the model."""
    from edgellm_runtimes.onnx.files import is_onnx

    if is_onnx(request.model_path, request.files):
        from edgellm_runtimes.onnx.loader import OnnxLoader

        return OnnxLoader(request)
    from edgellm_runtimes.llama_cpp.loader import LlamaLoader

    return LlamaLoader(request)


def plan_settings(
    request: LoadRequest, shape: ModelShape, machine: Profile, progress: Progress, loader: Loader
) -> BackendSettings:
    """The settings for this machine: what was asked for, then the plan's, then the machine's own.

    Threads of the plan are cut to the fast cores that this process may use; a message says so. Raises UsageError for a
    context that the model was not trained for, unless forced, and for impossible values.
    """
    plan, policy = request.plan, machine.policy
    threads = request.threads or _fitting_threads(plan.threads if plan else 0, machine.threads, progress)
    if request.batch_threads or request.threads:
        batch_threads = request.batch_threads or threads
    else:
        batch_threads = min((plan.batch_threads if plan else 0) or machine.batch_threads, machine.batch_threads)
    planned = msgspec.structs.asdict(plan) if plan is not None else msgspec.structs.asdict(policy)
    planned |= loader.fixed()

    def choose(name: str) -> object:
        asked = getattr(request, name)
        return planned[name] if asked is None else asked

    ubatch = int(str(choose("ubatch")))
    sequences = _at_least_one("sequences", request.sequences) or (plan.sequences if plan else 1)
    shared_cells, spare_sequences = loader.rooms(sequences)
    settings = BackendSettings(
        context=_context(request, shape),
        sequences=sequences,
        spare_sequences=spare_sequences,
        shared_cells=shared_cells,
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
    if shape.is_encoder:
        settings = _for_whole_texts(settings)
    loader.check(settings)
    return settings


def _for_whole_texts(settings: BackendSettings) -> BackendSettings:
    """An encoder takes a text at once, and as many as fit beside it."""
    batch = max(settings.ubatch, settings.context)
    return msgspec.structs.replace(settings, batch=batch, ubatch=batch)


def _at_least_one(name: str, value: int | None) -> int | None:
    if value is not None and value < 1:
        raise UsageError(f"{name} is {value}; it must be at least 1")
    return value


def _context(request: LoadRequest, shape: ModelShape) -> int:
    asked = _at_least_one("context", request.context)
    trained = shape.context_length
    if asked is None:
        if request.plan is not None:
            return request.plan.context
        return min(shape.usual_context or trained or _DEFAULT_CONTEXT, _DEFAULT_CONTEXT)
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


def _check_plan(plan: Plan, runtime: str, machine: Profile, progress: Progress) -> None:
    """Raise UnsupportedError for what this machine lacks; say when it has less memory than was planned for."""
    if plan.runtime.name != runtime:
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


def info_of(backend: Backend, load_s: float) -> EngineInfo:
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
