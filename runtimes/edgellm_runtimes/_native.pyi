def cpu_features() -> list[str]:
    """Instruction-set extensions of this CPU that the kernels can use, by their Linux names, sorted."""

def memory_bandwidth(size_bytes: int, threads: int, repeats: int) -> tuple[float, float]:
    """The best of `repeats` passes over `size_bytes` of new memory by `threads` threads together.

    Returns GB/s read, and GB/s copied (bytes read plus bytes written). Raises ValueError, MemoryError.
    """

class AbortFlag:
    """A flag that native code polls without taking the interpreter lock."""

    def __init__(self) -> None: ...
    def set(self) -> None:
        """Ask the running native call to stop."""

    def clear(self) -> None:
        """Allow the next native call."""

    @property
    def is_set(self) -> bool:
        """True while set."""

    @property
    def callback(self) -> int:
        """Address of the C function `bool (*)(void *)` that reads the flag."""

    @property
    def data(self) -> int:
        """The argument for `callback`; valid while this object lives."""

class GraphStop:
    """While set, a graph of ggml ends after the tensor of this name: nothing behind it is computed."""

    def __init__(self, tensor: str, get_name: int) -> None:
        """``get_name`` is the address of the library's ``ggml_get_name``."""

    def set(self) -> None:
        """Stop the graphs that come."""

    def clear(self) -> None:
        """Compute whole graphs again."""

    @property
    def callback(self) -> int:
        """Address of the C function `bool (*)(ggml_tensor *, bool ask, void *)`."""

    @property
    def data(self) -> int:
        """The argument for `callback`; valid while this object lives."""
