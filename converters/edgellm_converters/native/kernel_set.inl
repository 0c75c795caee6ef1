// The kernels of one instruction set: this file is included with the target's flags on, EDGELLM_KERNELS naming the function.
#include "k_quants.h"
#include "rounding.h"
#include "simd.h"

#include "affine_search.inl"

#include "affine_blocks.inl"
#include "symmetric_blocks.inl"
#include "int_blocks.inl"

namespace edgellm {
namespace {

constexpr int kAffineGroups = EDGELLM_AFFINE_GROUPS;
constexpr int kSymmetricGroups = EDGELLM_SYMMETRIC_GROUPS;

void q4_k(const float *values, uint8_t *blocks, size_t super_blocks, uint8_t *left_over) {
    quantize_affine<15, 20, kAffineGroups>(values, blocks, super_blocks, left_over, -1.0f);
}

void q5_k(const float *values, uint8_t *blocks, size_t super_blocks, uint8_t *left_over) {
    quantize_affine<31, 15, kAffineGroups>(values, blocks, super_blocks, left_over, -0.5f);
}

void q6_k(const float *values, uint8_t *blocks, size_t super_blocks, uint8_t *left_over) {
    quantize_q6_k<kSymmetricGroups>(values, blocks, super_blocks, left_over);
}

const KernelSet kSet{EDGELLM_KERNEL_NAME, q4_k, q5_k, q6_k, quantize_int_blocks};

}  // namespace

const KernelSet &EDGELLM_KERNELS() { return kSet; }

}  // namespace edgellm
