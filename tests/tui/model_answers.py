"""Answers of a server about models, as they are."""

from __future__ import annotations

from typing import Any

__all__ = ["DEVICES", "FIT", "LOADED", "MODELS", "SHOWN", "many_models", "model"]

GIB = 1 << 30
MIB = 1 << 20


def model(name: str, **changes: Any) -> dict[str, Any]:
    row = {
        "name": name,
        "digest": "sha256:" + f"{sum(map(ord, name)):064x}",
        "store": "user",
        "device": "raspberrypi5",
        "recipe": "Q4_K_M",
        "format": "GGUF",
        "parameters": "1.5B",
        "context": 4096,
        "size_bytes": 1100 * MIB,
        "shared_bytes": 0,
        "licenses": ["Apache-2.0"],
        "problem": None,
        "needed_bytes": 1700 * MIB,
        "fit": "fits",
        "predicted_decode": {"low": 8.1, "high": 11.4, "basis": "measured"},
        "last_decode_tokens_per_s": None,
        "pinned": False,
        "state": None,
    }
    return row | changes


MODELS: dict[str, Any] = {
    "models": [
        model("assistant:raspberrypi5-q4_k_m", state="ready", pinned=True, last_decode_tokens_per_s=9.73),
        model("coder:raspberrypi5-q5_k_m", recipe="Q5_K_M", size_bytes=5 * GIB, needed_bytes=6100 * MIB, fit="tight"),
        model("large:raspberrypi5-q4_k_m", size_bytes=18 * GIB, needed_bytes=20 * GIB, fit="does not fit"),
        model("little:raspberrypi5-int4_32_m", format="ONNX", recipe="INT4_32_M", size_bytes=GIB, state="loading"),
        model(
            "torn:raspberrypi5-q8_0",
            problem="the manifest is not there",
            needed_bytes=None,
            fit=None,
            recipe=None,
            format=None,
            predicted_decode=None,
            size_bytes=0,
        ),
    ],
    "memory": {"models_bytes": 7 * GIB, "left_bytes": 4 * GIB, "server_bytes": 60 * MIB},
}

LOADED = [
    {"name": row["name"], "digest": row["digest"], "state": row["state"], "progress": None}
    if row["state"] == "ready"
    else {
        "name": row["name"],
        "digest": row["digest"],
        "state": "loading",
        "progress": {"phase": "reading", "done_bytes": 42, "total_bytes": 100, "elapsed_s": 1.0},
    }
    for row in MODELS["models"]
    if row["state"]
]

SHOWN = {
    "name": "assistant:raspberrypi5-q4_k_m",
    "digest": "sha256:c2c4c918083d122beb674065798f809499e02926e95d495f8d9c1e1594c65d39",
    "size_bytes": 1100 * MIB,
    "parameters": "1.5B",
    "licenses": ["Apache-2.0"],
    "files": [{"path": "model.gguf", "digest": "sha256:" + "8d" * 32, "size_bytes": 1100 * MIB}],
    "plan": {
        "target": {"id": "raspberrypi5", "name": "Raspberry Pi 5", "memory_bytes": 8 * GIB},
        "recipe": "Q4_K_M",
        "context": 4096,
        "sequences": 2,
        "kv_type_k": "f16",
        "predicted_memory": {
            "total_bytes": 1950 * MIB,
            "weights_bytes": 1100 * MIB,
            "repack_bytes": 250 * MIB,
            "kv_bytes": 400 * MIB,
            "compute_bytes": 100 * MIB,
            "overhead_bytes": 100 * MIB,
        },
        "predicted_decode": {"low": 8.1, "high": 11.4, "basis": "17.1 GB/s"},
        "predicted_prefill": None,
        "source": {"kind": "hub", "name": "acme/assistant", "revision": "0a1b2c3", "architecture": "llama"},
        "why": "Q4_K_M is the largest recipe that reaches 5 tokens/s on a Raspberry Pi 5.",
    },
    "smoke": {"tokens_per_s": 9.7, "load_s": 1.2},
    "license_documents": [{"path": "LICENSE", "text": "Apache License\nVersion 2.0\n"}],
    "cards": [{"path": "README.md", "text": "---\nlicense: apache-2.0\n---\n# Assistant\n\nAnswers *questions*.\n"}],
    "pinned": True,
    "loaded": {"state": "ready", "used_bytes": 1500 * MIB, "requests": 0, "expires_in_s": None},
}

DEVICES = {
    "here": {
        "id": "raspberrypi5",
        "name": "Raspberry Pi 5",
        "memory_bytes": 8 * GIB,
        "sizes": ["8GiB"],
        "support": "tested",
        "aliases": [],
    },
    "devices": [
        {
            "id": "jetson-orin-nano",
            "name": "Jetson Orin Nano",
            "memory_bytes": 8 * GIB,
            "sizes": ["8GiB"],
            "support": "expected",
            "aliases": [],
        }
    ],
}


def _recipe(name: str, size: int, verdict: str, low: float, **changes: Any) -> dict[str, Any]:
    return {
        "recipe": name,
        "size_bytes": size * MIB,
        "verdict": verdict,
        "memory": {"total_bytes": (size + 600) * MIB},
        "memory_available_bytes": 7 * GIB,
        "decode": {"low": low, "high": low * 1.4, "basis": ""},
        "note": "",
        "chosen": False,
    } | changes


FIT = {
    "device": "raspberrypi5",
    "memory_bytes": 8 * GIB,
    "choice": "Q4_K_M",
    "context": 4096,
    "sequences": 2,
    "why": "Q4_K_M chosen for Raspberry Pi 5: the largest recipe that reaches 5 tokens/s.",
    "problem": None,
    "hint": None,
    "rows": [
        _recipe("F16", 8000, "does not fit", 1.5),
        _recipe("Q8_0", 4100, "tight", 3),
        _recipe("Q4_K_M", 2500, "fits", 5, chosen=True),
        _recipe("Q2_K", 1700, "fits", 7),
        _recipe("INT4_32_M", 2700, "fits", 5, format="onnx"),
    ],
}


def many_models(count: int) -> dict[str, Any]:
    """A store of so many."""
    fits = ("fits", "tight", "does not fit")
    return MODELS | {
        "models": [
            model(f"model-{index:03}:pi5-q4", size_bytes=(index * 37 % 900 + 100) * MIB, fit=fits[index % 3])
            for index in range(count)
        ]
    }
