// Kernels that quantize float rows to the K types exactly as ggml does, byte for byte, many sub-blocks at a time.
//
// ggml searches the scale of each sub-block of 32 (or 16) values with a chain of float sums whose order decides the
// result. The chain cannot be split, but sub-blocks are independent: each vector lane walks the chain of its own one.
#pragma once

#include <cstddef>
#include <cstdint>

#include "int_blocks.h"

namespace edgellm {

constexpr int kSuperBlock = 256;
constexpr size_t kQ4KBytes = 144;
constexpr size_t kQ5KBytes = 176;
constexpr size_t kQ6KBytes = 210;

// Quantizes `super_blocks` x 256 values. Super-blocks that the vector code does not cover (values that are not finite, or
// of extreme ratio) are left alone and marked in `left_over` (one byte each, 1 = not written).
using QuantizeBlocks = void (*)(const float *values, uint8_t *blocks, size_t super_blocks, uint8_t *left_over);

struct KernelSet {
    const char *name;
    QuantizeBlocks q4_k;
    QuantizeBlocks q5_k;
    QuantizeBlocks q6_k;
    QuantizeIntBlocks int_blocks;
};

const KernelSet &baseline_kernels();
#if defined(EDGELLM_X86_KERNELS)  // CMakeLists.txt, where these are compiled
const KernelSet &avx2_kernels();
const KernelSet &avx512_kernels();
#endif

}  // namespace edgellm
