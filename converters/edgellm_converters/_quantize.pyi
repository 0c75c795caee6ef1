import numpy as np
from numpy.typing import NDArray

def kernel_names() -> list[str]:
    """Names of the kernel sets that this CPU can run, the fastest first."""

def quantize(
    kernels: str, type: str, values: NDArray[np.float32], blocks: NDArray[np.uint8], left_over: NDArray[np.uint8]
) -> int:
    """Quantize whole super-blocks of 256 float32 values to Q4_K, Q5_K or Q6_K, without the interpreter lock.

    A super-block that the kernel does not cover is not written and marked 1 in `left_over` (others 0);
    returns how many there are. Raises ValueError for an unknown name or a wrong size.
    """
