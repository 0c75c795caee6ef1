// Q4_K and Q5_K super-blocks: 8 sub-blocks of 32 values; two half-precision factors; 6-bit scales and minimums.
// Included into each instruction set's translation unit, after affine_search.inl.

namespace {

// What the search found for one super-block, as scalars.
struct AffineSuperBlock {
    float scale[kAffineSubBlocks], min[kAffineSubBlocks], inverse[kAffineSubBlocks], base[kAffineSubBlocks];
    bool constant[kAffineSubBlocks];
    bool bad;
};

struct AffineHeader {
    uint16_t scale, min;  // half precision
    uint8_t packed[12];
    uint8_t scale_6[kAffineSubBlocks], min_6[kAffineSubBlocks];
};

inline AffineHeader make_header(const AffineSuperBlock &found) {
    AffineHeader header{};
    float max_scale = 0, max_min = 0;
    for (int j = 0; j < kAffineSubBlocks; ++j) {
        if (found.scale[j] > max_scale) max_scale = found.scale[j];
        if (-found.min[j] > max_min) max_min = -found.min[j];
    }
    const float inverse_scale = max_scale > 0 ? 63.0f / max_scale : 0.0f;
    const float inverse_min = max_min > 0 ? 63.0f / max_min : 0.0f;
    for (int j = 0; j < kAffineSubBlocks; ++j) {
        const auto scale = static_cast<uint8_t>(nearest_int(inverse_scale * found.scale[j]));
        const auto min = static_cast<uint8_t>(nearest_int(inverse_min * -found.min[j]));
        header.scale_6[j] = scale < 63 ? scale : 63;
        header.min_6[j] = min < 63 ? min : 63;
    }
    for (int j = 0; j < 4; ++j) {
        const uint8_t s = header.scale_6[j + 4], m = header.min_6[j + 4];
        header.packed[j] = static_cast<uint8_t>(header.scale_6[j] | (s >> 4) << 6);
        header.packed[j + 4] = static_cast<uint8_t>(header.min_6[j] | (m >> 4) << 6);
        header.packed[j + 8] = static_cast<uint8_t>((s & 15) | (m & 15) << 4);
    }
    header.scale = half_from_float(max_scale / 63.0f);
    header.min = half_from_float(max_min / 63.0f);
    return header;
}

template <int kMaxLevel>
void final_levels(const float *x, const AffineSuperBlock &found, const AffineHeader &header, int32_t *levels) {
    const float scale = float_from_half(header.scale), min = float_from_half(header.min);
    for (int j = 0; j < kAffineSubBlocks; ++j, x += kAffineValues, levels += kAffineValues) {
        const float factor = scale * static_cast<float>(header.scale_6[j]);
        const float offset = min * static_cast<float>(header.min_6[j]);
        if (factor != 0.0f) {
            for (int i = 0; i < kAffineValues; i += kLanes) {
                const Int bits = bits_of((load(x + i) + offset) / factor + kRoundMagic);
                const Int level = (bits & 0x007fffff) - 0x00400000;
                const Int capped = level > kMaxLevel ? Int{} + kMaxLevel : level;
                const Int clipped = capped < 0 ? Int{} : capped;
                std::memcpy(levels + i, &clipped, sizeof clipped);
            }
        } else {  // the scale rounded to zero: the search's own levels stay
            for (int i = 0; i < kAffineValues; ++i) {
                const float steps = found.inverse[j] * (x[i] - found.base[j]);
                levels[i] = found.constant[j] ? 0 : clamped(nearest_int(steps), 0, kMaxLevel);
            }
        }
    }
}

inline uint8_t *write_header(const AffineHeader &header, uint8_t *block) {
    std::memcpy(block, &header.scale, 2);
    std::memcpy(block + 2, &header.min, 2);
    std::memcpy(block + 4, header.packed, 12);
    return block + 16;
}

inline void write_q4_k(const AffineHeader &header, const int32_t *levels, uint8_t *block) {
    uint8_t *low = write_header(header, block);
    for (int pair = 0; pair < 4; ++pair, levels += 64, low += 32) {
        for (int i = 0; i < 32; ++i) low[i] = static_cast<uint8_t>(levels[i] | levels[i + 32] << 4);
    }
}

inline void write_q5_k(const AffineHeader &header, const int32_t *levels, uint8_t *block) {
    uint8_t *high = write_header(header, block);
    uint8_t *low = high + 32;
    std::memset(high, 0, 32);
    for (int pair = 0; pair < 4; ++pair, levels += 64, low += 32) {
        for (int i = 0; i < 32; ++i) {
            low[i] = static_cast<uint8_t>((levels[i] & 15) | (levels[i + 32] & 15) << 4);
            high[i] = static_cast<uint8_t>(high[i] | ((levels[i] >> 4) | (levels[i + 32] >> 4) << 1) << (2 * pair));
        }
    }
}

template <int kGroups> void load_values(const float *x, size_t sub_blocks, AffineValues<kGroups> &values) {
    float *to = reinterpret_cast<float *>(values.x);
    constexpr size_t kStride = kLanes * kGroups;
    for (size_t lane = 0; lane < kStride; ++lane) {
        const float *from = x + (lane < sub_blocks ? lane * kAffineValues : 0);
        for (size_t i = 0; i < kAffineValues; ++i) to[i * kStride + lane] = lane < sub_blocks ? from[i] : 0.0f;
    }
}

template <int kGroups> AffineSuperBlock super_block(const AffineFit *fits, int first_lane) {
    AffineSuperBlock found{};
    for (int j = 0; j < kAffineSubBlocks; ++j) {
        const AffineFit &fit = fits[(first_lane + j) / kLanes];
        const int lane = (first_lane + j) % kLanes;
        found.scale[j] = fit.scale[lane];
        found.min[j] = fit.min[lane];
        found.inverse[j] = fit.inverse[lane];
        found.base[j] = fit.base[lane];
        found.constant[j] = fit.constant[lane] != 0;
        found.bad |= fit.bad[lane] != 0;
    }
    return found;
}

template <int kMaxLevel, int kSteps, int kGroups>
void quantize_affine(const float *x, uint8_t *blocks, size_t super_blocks, uint8_t *left_over, float first_offset) {
    constexpr size_t kAtOnce = kLanes * kGroups / kAffineSubBlocks;
    constexpr size_t kBytes = kMaxLevel == 15 ? edgellm::kQ4KBytes : edgellm::kQ5KBytes;
    AffineValues<kGroups> values;
    AffineFit fits[kGroups];
    alignas(64) int32_t levels[edgellm::kSuperBlock];
    for (size_t first = 0; first < super_blocks; first += kAtOnce) {
        const size_t count = super_blocks - first < kAtOnce ? super_blocks - first : kAtOnce;
        load_values<kGroups>(x + first * edgellm::kSuperBlock, count * kAffineSubBlocks, values);
        search<kMaxLevel, kSteps, kGroups>(values, fits, first_offset);
        for (size_t b = 0; b < count; ++b) {
            const AffineSuperBlock found = super_block<kGroups>(fits, static_cast<int>(b) * kAffineSubBlocks);
            left_over[first + b] = found.bad;
            if (found.bad) continue;
            const AffineHeader header = make_header(found);
            final_levels<kMaxLevel>(x + (first + b) * edgellm::kSuperBlock, found, header, levels);
            uint8_t *block = blocks + (first + b) * kBytes;
            kMaxLevel == 15 ? write_q4_k(header, levels, block) : write_q5_k(header, levels, block);
        }
    }
}

}  // namespace
