// Where a running sum over weights passes a target: first over the sums of blocks, then within one.
#pragma once

#include <cstddef>

#include "kernel_table.h"

namespace edgellm::sampling {

struct BlockPlace {
    size_t block;
    double before;  // what the blocks before it sum up to
    bool is_past;   // none reaches the target: the last block with a weight stands for it
};

inline BlockPlace find_block(const double *sums, size_t blocks, double target) {
    double running = 0.0, before_last = 0.0;
    size_t last = 0;
    for (size_t b = 0; b < blocks; ++b) {
        if (sums[b] <= 0.0) continue;
        last = b;
        before_last = running;
        if (running + sums[b] > target) return {b, running, false};
        running += sums[b];
    }
    return {last, before_last, true};
}

// The place in the block where the running sum passes `target`, or the last one with a weight.
inline size_t find_in_block(const float *e, double target, const BlockPlace &at, double &weight) {
    double reached = at.before;
    size_t chosen = 0;
    for (size_t i = 0; i < kBlock; ++i) {
        if (e[i] <= 0.0f) continue;
        chosen = i;
        reached += static_cast<double>(e[i]);
        if (!at.is_past && reached > target) break;
    }
    weight = static_cast<double>(e[chosen]);
    return chosen;
}

}  // namespace edgellm::sampling
