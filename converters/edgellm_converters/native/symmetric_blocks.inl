// Q6_K: x ~ scale * level, level from -32 to 31, sub-blocks of 16 values, 16 of them in a super-block; one sub-block per
// vector lane. Included into each instruction set's translation unit.

namespace {

constexpr int kSymmetricValues = 16;
constexpr int kSymmetricSubBlocks = 16;
constexpr int kHalfLevels = 32;
constexpr float kNothing = 1e-15f;  // a sub-block whose largest magnitude is below this is all zeros

struct SymmetricFit {
    Float scale, best, inverse;  // the best levels are round(inverse * x)
    Float largest;               // the value of largest magnitude, signed
    Int nothing, bad;
};

template <int kGroups> struct SymmetricValues {
    Float x[kSymmetricValues][kGroups];
    Float weight[kSymmetricValues][kGroups];    // x * x
    Float weighted[kSymmetricValues][kGroups];  // x * x * x
};

template <int kGroups> void survey(SymmetricValues<kGroups> &values, SymmetricFit *fits) {
    for (int g = 0; g < kGroups; ++g) {
        Float magnitude{}, largest{}, sum{};
        for (int i = 0; i < kSymmetricValues; ++i) {
            const Float x = values.x[i][g];
            const Int grows = absolute(x) > magnitude;
            largest = grows ? x : largest;
            magnitude = larger(absolute(x), magnitude);
            sum += absolute(x);
            values.weight[i][g] = x * x;
            values.weighted[i][g] = x * x * x;
        }
        fits[g].largest = largest;
        fits[g].nothing = magnitude < kNothing;
        fits[g].bad = ~(sum <= 3.0e38f);  // infinite or NaN: some value is
    }
}

inline Float symmetric_level(Float x, Float inverse) {
    const Float rounded = inverse * x + kRoundMagic;
    const Float low = broadcast(kRoundMagic - kHalfLevels), high = broadcast(kRoundMagic + (kHalfLevels - 1));
    return smaller(larger(rounded, low), high) - kRoundMagic;
}

// One step of the scan: levels made with `inverse`, and the scale of least squares for them.
template <int kGroups>
inline void try_inverse(const SymmetricValues<kGroups> &values, SymmetricFit *fits, float levels, bool first) {
    Float inverse[kGroups], sum_lx[kGroups], sum_l2[kGroups];
    for (int g = 0; g < kGroups; ++g) {
        inverse[g] = levels / fits[g].largest;
        sum_lx[g] = sum_l2[g] = Float{};
        fits[g].bad |= ~(absolute(inverse[g] * fits[g].largest) <= kRoundLimit) & ~fits[g].nothing;
    }
    for (int i = 0; i < kSymmetricValues; ++i) {
        for (int g = 0; g < kGroups; ++g) {
            const Float level = symmetric_level(values.x[i][g], inverse[g]);
            sum_lx[g] += values.weighted[i][g] * level;
            sum_l2[g] += values.weight[i][g] * level * level;
        }
    }
    for (int g = 0; g < kGroups; ++g) {
        SymmetricFit &fit = fits[g];
        const Float scale = sum_lx[g] / sum_l2[g];
        if (first) {
            fit.scale = sum_l2[g] != 0.0f ? scale : Float{};
            fit.best = fit.scale * sum_lx[g];
            fit.inverse = inverse[g];
            continue;
        }
        const Int better = (sum_l2[g] > 0.0f) & (sum_lx[g] * sum_lx[g] > fit.best * sum_l2[g]);
        fit.scale = better ? scale : fit.scale;
        fit.best = better ? scale * sum_lx[g] : fit.best;
        fit.inverse = better ? inverse[g] : fit.inverse;
    }
}

template <int kGroups> void search(SymmetricValues<kGroups> &values, SymmetricFit *fits) {
    survey(values, fits);
    bool all_nothing = true;
    for (int g = 0; g < kGroups; ++g) all_nothing = all_nothing && !any(~fits[g].nothing);
    try_inverse(values, fits, -float(kHalfLevels), true);
    for (int step = -9; step <= 9 && !all_nothing; ++step) {
        if (step != 0) try_inverse(values, fits, -(float(kHalfLevels) + 0.1f * static_cast<float>(step)), false);
    }
    for (int g = 0; g < kGroups; ++g) fits[g].scale = fits[g].nothing ? Float{} : fits[g].scale;
}

struct SymmetricSuperBlock {
    float scale[kSymmetricSubBlocks], inverse[kSymmetricSubBlocks];
    bool nothing[kSymmetricSubBlocks];
    bool bad;
};

template <int kGroups> SymmetricSuperBlock super_block(const SymmetricFit *fits, int first_lane) {
    SymmetricSuperBlock found{};
    for (int j = 0; j < kSymmetricSubBlocks; ++j) {
        const SymmetricFit &fit = fits[(first_lane + j) / kLanes];
        const int lane = (first_lane + j) % kLanes;
        found.scale[j] = fit.scale[lane];
        found.inverse[j] = fit.inverse[lane];
        found.nothing[j] = fit.nothing[lane] != 0;
        found.bad |= fit.bad[lane] != 0;
    }
    return found;
}

// levels: 0..63, or the search's own where the scale rounded to zero
inline void final_levels(const float *x, const SymmetricSuperBlock &found, float scale, const int8_t *scales,
                         int32_t *levels) {
    for (int j = 0; j < kSymmetricSubBlocks; ++j, x += kSymmetricValues, levels += kSymmetricValues) {
        const float factor = scale * static_cast<float>(scales[j]);
        if (factor != 0.0f) {
            for (int i = 0; i < kSymmetricValues; i += kLanes) {
                const Int bits = bits_of(load(x + i) / factor + kRoundMagic);
                const Int level = (bits & 0x007fffff) - 0x00400000;
                const Int capped = level > kHalfLevels - 1 ? Int{} + (kHalfLevels - 1) : level;
                const Int clipped = (capped < -kHalfLevels ? Int{} - kHalfLevels : capped) + kHalfLevels;
                std::memcpy(levels + i, &clipped, sizeof clipped);
            }
        } else {
            for (int i = 0; i < kSymmetricValues; ++i) {
                const int level = clamped(nearest_int(found.inverse[j] * x[i]), -kHalfLevels, kHalfLevels - 1);
                levels[i] = found.nothing[j] ? 0 : level + kHalfLevels;
            }
        }
    }
}

inline void write_q6_k_levels(const int32_t *levels, uint8_t *low, uint8_t *high) {
    for (int half = 0; half < 2; ++half, levels += 128, low += 64, high += 32) {
        for (int i = 0; i < 32; ++i) {
            const int32_t a = levels[i], b = levels[i + 32], c = levels[i + 64], d = levels[i + 96];
            low[i] = static_cast<uint8_t>((a & 15) | (c & 15) << 4);
            low[i + 32] = static_cast<uint8_t>((b & 15) | (d & 15) << 4);
            high[i] = static_cast<uint8_t>(a >> 4 | (b >> 4) << 2 | (c >> 4) << 4 | (d >> 4) << 6);
        }
    }
}

inline void write_q6_k(const float *x, const SymmetricSuperBlock &found, uint8_t *block) {
    alignas(64) int32_t levels[edgellm::kSuperBlock];
    float max_scale = 0, max_magnitude = 0;
    for (float scale : found.scale) {
        const float magnitude = __builtin_fabsf(scale);
        if (magnitude > max_magnitude) max_magnitude = magnitude, max_scale = scale;
    }
    std::memset(block, 0, edgellm::kQ6KBytes);
    if (max_magnitude < kNothing) return;
    const float inverse = -128.0f / max_scale;
    const uint16_t scale = half_from_float(1 / inverse);
    auto *scales = reinterpret_cast<int8_t *>(block + 192);
    for (int j = 0; j < kSymmetricSubBlocks; ++j) {
        const int rounded = nearest_int(inverse * found.scale[j]);
        scales[j] = static_cast<int8_t>(rounded < 127 ? rounded : 127);
    }
    std::memcpy(block + 208, &scale, 2);
    final_levels(x, found, float_from_half(scale), scales, levels);
    write_q6_k_levels(levels, block, block + 128);
}

template <int kGroups> void load_values(const float *x, size_t sub_blocks, SymmetricValues<kGroups> &values) {
    float *to = reinterpret_cast<float *>(values.x);
    constexpr size_t kStride = kLanes * kGroups;
    for (size_t lane = 0; lane < kStride; ++lane) {
        const float *from = x + (lane < sub_blocks ? lane * kSymmetricValues : 0);
        for (size_t i = 0; i < kSymmetricValues; ++i) to[i * kStride + lane] = lane < sub_blocks ? from[i] : 0.0f;
    }
}

template <int kGroups> void quantize_q6_k(const float *x, uint8_t *blocks, size_t super_blocks, uint8_t *left_over) {
    constexpr size_t kAtOnce = kLanes * kGroups / kSymmetricSubBlocks;
    SymmetricValues<kGroups> values;
    SymmetricFit fits[kGroups];
    for (size_t first = 0; first < super_blocks; first += kAtOnce) {
        const size_t count = super_blocks - first < kAtOnce ? super_blocks - first : kAtOnce;
        load_values<kGroups>(x + first * edgellm::kSuperBlock, count * kSymmetricSubBlocks, values);
        search<kGroups>(values, fits);
        for (size_t b = 0; b < count; ++b) {
            const SymmetricSuperBlock found = super_block<kGroups>(fits, static_cast<int>(b) * kSymmetricSubBlocks);
            left_over[first + b] = found.bad;
            if (found.bad) continue;
            write_q6_k(x + (first + b) * edgellm::kSuperBlock, found, blocks + (first + b) * edgellm::kQ6KBytes);
        }
    }
}

}  // namespace
