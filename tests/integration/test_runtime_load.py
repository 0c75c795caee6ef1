"""Loading: the plan adjusted to this machine, and memory checked before a byte of weights is read."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from backends import is_onnx_model
from edgellm.bundle.plan import (
    PLAN_FORMAT_VERSION,
    ModelSource,
    Plan,
    RuntimeNeeds,
    SamplingDefaults,
    TargetDevice,
)
from edgellm.devices.prediction import PredictedMemory
from edgellm.errors import DoesNotFitError, Interrupted, ModelFileError, UnsupportedError, UsageError
from edgellm.progress import CancelToken, SilentProgress
from edgellm_runtimes.engine import Engine, EngineInfo
from edgellm_runtimes.load import LoadRequest, load_backend
from edgellm_runtimes.sampling import SamplingParams

GIB = 2**30


class Listener(SilentProgress):
    """Progress that keeps what it is told."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.loaded_bytes = 0

    def advance(self, size_bytes: int) -> None:
        self.loaded_bytes += size_bytes

    def message(self, text: str) -> None:
        self.messages.append(text)


def make_plan(**changes: Any) -> Plan:
    plan = Plan(
        format_version=PLAN_FORMAT_VERSION,
        minimum_edgellm="0.1.0",
        target=TargetDevice(id="board", name="A board", profile_digest="sha256:" + "0" * 64, memory_bytes=GIB),
        runtime=RuntimeNeeds(minimum_version="0.3.36"),
        recipe="F16",
        context=256,
        sequences=1,
        threads=1,
        batch_threads=1,
        ubatch=128,
        kv_type_k="q8_0",
        kv_type_v="f16",
        flash_attention=True,
        mmap=True,
        repack=False,
        sampling=SamplingDefaults(temperature=0.25, top_p=0.5),
        chat_template_digest="",
        predicted_memory=PredictedMemory(0, 0, 0, 0, 0, 0, 0),
        predicted_decode=None,
        predicted_prefill=None,
        source=ModelSource(kind="checkpoint", name="tiny-llm", architecture="llama", files={}),
    )
    return msgspec.structs.replace(plan, **changes)


def plan_for(path: Path, *, cpu_features: tuple[str, ...] = (), **changes: Any) -> Plan:
    """A plan for the runtime that the model at ``path`` needs."""
    if not is_onnx_model(path):
        return make_plan(runtime=RuntimeNeeds(minimum_version="0.3.36", cpu_features=cpu_features), **changes)
    runtime = RuntimeNeeds("onnxruntime", "onnxruntime", "1.32", cpu_features)
    return make_plan(runtime=runtime, kv_type_k="f32", kv_type_v="f32", flash_attention=False, **changes)


def load(path: Path, listener: Listener | None = None, **request: Any) -> EngineInfo:
    backend, info = load_backend(LoadRequest(model_path=path, **request), progress=listener)
    backend.close()
    return info


def test_the_plan_decides(tiny_gguf: Path) -> None:
    listener = Listener()
    info = load(tiny_gguf, listener, plan=make_plan())
    assert (info.context, info.sequences, info.threads, info.batch_threads) == (256, 1, 1, 1)
    assert (info.kv_type_k, info.kv_type_v, info.repack, info.flash_attention) == ("q8_0", "f16", False, True)
    assert listener.messages == []
    assert listener.loaded_bytes == tiny_gguf.stat().st_size
    assert info.load_s > 0


def test_what_is_asked_for_goes_before_the_plan(tiny_gguf: Path) -> None:
    asked = {"context": 64, "sequences": 2, "threads": 2, "kv_type_k": "f32", "repack": True, "mmap": False}
    info = load(tiny_gguf, plan=make_plan(), **asked)
    assert {name: getattr(info, name) for name in asked} == asked
    assert info.batch_threads == 2


def test_without_a_plan_the_model_and_the_machine_decide(tiny_model: Path) -> None:
    info = load(tiny_model)
    assert info.context == info.trained_context == 512
    assert info.threads >= 1


def test_threads_that_are_not_here_are_not_used(tiny_model: Path) -> None:
    listener = Listener()
    info = load(tiny_model, listener, plan=plan_for(tiny_model, threads=500, batch_threads=500))
    assert info.threads < 500
    assert info.batch_threads < 500
    assert any("500 threads" in message for message in listener.messages)


def test_zero_threads_leaves_it_to_the_machine(tiny_model: Path) -> None:
    assert load(tiny_model, plan=plan_for(tiny_model, threads=0, batch_threads=0)).threads == load(tiny_model).threads


def test_a_bundle_for_more_memory_says_so(tiny_model: Path) -> None:
    listener = Listener()
    target = TargetDevice(id="big", name="A big one", profile_digest="", memory_bytes=2**60)
    load(tiny_model, listener, plan=plan_for(tiny_model, target=target))
    assert any("A big one" in message and "this machine has" in message for message in listener.messages)


