"""Small bundles for tests: a GGUF of a few bytes that is valid, a plan, and one call that writes both."""

from __future__ import annotations

import random
import struct

import msgspec

from edgellm.bundle.contents import BundleContents, FileLayer
from edgellm.bundle.manifest import Capabilities, ModelDescriptor, ModelFacts
from edgellm.bundle.names import BundleName
from edgellm.bundle.plan import (
    PLAN_FORMAT_VERSION,
    ModelSource,
    Plan,
    RuntimeNeeds,
    SamplingDefaults,
    TargetDevice,
)
from edgellm.bundle.writer import BundleWriter
from edgellm.devices.prediction import PredictedMemory, SpeedRange

GIB = 2**30


def gguf_bytes(seed: int = 0, weights_bytes: int = 4096) -> bytes:
    """A GGUF version 3 file with one F32 tensor; the same arguments give the same bytes."""

    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value)) + value.encode()

    count = weights_bytes // 4
    header = b"GGUF" + struct.pack("<IQQ", 3, 1, 1)
    header += text("general.architecture") + struct.pack("<I", 8) + text("llama")
    header += text("token_embd.weight") + struct.pack("<IQIQ", 1, count, 0, 0)
    header += bytes(-len(header) % 32)
    return header + random.Random(seed).randbytes(4 * count)


def make_plan(device_id: str = "raspberrypi5", recipe: str = "Q4_K_M") -> Plan:
    """A plan with every field set."""
    memory = PredictedMemory(
        total_bytes=3 * GIB,
        weights_bytes=2 * GIB,
        repack_bytes=0,
        kv_bytes=GIB // 2,
        compute_bytes=GIB // 4,
        overhead_bytes=GIB // 4,
        reserve_bytes=GIB,
    )
    return Plan(
        format_version=PLAN_FORMAT_VERSION,
        minimum_edgellm="0.1.0",
        target=TargetDevice(device_id, "Raspberry Pi 5", "sha256:" + "1" * 64, 8 * GIB),
        runtime=RuntimeNeeds(minimum_version="0.3.36", cpu_features=("asimd",)),
        recipe=recipe,
        context=4096,
        sequences=1,
        threads=4,
        batch_threads=4,
        ubatch=256,
        kv_type_k="f16",
        kv_type_v="f16",
        flash_attention=True,
        mmap=True,
        repack=False,
        sampling=SamplingDefaults(temperature=0.7, top_p=0.9),
        chat_template_digest="sha256:" + "2" * 64,
        predicted_memory=memory,
        predicted_decode=SpeedRange(5.0, 7.5, "bandwidth"),
        predicted_prefill=None,
        source=ModelSource("checkpoint", "tiny", "llama", {"model.safetensors": "sha256:" + "3" * 64}),
        why="it fits",
        licenses=("Apache-2.0",),
    )


def write_bundle(
    writer: BundleWriter,
    name: str = "tiny:raspberrypi5-q4_k_m",
    *,
    weights: bytes | None = None,
    plan: Plan | None = None,
    license_text: bytes = b"Apache License\n",
) -> str:
    """Write and commit one bundle; returns its digest."""
    data = gguf_bytes() if weights is None else weights
    with writer.blob(len(data)) as blob:
        for start in range(0, len(data), 1 << 20):
            blob.write(data[start : start + (1 << 20)])
    contents = BundleContents(
        weights=(FileLayer("model.gguf", blob.descriptor),),
        docs=(FileLayer("LICENSE", writer.add_bytes(license_text)),),
        plan=plan or make_plan(),
        about=ModelDescriptor(name="tiny", family="llama", licenses=["Apache-2.0"]),
        facts=ModelFacts(
            param_size="1K",
            precision="float32",
            quantization="F32",
            capabilities=Capabilities(input_types=["text"], output_types=["text"]),
        ),
    )
    model, _, tag = name.partition(":")
    return writer.commit(contents, BundleName(model, tag))


def for_device(device_id: str) -> Plan:
    """A plan that differs from the usual one in its device only."""
    plan = make_plan()
    return msgspec.structs.replace(plan, target=msgspec.structs.replace(plan.target, id=device_id))
