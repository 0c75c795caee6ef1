"""The plan and the descriptions that a bundle carries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgellm.bundle.digest import sha256_bytes
from edgellm.bundle.manifest import Capabilities, ModelDescriptor, ModelFacts
from edgellm.bundle.plan import PLAN_FORMAT_VERSION, ModelSource, Plan, PlannedAdapter, RuntimeNeeds, TargetDevice
from edgellm.units import format_count

if TYPE_CHECKING:
    from edgellm.bundle.system_prompt import SystemPrompt
    from edgellm.devices.fit import Choice
    from edgellm.devices.load import LoadedProfile
    from edgellm.devices.model import ModelShape
    from edgellm_converters.pack.model_input import SourceFacts

__all__ = ["build_about", "build_facts", "build_plan"]

# The first release whose reader understands every field that plans need today.
_MINIMUM_EDGELLM = "0.1.0"
# The oldest llama-cpp-python whose llama.cpp loads what is written here.
_MINIMUM_RUNTIME = "0.3.36"
# The oldest ONNX Runtime whose GroupQueryAttention takes the number of new tokens of each row.
_ONNX_RUNTIME = RuntimeNeeds(name="onnxruntime", package="onnxruntime", minimum_version="1.32")
_FLOAT_TYPES = {"F32": "float32", "FP32": "float32", "F16": "float16", "BF16": "bfloat16"}


def build_plan(
    device: LoadedProfile,
    choice: Choice,
    facts: SourceFacts,
    digests: dict[str, str],
    adapters: Sequence[PlannedAdapter] = (),
    prompt: SystemPrompt | None = None,
) -> Plan:
    """How to run the model on ``device``: deterministic, nothing of this machine."""
    profile, settings = device.profile, choice.settings
    template = facts.chat_template
    return Plan(
        format_version=PLAN_FORMAT_VERSION,
        minimum_edgellm=_MINIMUM_EDGELLM,
        target=TargetDevice(
            id=profile.id,
            name=profile.name,
            profile_digest=device.digest,
            memory_bytes=profile.memory.size_bytes,
        ),
        # A GGUF runs on any CPU that the device's own llama.cpp was built for: no features are required here.
        runtime=_ONNX_RUNTIME if facts.format == "onnx" else RuntimeNeeds(minimum_version=_MINIMUM_RUNTIME),
        recipe=choice.recipe,
        context=settings.context,
        sequences=settings.sequences,
        threads=profile.threads,
        batch_threads=profile.batch_threads,
        ubatch=settings.ubatch,
        kv_type_k=settings.kv_type_k,
        kv_type_v=settings.kv_type_v,
        flash_attention=settings.flash_attention,
        mmap=settings.mmap,
        repack=settings.repack,
        sampling=facts.sampling,
        chat_template_digest=sha256_bytes(template.encode("utf-8", "surrogatepass")) if template else "",
        predicted_memory=choice.estimate.memory,
        predicted_decode=choice.estimate.decode,
        predicted_prefill=choice.estimate.prefill,
        source=ModelSource(
            kind=facts.kind,
            name=facts.name,
            architecture=facts.architecture,
            files=digests,
            revision=facts.revision,
            url=facts.url,
        ),
        why=choice.why,
        licenses=facts.licenses,
        eos_token_ids=facts.eos_token_ids,
        text_normalization=facts.text_normalization,
        text_space_prefix=facts.text_space_prefix,
        adapters=tuple(adapters),
        system_prompt=prompt,
        encoder=facts.encoder,
    )


def build_about(facts: SourceFacts, created_at: str) -> ModelDescriptor:
    """The ModelPack descriptor."""
    return ModelDescriptor(
        name=facts.name,
        family=facts.architecture,
        revision=facts.revision,
        source_url=facts.url,
        licenses=list(facts.licenses),
        created_at=created_at,
    )


def build_facts(shape: ModelShape, recipe: str) -> ModelFacts:
    """The ModelPack facts: size, precision or quantization, text in and out."""
    return ModelFacts(
        format=shape.format,
        param_size=format_count(shape.n_parameters),
        precision=_FLOAT_TYPES.get(recipe, ""),
        quantization="" if recipe in _FLOAT_TYPES else recipe,
        capabilities=Capabilities(input_types=["text"], output_types=["embedding" if shape.is_encoder else "text"]),
    )