def test_a_missing_cpu_feature_is_named(tiny_model: Path) -> None:
    plan = plan_for(tiny_model, cpu_features=("warp9",))
    with pytest.raises(UnsupportedError, match="warp9"):
        load(tiny_model, plan=plan)


def test_a_runtime_that_is_too_old_is_named(tiny_model: Path) -> None:
    needs = plan_for(tiny_model).runtime
    plan = make_plan(runtime=msgspec.structs.replace(needs, minimum_version="99.1"))
    with pytest.raises(UnsupportedError, match=rf"{needs.package} >= 99\.1") as caught:
        load(tiny_model, plan=plan)
    assert "upgrade" in (caught.value.hint or "")


def test_a_plan_for_another_runtime_is_refused(tiny_gguf: Path, tiny_onnx: Path) -> None:
    for path, other in ((tiny_gguf, tiny_onnx), (tiny_onnx, tiny_gguf)):
        with pytest.raises(UnsupportedError, match=plan_for(other).runtime.name):
            load(path, plan=plan_for(other))


def test_an_onnx_model_keeps_the_type_of_its_cache_and_takes_no_adapters(tiny_onnx: Path, tmp_path: Path) -> None:
    info = load(tiny_onnx, plan=make_plan(runtime=plan_for(tiny_onnx).runtime, kv_type_k="q8_0"))
    assert (info.kv_type_k, info.kv_type_v, info.adapters) == ("f32", "f32", ())
    with pytest.raises(UsageError, match="f32"):
        load(tiny_onnx, kv_type_k="q8_0")
    with pytest.raises(UnsupportedError, match="pirate"):
        load(tiny_onnx, adapters={"pirate": tmp_path / "adapter.gguf"})


def test_what_does_not_fit_is_refused_with_numbers_and_ways_out(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgellm.devices.local.available_memory_bytes", lambda: 20 * 2**20)
    with pytest.raises(DoesNotFitError) as caught:
        load(tiny_model, context=512, name="tiny:board")
    assert caught.value.message.startswith("tiny:board with a context of 512 needs ")
    assert "20.0 MiB" in caught.value.message
    hint = caught.value.hint or ""
    assert "--force" in hint
    assert "--context" not in hint  # no context is small enough
    listener = Listener()
    assert load(tiny_model, listener, context=512, force=True).context == 512
    assert any("--force" in message for message in listener.messages)


def test_a_context_that_fits_is_offered(tiny_gguf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = 20 * 2**20
    monkeypatch.setattr("edgellm.devices.local.available_memory_bytes", lambda: free)
    while True:
        free += 2**18
        try:
            load(tiny_gguf, context=512)
        except DoesNotFitError as error:
            offered = "--context 256" in (error.hint or "")
        else:
            break
    assert offered  # the last refusal
    free -= 2**18
    assert load(tiny_gguf, context=256).context == 256


def test_memory_that_cannot_be_read_is_said(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgellm.devices.local.available_memory_bytes", lambda: None)
    listener = Listener()
    load(tiny_model, listener)
    assert any("not checked" in message for message in listener.messages)


def test_a_context_beyond_the_trained_one_needs_force(tiny_gguf: Path) -> None:
    with pytest.raises(UsageError, match="512"):
        load(tiny_gguf, context=1024)
    assert load(tiny_gguf, context=1024, force=True).context == 1024


@pytest.mark.parametrize("request_", [{"context": 0}, {"sequences": 0}, {"threads": -1}, {"kv_type_v": "q9"}])
def test_impossible_requests_are_refused(tiny_model: Path, request_: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        load(tiny_model, **request_)


def test_a_torn_file_is_refused(tiny_gguf: Path, tmp_path: Path) -> None:
    path = tmp_path / "torn.gguf"
    path.write_bytes(tiny_gguf.read_bytes()[:100_000])
    with pytest.raises(ModelFileError):
        load(path)


def test_loading_can_be_cancelled(tiny_model: Path) -> None:
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(Interrupted):
        load_backend(LoadRequest(model_path=tiny_model), cancel=cancel)


def test_the_engine_takes_end_tokens_and_sampling_from_the_plan(tiny_model: Path) -> None:
    async def ids(plan: Plan) -> list[int]:
        async with await Engine.load(LoadRequest(model_path=tiny_model, plan=plan)) as engine:
            assert engine.params() == SamplingParams(temperature=0.25, top_k=0, top_p=0.5, min_p=0.0)
            params = SamplingParams(temperature=0, max_tokens=12)
            return [token async for chunk in engine.generate("The king", params) for token in chunk.token_ids]

    whole = asyncio.run(ids(plan_for(tiny_model)))
    ended = asyncio.run(ids(plan_for(tiny_model, eos_token_ids=(whole[3],))))
    assert ended == whole[: whole.index(whole[3]) + 1]
