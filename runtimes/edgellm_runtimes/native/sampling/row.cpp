#include "row.h"

#include <algorithm>
#include <cmath>
#include <functional>

namespace edgellm::sampling {
namespace {

constexpr size_t kMaskWords = kBlock / 32;

inline bool allowed(const uint32_t *mask, size_t i) { return !mask || (mask[i / 32] >> (i % 32) & 1u); }

// The place of a block where the running sum, `reached` before it, passes `target`, or the last one with a weight.
size_t find_in_block(const float *e, double target, double reached, bool is_past, double &weight) {
    size_t chosen = 0;
    for (size_t i = 0; i < kBlock; ++i) {
        if (e[i] <= 0.0f) continue;
        chosen = i;
        reached += static_cast<double>(e[i]);
        if (!is_past && reached > target) break;
    }
    weight = static_cast<double>(e[chosen]);
    return chosen;
}

}  // namespace

// Calls pass(x, blocks, mask, first block) for runs of untouched blocks and for each touched one, in order.
template <class Pass>
void Row::for_runs(Pass pass) const {
    size_t next = 0;
    for (size_t t = 0; t < touched_; ++t) {
        const TouchedBlock &touched = w_.touched[t];
        if (touched.block > next)
            pass(x_ + next * kBlock, touched.block - next, mask_ ? mask_ + next * kMaskWords : nullptr, next);
        pass(w_.copies.data() + static_cast<size_t>(touched.slot) * kBlock, size_t{1},
             static_cast<const uint32_t *>(nullptr), static_cast<size_t>(touched.block));
        next = touched.block + size_t{1};
    }
    if (next < blocks_)
        pass(x_ + next * kBlock, blocks_ - next, mask_ ? mask_ + next * kMaskWords : nullptr, next);
}

void Row::open(const float *x, size_t n, const uint32_t *mask, const int32_t *ids) {
    x_ = x;
    n_ = n;
    mask_ = mask;
    ids_ = ids;
    blocks_ = (n + kBlock - 1) / kBlock;
    touched_ = 0;
    if (n % kBlock) {  // the end of the row lies in a copy, filled up with -inf
        const size_t last = n - 1;
        change(last, allowed(mask, last) ? x[last] : -HUGE_VALF);
    }
}

void Row::change(size_t i, float value) {
    const uint32_t b = static_cast<uint32_t>(i / kBlock);
    TouchedBlock *first = room(w_.touched, blocks_ + 1), *end = first + touched_;
    TouchedBlock *place =
        std::lower_bound(first, end, b, [](const TouchedBlock &t, uint32_t block) { return t.block < block; });
    if (place == end || place->block != b) {
        float *copy = room(w_.copies, (touched_ + 1) * kBlock) + touched_ * kBlock;
        const size_t start = static_cast<size_t>(b) * kBlock;
        for (size_t j = 0; j < kBlock; ++j)
            copy[j] = start + j < n_ && allowed(mask_, start + j) ? x_[start + j] : -HUGE_VALF;
        std::move_backward(place, end, end + 1);
        *place = TouchedBlock{b, static_cast<uint32_t>(touched_++)};
    }
    if (allowed(mask_, i)) w_.copies[static_cast<size_t>(place->slot) * kBlock + i % kBlock] = value;
}

bool Row::find_largest() {
    float *largest = room(w_.block_largest, blocks_);
    bool bad = false;
    for_runs([&](const float *x, size_t blocks, const uint32_t *mask, size_t first) {
        bad = k_.block_max(x, blocks, mask, largest + first) || bad;
    });
    largest_ = *std::max_element(largest, largest + blocks_) + 0.0f;  // of two zeros processors take either: make it +0
    return !bad;
}

const float *Row::block(size_t b, const uint32_t *&mask) const {
    const TouchedBlock *first = w_.touched.data(), *end = first + touched_;
    const TouchedBlock *place =
        std::lower_bound(first, end, b, [](const TouchedBlock &t, size_t block) { return t.block < block; });
    if (place != end && place->block == b) {
        mask = nullptr;
        return w_.copies.data() + static_cast<size_t>(place->slot) * kBlock;
    }
    mask = mask_ ? mask_ + b * kMaskWords : nullptr;
    return x_ + b * kBlock;
}

float Row::at(size_t i) const {
    const uint32_t *mask;
    const float value = block(i / kBlock, mask)[i % kBlock];
    return allowed(mask, i % kBlock) ? value : -HUGE_VALF;
}

size_t Row::first_largest() const {
    const float *largest = w_.block_largest.data();
    const size_t b = static_cast<size_t>(std::find(largest, largest + blocks_, largest_) - largest);
    const uint32_t *mask;
    const float *x = block(b, mask);
    int32_t places[kCollected];
    float values[kCollected];
    k_.collect(x, mask, largest_, places, values);
    return b * kBlock + static_cast<size_t>(places[0]);
}

double Row::sum_exps(float scale, bool store) {
    double *sums = room(w_.sums, blocks_);
    float *stored = store ? room(w_.weights, blocks_ * kBlock) : nullptr;
    for_runs([&](const float *x, size_t blocks, const uint32_t *mask, size_t first) {
        k_.exp_sums(x, blocks, mask, largest_, scale, sums + first, stored ? stored + first * kBlock : nullptr);
    });
    double total = 0.0;
    for (size_t b = 0; b < blocks_; ++b) total += sums[b];
    return total;
}

double Row::sum_entropy(float scale, double &weighted, bool store) {
    double *sums = room(w_.sums, blocks_), *products = room(w_.more_sums, blocks_);
    float *stored = store ? room(w_.weights, blocks_ * kBlock) : nullptr;
    for_runs([&](const float *x, size_t blocks, const uint32_t *mask, size_t first) {
        k_.exp_entropy(x, blocks, mask, largest_, scale, sums + first, products + first,
                       stored ? stored + first * kBlock : nullptr);
    });
    double total = 0.0;
    weighted = 0.0;
    for (size_t b = 0; b < blocks_; ++b) {
        total += sums[b];
        weighted += products[b];
    }
    return total;
}

void Row::moments(double &count, double &sum, double &squares) {
    double *counts = room(w_.counts, blocks_), *sums = room(w_.sums, blocks_), *second = room(w_.more_sums, blocks_);
    for_runs([&](const float *x, size_t blocks, const uint32_t *mask, size_t first) {
        k_.moments(x, blocks, mask, largest_, counts + first, sums + first, second + first);
    });
    count = sum = squares = 0.0;
    for (size_t b = 0; b < blocks_; ++b) {
        count += counts[b];
        sum += sums[b];
        squares += second[b];
    }
}

void Row::distances(float scale, float centre) {
    float *keys = room(w_.keys, blocks_ * kBlock);
    for_runs([&](const float *x, size_t blocks, const uint32_t *mask, size_t first) {
        k_.distances(x, blocks, mask, largest_, scale, centre, keys + first * kBlock);
    });
}

size_t Row::collect(float threshold, ValueList &list) const {
    size_t count = 0;
    int32_t places[kCollected];
    for (size_t b = 0; b < blocks_; ++b) {
        if (!(w_.block_largest[b] >= threshold)) continue;
        const uint32_t *mask;
        const float *x = block(b, mask);
        float *values = room(list.values, count + kCollected) + count;
        const int found = k_.collect(x, mask, threshold, places, values);
        int32_t *ids = room(list.ids, count + kCollected) + count;
        for (int i = 0; i < found; ++i) ids[i] = id(b * kBlock + static_cast<size_t>(places[i]));
        count += static_cast<size_t>(found);
    }
    return count;
}

float Row::threshold_for(size_t k) {
    const float *values = w_.block_largest.data();
    size_t count = blocks_;
    if (k > count) {
        float *groups = room(w_.group_largest, blocks_ * kGroups);
        for_runs([&](const float *x, size_t blocks, const uint32_t *mask, size_t first) {
            k_.group_max(x, blocks, mask, groups + first * kGroups);
        });
        values = groups;
        count = blocks_ * kGroups;
    }
    if (k > count) return kLowest;
    float *scratch = room(w_.scratch, count);
    std::copy(values, values + count, scratch);
    std::nth_element(scratch, scratch + (k - 1), scratch + count, std::greater<float>());
    return std::max(scratch[k - 1], kLowest);
}

size_t Row::find(double target, float scale, double &weight) {
    const uint32_t *mask;
    float e[kBlock];
    bool is_past;
    double reached, sum;
    const size_t b = find_block(target, reached, is_past);
    const float *x = block(b, mask);
    k_.exp_sums(x, 1, mask, largest_, scale, &sum, e);
    return b * kBlock + find_in_block(e, target, reached, is_past, weight);
}

size_t Row::find_stored(double target, double &weight) const {
    bool is_past;
    double reached;
    const size_t b = find_block(target, reached, is_past);
    return b * kBlock + find_in_block(w_.weights.data() + b * kBlock, target, reached, is_past, weight);
}

// The block where the running sum passes `target`, with what was `reached` before it; the last that has any where none does.
size_t Row::find_block(double target, double &running, bool &is_past) const {
    const double *sums = w_.sums.data();
    running = 0.0;
    is_past = false;
    size_t last = 0;
    for (size_t b = 0; b < blocks_; ++b) {
        if (sums[b] <= 0.0) continue;
        last = b;
        if (running + sums[b] > target) return b;
        running += sums[b];
    }
    is_past = true;
    return last;
}

}  // namespace edgellm::sampling
