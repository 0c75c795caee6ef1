// The memory of one sampling thread: it grows with the largest row seen and is used again for every other.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "kernel_table.h"

namespace edgellm::sampling {

// A candidate: `key` orders by logit, the largest first, then by token, the smallest first.
using Key = uint64_t;

struct ValueList {
    std::vector<float> values;
    std::vector<int32_t> ids;
};

struct TouchedBlock {
    uint32_t block;
    uint32_t slot;  // of its copy
};

// Keys with their places and weights, ascending by place; whole blocks, as the kernels want them.
struct BorderList {
    std::vector<float> keys, weights;
    std::vector<int32_t> places;
    size_t count = 0;
    double mass = 0.0;

    size_t blocks() const { return (count + kBlock - 1) / kBlock; }
    void reserve(size_t n) {
        const size_t size = n + 2 * kBlock;
        if (keys.size() < size) {
            keys.resize(size);
            weights.resize(size);
            places.resize(size);
        }
    }
    void pad() {
        for (size_t i = count; i < blocks() * kBlock; ++i) {
            keys[i] = -__builtin_huge_valf();
            weights[i] = 0.0f;
        }
    }
};

struct Workspace {
    std::vector<float> block_largest;
    std::vector<float> group_largest;
    std::vector<float> scratch;  // a copy for selecting in
    std::vector<double> sums;
    std::vector<double> more_sums;
    std::vector<double> counts;
    std::vector<float> weights;    // e of every logit
    std::vector<float> reweighed;  // the same at another temperature
    std::vector<float> keys;
    std::vector<float> copies;  // of touched blocks
    std::vector<TouchedBlock> touched;
    ValueList lists[2];
    BorderList borders[3];
    std::vector<Key> candidates;
    std::vector<double> logits;  // of the sorted candidates, and what follows beside it
    std::vector<double> exps;
    std::vector<double> distances;
    std::vector<int32_t> order;
    std::vector<std::pair<int32_t, float>> edits;
    std::vector<int32_t> tokens;
    std::vector<int32_t> repeats;
    std::vector<std::pair<int32_t, int32_t>> longest;
};

// Makes room without ever giving any back.
template <class T>
inline T *room(std::vector<T> &buffer, size_t size) {
    if (buffer.size() < size) buffer.resize(size);
    return buffer.data();
}

}  // namespace edgellm::sampling
