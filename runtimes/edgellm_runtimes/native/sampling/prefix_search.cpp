#include "prefix_search.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "running_sum.h"
#include "scalar_math.h"

namespace edgellm::sampling {
namespace {

constexpr size_t kSorted = 512;       // so few undecided places are sorted
constexpr size_t kSamples = 2048;     // keys that the bracket is guessed from
constexpr uint32_t kBuckets = 2048;   // that they are counted in
constexpr double kDeviations = 2.5;   // of the sample's error on either side

float next_below(float value) { return from_ordered_bits(ordered_bits(value) - 1); }

}  // namespace

double PrefixSearch::run(const float *keys, float *weights, size_t blocks, double total, double target, bool passes) {
    keys_ = keys;
    weights_ = weights;
    blocks_ = blocks;
    target_ = target;
    passes_ = passes || target <= 0.0;  // the set that no weight is asked of has one place, not none

    Level level{keys, weights, blocks, blocks * kBlock, 0.0};
    double *sums = room(w_.sums, blocks);
    BorderList *border = &w_.borders[0];
    bracket_ = guess(level, total);
    sure_mass_ = list(level, bracket_, sums, *border);
    if (!holds(sure_mass_, *border)) {
        bracket_ = bisect(level);
        sure_mass_ = list(level, bracket_, sums, *border);
    }
    level.above = sure_mass_;
    Bracket bracket = bracket_;
    for (size_t depth = 1; border->count > kSorted && bracket.least < next_below(bracket.sure); ++depth) {
        level = Level{border->keys.data(), border->weights.data(), border->blocks(), border->count, level.above};
        BorderList &inner = w_.borders[1 + depth % 2];
        double *inner_sums = room(w_.more_sums, level.blocks);
        bracket = guess(level, border->mass);
        double above = level.above + list(level, bracket, inner_sums, inner);
        if (!holds(above, inner) || inner.count == border->count) {
            bracket = bisect(level);
            above = level.above + list(level, bracket, inner_sums, inner);
        }
        for (size_t i = 0; i < inner.count; ++i) inner.places[i] = border->places[static_cast<size_t>(inner.places[i])];
        level.above = above;
        border = &inner;
    }

    Key *candidates = room(w_.candidates, border->count);
    for (size_t i = 0; i < border->count; ++i) candidates[i] = candidate_key(border->keys[i], border->places[i]);
    if (!std::is_sorted(candidates, candidates + border->count)) std::sort(candidates, candidates + border->count);
    double mass = level.above;
    last_ = candidate_key(bracket.sure, -1);  // every place with this key
    for (size_t i = 0; i < border->count && !reached(mass); ++i) {
        last_ = candidates[i];
        mass += static_cast<double>(weights_[key_id(last_)]);
    }
    return mass;
}

size_t PrefixSearch::find(double target, double &weight) const {
    if (sure_mass_ > 0.0 && target < sure_mass_) return find_sure(target, weight);
    const BorderList &border = w_.borders[0];
    double mass = sure_mass_;
    size_t chosen = 0;
    weight = 0.0;
    for (size_t i = 0; i < border.count; ++i) {
        if (!(border.weights[i] > 0.0f) || !is_in(border.keys[i], border.places[i])) continue;
        chosen = static_cast<size_t>(border.places[i]);
        weight = static_cast<double>(border.weights[i]);
        mass += weight;
        if (mass > target) break;
    }
    return weight > 0.0 ? chosen : find_sure(HUGE_VAL, weight);
}

size_t PrefixSearch::find_sure(double target, double &weight) const {
    const BlockPlace at = find_block(w_.sums.data(), blocks_, target);
    const float *keys = keys_ + at.block * kBlock, *weights = weights_ + at.block * kBlock;
    float e[kBlock];
    for (size_t i = 0; i < kBlock; ++i) e[i] = keys[i] >= bracket_.sure ? weights[i] : 0.0f;
    return at.block * kBlock + find_in_block(e, target, at, weight);
}

double PrefixSearch::apply(float *weights) const {
    const BorderList &border = w_.borders[0];
    for (size_t i = 0; i < border.count; ++i)
        if (!is_in(border.keys[i], border.places[i])) weights[border.places[i]] = 0.0f;
    double *sums = room(w_.sums, blocks_), total = 0.0;
    k_.cut(keys_, weights, blocks_, bracket_.least, sums);
    for (size_t b = 0; b < blocks_; ++b) total += sums[b];
    return total;
}

// Where the border most likely lies, from every n-th key, in buckets of their ordered bits: logarithmic ones. The weight
// above a key is estimated from the sample above it, or as the total less what is estimated below it, whichever has the
// smaller error; the error is that of a Poisson sample.
PrefixSearch::Bracket PrefixSearch::guess(const Level &level, double total) const {
    const size_t step = (level.count + kSamples - 1) / kSamples;
    uint32_t low = UINT32_MAX, high = 0;
    for (size_t i = 0; i < level.count; i += step) {
        const uint32_t bits = ordered_bits(level.keys[i]);
        low = std::min(low, bits);
        high = std::max(high, bits);
    }
    int shift = 0;
    while ((high - low) >> shift >= kBuckets) ++shift;
    double weights[kBuckets] = {}, squares[kBuckets] = {}, square_total = 0.0;
    for (size_t i = 0; i < level.count; i += step) {
        const double weight = static_cast<double>(level.weights[i]);
        const uint32_t bucket = (ordered_bits(level.keys[i]) - low) >> shift;
        weights[bucket] += weight;
        squares[bucket] += weight * weight;
        square_total += weight * weight;
    }
    double sample_total = 0.0;
    for (const double weight : weights) sample_total += weight;

    const double each = static_cast<double>(step), wanted = target_ - level.above;
    double above = 0.0, squares_above = 0.0;  // of this bucket and those before it, from the highest
    Bracket bracket{kLowest, HUGE_VALF};
    for (uint32_t bucket = (high - low) >> shift;; --bucket) {
        above += weights[bucket];
        squares_above += squares[bucket];
        const double squares_below = std::max(0.0, square_total - squares_above);
        const bool from_above = squares_above < squares_below;
        const double mass = from_above ? each * above : total - each * (sample_total - above);
        const double error = kDeviations * each * exact_sqrt(from_above ? squares_above : squares_below);
        const float edge = from_ordered_bits(low + (bucket << shift));  // the least key of this bucket
        if (mass + error < wanted) bracket.sure = edge;
        if (mass - error >= wanted) {
            bracket.least = std::max(kLowest, edge);
            break;
        }
        if (bucket == 0) break;
    }
    return bracket;
}

// Draws the bracket together with four pivots at a time. Keys are compared as ordered integers, so that this ends however
// they are spread.
PrefixSearch::Bracket PrefixSearch::bisect(const Level &level) const {
    uint32_t low = ordered_bits(kLowest), high = ordered_bits(HUGE_VALF);
    double count_low = static_cast<double>(level.count), count_high = 0.0;
    while (count_low - count_high > static_cast<double>(kSorted) && high - low > 1) {
        float pivots[kPivots];
        const uint64_t width = static_cast<uint64_t>(high) - low;
        for (int i = 0; i < kPivots; ++i) {
            const uint64_t share = width * static_cast<uint64_t>(kPivots - i) / (kPivots + 1);
            pivots[i] = from_ordered_bits(low + static_cast<uint32_t>(share));
        }
        double masses[kPivots], counts[kPivots];
        k_.mass_above(level.keys, level.weights, level.blocks, pivots, masses, counts);
        for (int i = 0; i < kPivots; ++i) {
            const uint32_t pivot = ordered_bits(pivots[i] == 0.0f ? 0.0f : pivots[i]);
            if (reached(level.above + masses[i])) {
                if (pivot > low) {
                    low = pivot;
                    count_low = counts[i];
                }
            } else if (pivot < high) {
                high = pivot;
                count_high = counts[i];
            }
        }
    }
    return {from_ordered_bits(low), from_ordered_bits(high)};
}

// Lists what lies in the bracket; `sums` of the blocks above it. Returns their sum.
double PrefixSearch::list(const Level &level, Bracket bracket, double *sums, BorderList &border) const {
    border.reserve(level.count);
    border.count = k_.split(level.keys, level.weights, level.blocks, bracket.least, bracket.sure, sums,
                            border.places.data(), border.keys.data());
    border.mass = 0.0;
    for (size_t i = 0; i < border.count; ++i) {
        border.weights[i] = level.weights[border.places[i]];
        border.mass += static_cast<double>(border.weights[i]);
    }
    border.pad();
    double mass = 0.0;
    for (size_t b = 0; b < level.blocks; ++b) mass += sums[b];
    return mass;
}

bool PrefixSearch::holds(double above, const BorderList &border) const {
    return !reached(above) && reached(above + border.mass);
}

}  // namespace edgellm::sampling
