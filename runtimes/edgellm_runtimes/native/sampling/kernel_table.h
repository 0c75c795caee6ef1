// What the vector units offer: passes over blocks of 256 logits. A row is cut into blocks; a unit never sees its end.
#pragma once

#include <cstddef>
#include <cstdint>

namespace edgellm::sampling {

constexpr int kBlock = 256;
constexpr int kGroups = 16;  // groups of a block: its elements i with the same i % 16
constexpr int kPivots = 4;
constexpr float kLowest = -3.402823466e38f;  // the least finite float: -inf is a place that cannot be chosen

// `mask` has one bit per logit, 0 = not allowed, 8 words per block; nullptr allows all. A logit that is not allowed
// counts as -inf. `shift` is the row's largest logit and `scale` is log2(e) / temperature: e = 2^((x - shift) * scale) <= 1.
struct Kernels {
    const char *name;

    // Largest logit of each block. Returns true when one that is allowed is NaN.
    bool (*block_max)(const float *x, size_t blocks, const uint32_t *mask, float *largest);

    // The largest logit of all blocks, where it is above `largest`, and the first place with it. Returns true when one that is
    // allowed is NaN; what was found then means nothing.
    bool (*find_largest)(const float *x, size_t blocks, const uint32_t *mask, float *largest, size_t *place);

    // Largest logit of each group: 16 values per block.
    void (*group_max)(const float *x, size_t blocks, const uint32_t *mask, float *largest);

    // Sum of e over each block. `stored`, where given, receives every e.
    void (*exp_sums)(const float *x, size_t blocks, const uint32_t *mask, float shift, float scale, double *sums,
                     float *stored);

    // Sum of 2^(x * scale - reference), rounded once before the power, over all blocks; no exponent may be 1 or more.
    double (*exp_total)(const float *x, size_t blocks, const uint32_t *mask, float scale, float reference);

    // Sums of e and of e * (x - shift) * scale over each block: what an entropy is made of.
    void (*exp_entropy)(const float *x, size_t blocks, const uint32_t *mask, float shift, float scale, double *sums,
                        double *weighted, float *stored);

    // For the logits above -inf: count, sum and sum of squares of x - shift over each block.
    void (*moments)(const float *x, size_t blocks, const uint32_t *mask, float shift, double *counts, double *sums,
                    double *squares);

    // The logits of one block that are >= threshold, in their order: place in the block and value. Returns how many.
    int (*collect)(const float *x, const uint32_t *mask, float threshold, int32_t *places, float *values);

    // -|(x - shift) * scale - centre| for every logit; -inf for one that is not allowed.
    void (*distances)(const float *x, size_t blocks, const uint32_t *mask, float shift, float scale, float centre,
                      float *keys);

    // For each of four pivots: how many keys are >= it, and the sum of their weights.
    void (*mass_above)(const float *keys, const float *weights, size_t blocks, const float *pivots, double *masses,
                       double *counts);

    // Sets the weights whose key is below the threshold to 0, and sums up what is left of each block. Both arrays may be the
    // same.
    void (*cut)(const float *keys, float *weights, size_t blocks, float threshold, double *sums);

    // Of each block the sum of the weights whose key is >= below; and of all blocks the keys in [from, below), in their
    // order: place and value. Returns how many.
    size_t (*split)(const float *keys, const float *weights, size_t blocks, float from, float below, double *sums,
                    int32_t *places, float *found);
};

const Kernels &baseline_kernels();
#if defined(EDGELLM_X86_KERNELS)  // CMakeLists.txt, where these are compiled
const Kernels &avx2_kernels();
const Kernels &avx512_kernels();
#endif

}  // namespace edgellm::sampling
