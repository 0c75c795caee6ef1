"""The processor features that change how fast llama.cpp computes."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["notable_features", "slow_because"]

# /proc/cpuinfo's word -> the common name, in the order in which they are shown
_NAMES = {
    "aarch64": {
        "asimd": "NEON",
        "asimdhp": "fp16",
        "asimddp": "dotprod",
        "i8mm": "i8mm",
        "bf16": "bf16",
        "sve": "SVE",
        "sve2": "SVE2",
        "sme": "SME",
    },
    "x86_64": {
        "sse4_2": "SSE4.2",
        "avx": "AVX",
        "f16c": "F16C",
        "fma": "FMA",
        "avx2": "AVX2",
        "avx_vnni": "AVX-VNNI",
        "avx512f": "AVX-512",
        "avx512_vnni": "AVX-512 VNNI",
        "avx512_bf16": "AVX-512 BF16",
        "amx_int8": "AMX",
    },
    "riscv64": {"v": "RVV", "zvfh": "Zvfh", "zvl256b": "256-bit vectors", "zba": "Zba"},
}
_NEEDED = {
    "aarch64": ("asimddp", "no dot products: decode is limited by arithmetic, and weights are not repacked"),
    "x86_64": ("avx2", "no AVX2: slow, and weights are not repacked"),
    "riscv64": ("v", "no vectors: very slow"),
}


def notable_features(arch: str, features: Iterable[str]) -> tuple[str, ...]:
    """The names of those of ``features`` (in /proc/cpuinfo's words) that llama.cpp has kernels for."""
    have = set(features)
    return tuple(name for word, name in _NAMES.get(arch, {}).items() if word in have)


def slow_because(arch: str, features: Iterable[str]) -> str | None:
    """What this processor lacks most; None when it has what llama.cpp is fast with."""
    word, text = _NEEDED.get(arch, ("", ""))
    return text if word and word not in set(features) else None
