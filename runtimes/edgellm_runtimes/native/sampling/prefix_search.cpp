#include "prefix_search.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "candidate_key.h"

namespace edgellm::sampling {
namespace {

constexpr size_t kSorted = 1024;   // so few undecided places are sorted
constexpr size_t kSamples = 512;   // keys that the first pivots are taken from

bool reached(double mass, double target, bool passes) { return passes ? mass > target : mass >= target; }

}  // namespace

double PrefixSearch::run(double target, bool passes) {
    if (target <= 0.0) passes = true;  // the set that no weight is asked of has one place, not none
    narrow(target, passes);
    decide(target, passes);
    return cut();
}

// Draws [least, sure) together around the key where the target is reached. Keys are compared as ordered integers, so that
// the interval ends however they are spread.
void PrefixSearch::narrow(double target, bool passes) {
    const size_t n = blocks_ * kBlock;
    float sample[kSamples];
    const size_t step = std::max<size_t>(1, n / kSamples), samples = std::min(kSamples, n / step);
    std::pair<float, float> drawn[kSamples];
    double sample_mass = 0.0, total = 0.0;
    for (size_t i = 0; i < samples; ++i) {
        drawn[i] = {keys_[i * step], weights_[i * step]};
        sample_mass += static_cast<double>(drawn[i].second);
    }
    std::sort(drawn, drawn + samples, [](const auto &a, const auto &b) { return a.first > b.first; });
    for (size_t i = 0; i < samples; ++i) sample[i] = drawn[i].first;
    for (size_t b = 0; b < blocks_; ++b) total += w_.sums[b];  // of the pass that stored the weights

    uint32_t low = ordered_bits(-HUGE_VALF), high = ordered_bits(HUGE_VALF);
    double count_low = static_cast<double>(n), count_high = 0.0;
    mass_above_ = 0.0;
    bool is_first = true;
    while (count_low - count_high > static_cast<double>(kSorted) && high - low > 1) {
        float pivots[kPivots];
        if (is_first && sample_mass > 0.0) {
            const double wanted[kPivots] = {target - 0.06 * total, target - 0.01 * total, target + 0.01 * total,
                                            target + 0.06 * total};
            double mass = 0.0;
            size_t next = 0;
            for (int i = 0; i < kPivots; ++i) {
                while (next + 1 < samples && mass < wanted[i] / total * sample_mass)
                    mass += static_cast<double>(drawn[next++].second);
                pivots[i] = sample[next];
            }
        } else {
            const uint64_t width = static_cast<uint64_t>(high) - low;
            for (int i = 0; i < kPivots; ++i) {
                const uint64_t share = width * static_cast<uint64_t>(kPivots - i) / (kPivots + 1);
                pivots[i] = from_ordered_bits(low + static_cast<uint32_t>(share));
            }
        }
        is_first = false;
        double masses[kPivots], counts[kPivots];
        k_.mass_above(keys_, weights_, blocks_, pivots, masses, counts);
        for (int i = 0; i < kPivots; ++i) {
            const uint32_t pivot = ordered_bits(pivots[i] == 0.0f ? 0.0f : pivots[i]);
            if (reached(masses[i], target, passes)) {
                if (pivot > low) {
                    low = pivot;
                    count_low = counts[i];
                }
            } else if (pivot < high) {
                high = pivot;
                count_high = counts[i];
                mass_above_ = masses[i];
            }
        }
    }
    least_ = from_ordered_bits(low);
    sure_ = from_ordered_bits(high);
}

void PrefixSearch::decide(double target, bool passes) {
    least_ = std::max(least_, -std::numeric_limits<float>::max());
    size_t count = 0;
    int32_t places[kCollected];
    float found_keys[kCollected];
    for (size_t b = 0; b < blocks_; ++b) {
        const int found = k_.between(keys_ + b * kBlock, least_, sure_, places, found_keys);
        Key *keys = room(w_.candidates, count + kBlock) + count;
        for (int i = 0; i < found; ++i)
            keys[i] = candidate_key(found_keys[i], static_cast<int32_t>(b * kBlock) + places[i]);
        count += static_cast<size_t>(found);
    }
    Key *keys = w_.candidates.data();
    std::sort(keys, keys + count);
    double mass = mass_above_;
    size_t kept = 0;
    while (kept < count) {
        mass += static_cast<double>(weights_[key_id(keys[kept++])]);
        if (reached(mass, target, passes)) break;
    }
    for (; kept < count; ++kept) weights_[key_id(keys[kept])] = 0.0f;
}

double PrefixSearch::cut() {
    double *sums = room(w_.sums, blocks_), total = 0.0;
    k_.cut(keys_, weights_, blocks_, least_, sums);
    for (size_t b = 0; b < blocks_; ++b) total += sums[b];
    return total;
}

}  // namespace edgellm::sampling
