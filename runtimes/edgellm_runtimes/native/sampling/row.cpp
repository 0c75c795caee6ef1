#include "row.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "running_sum.h"
#include "scalar_math.h"

namespace edgellm::sampling {
namespace {

constexpr size_t kMaskWords = kBlock / 32;

inline bool allowed(const uint32_t *mask, size_t i) { return !mask || (mask[i / 32] >> (i % 32) & 1u); }

// Kernels take the factor of an exponent of 2.
inline float base_two(double scale) { return static_cast<float>(scale * 1.4426950408889634); }

constexpr size_t kBuckets = 256;  // of a histogram of maxima

// A threshold that at least `k` of the `count` values reach, and few more than `k`: from a histogram between the largest
// one, `high`, and the least of some.
float reached_by(const float *values, size_t count, size_t k, float high, float *scratch) {
    float low = high;
    for (size_t i = 0; i < count; i += 8) low = values[i] >= kLowest && values[i] < low ? values[i] : low;
    const float range = high - low, width = static_cast<float>(kBuckets) / range;
    if (k <= count / 4 && high <= -kLowest && range > 0.0f && range <= -kLowest && width <= -kLowest) {
        uint32_t sizes[kBuckets + 1] = {};
        for (size_t i = 0; i < count; ++i) {
            const float place = (high - values[i]) * width;
            ++sizes[static_cast<int32_t>(place < static_cast<float>(kBuckets) ? place : static_cast<float>(kBuckets))];
        }
        size_t last = 0;
        for (size_t found = sizes[0]; found < k && last < kBuckets; found += sizes[last]) ++last;
        const float rounding = 1e-5f * range + 1e-6f * (high < 0.0f ? -high : high);
        if (last < kBuckets) return high - static_cast<float>(last + 1) / width - rounding;
    }
    std::copy(values, values + count, scratch);
    std::nth_element(scratch, scratch + (k - 1), scratch + count, std::greater<float>());
    return scratch[k - 1];
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
        const size_t count = std::min(static_cast<size_t>(kBlock), n_ - start);
        std::copy(x_ + start, x_ + start + count, copy);
        std::fill(copy + count, copy + kBlock, -HUGE_VALF);
        if (mask_)
            for (size_t j = 0; j < count; ++j) copy[j] = allowed(mask_, start + j) ? copy[j] : -HUGE_VALF;
        std::move_backward(place, end, end + 1);
        *place = TouchedBlock{b, static_cast<uint32_t>(touched_++)};
    }
    if (allowed(mask_, i)) w_.copies[static_cast<size_t>(place->slot) * kBlock + i % kBlock] = value;
}

bool Row::find_largest() {
    float *largest = room(w_.block_largest, (blocks_ / kBlock + 1) * kBlock);
    bool bad = false;
    for_runs([&](const float *x, size_t blocks, const uint32_t *mask, size_t first) {
        bad = k_.block_max(x, blocks, mask, largest + first) || bad;
    });
    largest_ = largest_of_blocks();
    return !bad;
}

bool Row::find_changed() {
    for (size_t t = 0; t < touched_; ++t) {
        const float *copy = w_.copies.data() + static_cast<size_t>(w_.touched[t].slot) * kBlock;
        if (k_.block_max(copy, 1, nullptr, &w_.block_largest[w_.touched[t].block])) return false;
    }
    largest_ = largest_of_blocks();
    return true;
}

float Row::largest_of_blocks() {
    float *largest = w_.block_largest.data(), found = -HUGE_VALF;
    const size_t padded = (blocks_ + kBlock - 1) / kBlock;
    std::fill(largest + blocks_, largest + padded * kBlock, -HUGE_VALF);
    size_t place;
    k_.find_largest(largest, padded, nullptr, &found, &place);
    return found + 0.0f;  // of two zeros processors take either: make it +0
}

bool Row::find_only_largest() {
    bool bad = false;
    float best = -HUGE_VALF;
    place_ = 0;
    for_runs([&](const float *x, size_t blocks, const uint32_t *mask, size_t first) {
        const float before = best;
        size_t place = 0;
        bad = k_.find_largest(x, blocks, mask, &best, &place) || bad;
        if (best > before) place_ = first * kBlock + place;
    });
    largest_ = best + 0.0f;
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

size_t Row::first_largest() const {
    const float *largest = w_.block_largest.data();
    const size_t found = static_cast<size_t>(std::find(largest, largest + blocks_, largest_) - largest);
    if (found == blocks_) return 0;  // a row of NaN
    const uint32_t *mask;
    const float *x = block(found, mask);
    int32_t places[kBlock];
    float values[kBlock];
    k_.collect(x, mask, largest_, places, values);
    return found * kBlock + static_cast<size_t>(places[0]);
}

double Row::sum_exps(double scale, std::vector<float> *stored) {
    const float factor = base_two(scale);
    double *sums = room(w_.sums, blocks_);
    float *to = stored ? room(*stored, blocks_ * kBlock) : nullptr;
    for_runs([&](const float *x, size_t blocks, const uint32_t *mask, size_t first) {
        k_.exp_sums(x, blocks, mask, largest_, factor, sums + first, to ? to + first * kBlock : nullptr);
    });
    double total = 0.0;
    for (size_t b = 0; b < blocks_; ++b) total += sums[b];
    return total;
}

double Row::log_sum_exps() {
    const double scale = static_cast<double>(base_two(1.0));
    const float reference = static_cast<float>(static_cast<double>(largest_) * scale);
    if (!(reference > -1e6f && reference < 1e6f)) return exact_log(sum_exps(1.0));  // so large that rounding it costs powers of two
    double total = 0.0;
    for_runs([&](const float *x, size_t blocks, const uint32_t *mask, size_t) {
        total += k_.exp_total(x, blocks, mask, base_two(1.0), reference);
    });
    // what the reference was rounded by
    return exact_log(total) + (static_cast<double>(reference) - static_cast<double>(largest_) * scale) * kLn2;
}

double Row::sum_entropy(double scale, double &weighted, std::vector<float> *stored) {
    const float factor = base_two(scale);
    double *sums = room(w_.sums, blocks_), *products = room(w_.more_sums, blocks_);
    float *to = stored ? room(*stored, blocks_ * kBlock) : nullptr;
    for_runs([&](const float *x, size_t blocks, const uint32_t *mask, size_t first) {
        k_.exp_entropy(x, blocks, mask, largest_, factor, sums + first, products + first,
                       to ? to + first * kBlock : nullptr);
    });
    double total = 0.0;
    weighted = 0.0;
    for (size_t b = 0; b < blocks_; ++b) {
        total += sums[b];
        weighted += products[b];
    }
    weighted *= kLn2;
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

void Row::distances(double scale, double centre) {
    const float factor = base_two(scale), middle = static_cast<float>(centre / kLn2);
    float *keys = room(w_.keys, blocks_ * kBlock);
    for_runs([&](const float *x, size_t blocks, const uint32_t *mask, size_t first) {
        k_.distances(x, blocks, mask, largest_, factor, middle, keys + first * kBlock);
    });
}

size_t Row::collect(float threshold, ValueList &list) const {
    size_t count = 0;
    float *values = room(list.values, blocks_ * kBlock);
    int32_t *ids = room(list.ids, blocks_ * kBlock);
    const auto collect_block = [&](const float *x, const uint32_t *mask, size_t b) {
        int32_t *places = ids + count;
        const int found = k_.collect(x, mask, threshold, places, values + count);
        const int32_t first = static_cast<int32_t>(b) * kBlock;
        if (ids_)
            for (int i = 0; i < found; ++i) places[i] = ids_[first + places[i]];
        else
            for (int i = 0; i < found; ++i) places[i] += first;
        count += static_cast<size_t>(found);
    };
    for_runs([&](const float *x, size_t blocks, const uint32_t *mask, size_t first) {
        for (size_t b = 0; b < blocks; ++b)
            if (w_.block_largest[first + b] >= threshold)
                collect_block(x + b * kBlock, mask ? mask + b * kMaskWords : nullptr, first + b);
    });
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
    return std::max(reached_by(values, count, k, largest_, room(w_.scratch, count)), kLowest);
}

size_t Row::find(double target, double scale, double &weight) {
    const BlockPlace at = find_block(w_.sums.data(), blocks_, target);
    const uint32_t *mask;
    const float *x = block(at.block, mask);
    float e[kBlock];
    double sum;
    k_.exp_sums(x, 1, mask, largest_, base_two(scale), &sum, e);
    return at.block * kBlock + find_in_block(e, target, at, weight);
}

}  // namespace edgellm::sampling
