"""ONNX models: a decoder's graph with its weights quantized beside it, for ONNX Runtime and onnxruntime-genai."""

from __future__ import annotations

__all__: list[str] = []
