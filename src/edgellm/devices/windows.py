"""Which layers attend to a sliding window in llama.cpp, by architecture.

Transcribed from src/models/*.cpp (llama.cpp with ggml 0.25.3). Architectures that are not here get full attention from
llama.cpp whatever their header says (llama, mistral, qwen2, phi3: there the window has to cap the context instead).
"""

from __future__ import annotations

__all__ = ["sliding_layers"]

# Every n-th layer attends to everything, the others slide; (period, True): the first of each period does.
_PERIODS: dict[str, tuple[int, bool]] = {
    "afmoe": (4, False),
    "cohere2": (4, False),
    "cohere2moe": (4, False),
    "exaone4": (4, False),
    "gemma2": (2, False),
    "gemma3": (6, False),
    "gemma3n": (5, False),
    "gpt-oss": (2, False),
    "llama4": (4, False),
    "olmo2": (4, False),
    "plamo3": (8, False),
    "smallthinker": (4, True),
}
_BY_ARRAY = ("gemma4", "granite_swa", "mimo2")
_DEFAULT_WINDOWS = {"exaone4": 4096, "gemma2": 4096, "llama4": 8192, "smallthinker": 4096}
_FIXED_WINDOWS = {"llama4": 8192, "smallthinker": 4096}


def sliding_layers(architecture: str, n_layers: int, window: int, pattern: object) -> tuple[list[int | None], str]:
    """The window of each layer (None: full attention), and a note when the header's window is not used.

    ``window`` is the header's attention.sliding_window (0: absent); ``pattern`` its sliding_window_pattern.
    """
    period = _PERIODS.get(architecture)
    if period is None and architecture not in _BY_ARRAY:
        note = f"llama.cpp ignores the sliding window of {window} tokens: keep the context within it" if window else ""
        return [None] * n_layers, note
    if architecture == "exaone4" and n_layers != 64:  # the 32B model alone has windows
        return [None] * n_layers, ""
    used = _FIXED_WINDOWS.get(architecture, window) if window else _DEFAULT_WINDOWS.get(architecture, 0)
    if not used:
        return [None] * n_layers, ""
    if isinstance(pattern, list) and len(pattern) >= n_layers:
        return [used if slides else None for slides in pattern[:n_layers]], ""
    if period is None:
        return [None] * n_layers, "the sliding-window pattern is missing: counted as full attention"
    length, full_first = period
    if isinstance(pattern, int) and not isinstance(pattern, bool) and pattern > 0:
        length = pattern
    full = 0 if full_first else length - 1
    return [None if i % length == full else used for i in range(n_layers)], ""
