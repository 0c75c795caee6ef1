"""What is known of the recipes of ONNX models without measuring."""

from __future__ import annotations

from collections.abc import Collection

__all__ = ["onnx_preferred"]


def onnx_preferred(recipes: Collection[str], features: Collection[str]) -> list[str]:
    """The ``recipes`` that ONNX Runtime has its fastest kernels for on a CPU with these features; empty for no matter.

    On Arm with dot products those are KleidiAI's, which take no zero points (UseKleidiAI in mlas' qnbitgemm files).
    """
    if "asimddp" not in features:
        return []
    return [recipe for recipe in recipes if recipe.endswith("_SYM") or recipe == "INT8_128"]
