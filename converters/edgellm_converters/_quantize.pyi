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

def quantize_int_blocks(
    kernels: str,
    values: NDArray[np.float32],
    row_length: int,
    block_size: int,
    bits: int,
    symmetric: bool,
    levels: NDArray[np.uint8],
    scales: NDArray[np.float32],
    zero_points: NDArray[np.uint8],
) -> None:
    """Quantize rows of finite float32 values to blocks of 4-bit or symmetric 8-bit levels.

    A row has ceil(row_length / block_size) blocks, the last filled up with zeros. `levels`: block_size x bits / 8 bytes
    a block; `scales`: one float a block; `zero_points`: 4 bits a block, whole bytes a row, empty if symmetric. Every
    kernel set writes the same. The interpreter lock is free. Raises ValueError for an unknown name or a wrong size.
    """
