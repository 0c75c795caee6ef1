"""The plan layer of a bundle: how to run this model on the device it was packed for.

Deterministic facts only: what one machine measured lives in the state folder, not here.
"""

from __future__ import annotations

import msgspec

from edgellm.bundle.system_prompt import SystemPrompt
from edgellm.devices.prediction import PredictedMemory, SpeedRange
from edgellm.formats.encoders import Pooling

__all__ = [
    "PLAN_FORMAT_VERSION",
    "PLAN_MEDIA_TYPE",
    "ChatDefaults",
    "ModelSource",
    "Plan",
    "PlannedAdapter",
    "PlannedEncoder",
    "PlannedMessage",
    "RuntimeNeeds",
    "SamplingDefaults",
    "TargetDevice",
]

PLAN_MEDIA_TYPE = "application/vnd.edgellm.plan.v1+json"
PLAN_FORMAT_VERSION = 1


class TargetDevice(msgspec.Struct, frozen=True, omit_defaults=True):
    """The device that the bundle was made for."""

    id: str  # profile id
    name: str
    profile_digest: str  # sha256:... of the canonical JSON of the profile as used
    memory_bytes: int


class RuntimeNeeds(msgspec.Struct, frozen=True, omit_defaults=True):
    """What must be there to run it."""

    name: str = "llama.cpp"
    package: str = "llama-cpp-python"
    minimum_version: str = ""
    cpu_features: tuple[str, ...] = ()  # names as in /proc/cpuinfo; all are required


class SamplingDefaults(msgspec.Struct, frozen=True, omit_defaults=True):
    """From the checkpoint's generation_config.json, or what a bundle was made with; None where nothing was said.

    The names are those of ``SamplingParams``.
    """

    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    typical_p: float | None = None
    repetition_window: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    mirostat: int | None = None
    mirostat_tau: float | None = None
    mirostat_eta: float | None = None
    seed: int | None = None
    max_tokens: int | None = None


class ModelSource(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where the weights came from."""

    kind: str  # "checkpoint" or "gguf"
    name: str
    architecture: str
    files: dict[str, str]  # file name -> sha256:...
    revision: str = ""
    url: str = ""


class PlannedAdapter(msgspec.Struct, frozen=True, omit_defaults=True):
    """A LoRA adapter that the bundle brings along, to be used by requests that name it."""

    name: str
    rank: int  # the largest of its matrices
    kind: str  # "peft" or "gguf"
    files: dict[str, str]  # of its source: file name -> sha256:...
    base: str = ""  # the model that it was trained on, as its source calls it
    licenses: tuple[str, ...] = ()  # its own, SPDX ids or LicenseRef-...


class PlannedEncoder(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a model that generates nothing makes a vector of a text."""

    dimensions: int  # numbers of a vector
    pooling: Pooling = "mean"
    normalised: bool = False  # the model itself gives vectors a length of 1


class PlannedMessage(msgspec.Struct, frozen=True):
    """A message that chats begin with."""

    role: str
    content: str


class ChatDefaults(msgspec.Struct, frozen=True, omit_defaults=True):
    """What requests to this bundle have in common, besides the system prompt that is baked into it."""

    template: str = ""  # Jinja, used instead of the model file's
    messages: tuple[PlannedMessage, ...] = ()  # in front of those of a request
    stop: tuple[str, ...] = ()  # of requests that name none
    adapters: tuple[str, ...] = ()  # of the plan's, used by requests that name none


_FORMATS = {"llama.cpp": "GGUF", "onnxruntime": "ONNX"}  # what each runtime takes


class Plan(msgspec.Struct, frozen=True, omit_defaults=True):
    """Everything the runtime needs besides the model file."""

    format_version: int
    minimum_edgellm: str  # a reader older than this must refuse
    target: TargetDevice
    runtime: RuntimeNeeds
    recipe: str
    context: int  # tokens of one sequence
    sequences: int
    threads: int  # decode; 0 lets the device decide
    batch_threads: int  # prefill; 0 lets the device decide
    ubatch: int
    kv_type_k: str  # "f16", "q8_0"
    kv_type_v: str
    flash_attention: bool
    mmap: bool
    repack: bool
    sampling: SamplingDefaults
    chat_template_digest: str  # sha256:... of the template text; empty without one
    predicted_memory: PredictedMemory
    predicted_decode: SpeedRange | None
    predicted_prefill: SpeedRange | None
    source: ModelSource
    why: str = ""  # the paragraph that `auto` prints
    licenses: tuple[str, ...] = ()  # SPDX ids or LicenseRef-...
    eos_token_ids: tuple[int, ...] = ()  # every token that ends a reply; GGUF itself holds one
    text_normalization: str = ""  # "NFC", ...: what the tokenizer does to text and llama.cpp does not
    text_space_prefix: bool = False  # the tokenizer puts a space before the start of a text, and llama.cpp does not
    adapters: tuple[PlannedAdapter, ...] = ()  # by name
    system_prompt: SystemPrompt | None = None  # that the bundle was packed with
    chat: ChatDefaults | None = None
    encoder: PlannedEncoder | None = None  # of a model that turns texts into vectors

    @property
    def model_format(self) -> str:
        """ "GGUF" or "ONNX"; what an unknown runtime calls itself."""
        return _FORMATS.get(self.runtime.name, self.runtime.name)
