// Included into each instruction set's translation unit. tests/int_blocks_reference.py has the same arithmetic in numpy.
//
// A block of 4 bits tries a number of scales; each is refined by least squares for the levels l that it gives, and the one
// with the smallest squared error, sum(x x) - sum(x l)^2 / sum(l l), is kept. Sums go over a block from its first value to
// its last, so that all processors round alike: one block per vector lane, and two vectors side by side to hide latency.

namespace {

constexpr int kIntGroups = 2;
constexpr size_t kIntAtOnce = kLanes * kIntGroups;
constexpr int kSearchSteps = 9;  // on either side of the plain scale, 0.1 levels apart
constexpr float kByteLimit = 127.0f;
constexpr float kLargestFloat = 3.4028235e38f;

using IntVectors = Float[kIntGroups];

inline Float rounded(Float value) { return value + kRoundMagic - kRoundMagic; }

inline Float inverse_or_zero(Float value) {
    const Float inverse = 1.0f / value;
    return absolute(inverse) <= kLargestFloat ? inverse : Float{};
}

// Levels relative to the zero point lie from `lowest` to `lowest` + 15.
inline Float nibble_level(Float x, Float factor, Float lowest, Float highest) {
    return smaller(larger(rounded(x * factor), lowest), highest);
}

struct NibbleFit {
    Float factor = {}, lowest = {}, scale = {}, gain = Float{} - 1.0f;
};

inline void offer(const IntVectors *x, size_t count, const IntVectors &factor, const IntVectors &lowest, NibbleFit *best) {
    IntVectors product = {}, square = {}, highest;
    for (int g = 0; g < kIntGroups; ++g) highest[g] = lowest[g] + 15.0f;
    for (size_t i = 0; i < count; ++i) {
        for (int g = 0; g < kIntGroups; ++g) {
            const Float level = nibble_level(x[i][g], factor[g], lowest[g], highest[g]);
            product[g] += x[i][g] * level;
            square[g] += level * level;
        }
    }
    for (int g = 0; g < kIntGroups; ++g) {
        const Float scale = square[g] > 0.0f ? product[g] / square[g] : Float{};
        const Float gain = product[g] * scale;
        const Int better = gain > best[g].gain;
        best[g].factor = better ? factor[g] : best[g].factor;
        best[g].lowest = better ? lowest[g] : best[g].lowest;
        best[g].scale = better ? scale : best[g].scale;
        best[g].gain = better ? gain : best[g].gain;
    }
}

inline void search_nibbles(const IntVectors *x, size_t count, bool symmetric, NibbleFit *best) {
    IntVectors low, high, inverse, factor, lowest;
    for (int g = 0; g < kIntGroups; ++g) {
        low[g] = high[g] = x[0][g];
        for (size_t i = 1; i < count; ++i) {
            low[g] = smaller(x[i][g], low[g]);
            high[g] = larger(x[i][g], high[g]);
        }
        if (symmetric) {  // the number of largest magnitude gets -8, which has no positive counterpart
            inverse[g] = inverse_or_zero(high[g] >= -low[g] ? high[g] : low[g]);
        } else {
            low[g] = smaller(low[g], Float{});
            inverse[g] = inverse_or_zero(larger(high[g], Float{}) - low[g]);
        }
    }
    for (int step = -kSearchSteps; step <= kSearchSteps; ++step) {
        const float more = 0.1f * static_cast<float>(step);
        for (int g = 0; g < kIntGroups; ++g) {
            factor[g] = inverse[g] * (symmetric ? -(8.0f + more) : 15.0f + more);
            const Float zero = smaller(larger(rounded(-low[g] * factor[g]), Float{}), broadcast(15.0f));
            lowest[g] = symmetric ? broadcast(-8.0f) : -zero;
        }
        offer(x, count, factor, lowest, best);
    }
}

// Where the blocks of a matrix lie.
struct IntTarget {
    const edgellm::IntBlockFormat &format;
    uint8_t *levels;
    float *scales;
    uint8_t *zeros;

    void put_zero(size_t block, int zero) const {
        const size_t in_row = block % format.blocks();
        uint8_t &pair = zeros[block / format.blocks() * format.zero_bytes() + in_row / 2];
        pair = static_cast<uint8_t>(in_row % 2 ? pair | zero << 4 : zero);
    }
};

inline void load_block(const float *values, const edgellm::IntBlockFormat &format, size_t block, float *to, size_t stride) {
    const size_t row = block / format.blocks(), first = block % format.blocks() * format.block_size;
    const size_t left = format.row_length - first;
    const size_t count = left < format.block_size ? left : format.block_size;
    const float *from = values + row * format.row_length + first;
    for (size_t i = 0; i < count; ++i) to[i * stride] = from[i];
    for (size_t i = count; i < format.block_size; ++i) to[i * stride] = 0.0f;
}

inline void quantize_nibbles(const float *values, size_t n_blocks, const IntTarget &target) {
    const edgellm::IntBlockFormat &format = target.format;
    IntVectors x[edgellm::kLargestIntBlock] = {};
    int32_t levels[edgellm::kLargestIntBlock][kIntAtOnce];
    for (size_t first = 0; first < n_blocks; first += kIntAtOnce) {
        const size_t count = n_blocks - first < kIntAtOnce ? n_blocks - first : kIntAtOnce;
        for (size_t lane = 0; lane < count; ++lane) {
            load_block(values, format, first + lane, reinterpret_cast<float *>(x) + lane, kIntAtOnce);
        }
        NibbleFit fits[kIntGroups];
        search_nibbles(x, format.block_size, format.symmetric, fits);
        for (size_t i = 0; i < format.block_size; ++i) {
            for (int g = 0; g < kIntGroups; ++g) {
                const NibbleFit &fit = fits[g];
                const Float level = nibble_level(x[i][g], fit.factor, fit.lowest, fit.lowest + 15.0f) - fit.lowest;
                const Int bits = bits_of(level + kRoundMagic) & 15;
                std::memcpy(&levels[i][g * kLanes], &bits, sizeof bits);
            }
        }
        for (size_t lane = 0; lane < count; ++lane) {
            const NibbleFit &fit = fits[lane / kLanes];
            uint8_t *to = target.levels + (first + lane) * format.block_size / 2;
            for (size_t i = 0; i < format.block_size; i += 2) {
                to[i / 2] = static_cast<uint8_t>(levels[i][lane] | levels[i + 1][lane] << 4);
            }
            target.scales[first + lane] = fit.scale[lane % kLanes];
            if (!format.symmetric) target.put_zero(first + lane, static_cast<int>(-fit.lowest[lane % kLanes]));
        }
    }
}

inline float largest_magnitude(const float *x, size_t count) {
    Float largest = absolute(load(x));
    for (size_t i = kLanes; i < count; i += kLanes) largest = larger(absolute(load(x + i)), largest);
    float found = largest[0];
    for (int lane = 1; lane < kLanes; ++lane) found = largest[lane] > found ? largest[lane] : found;
    return found;
}

inline void quantize_bytes(const float *values, size_t n_blocks, const IntTarget &target) {
    const size_t size = target.format.block_size;
    alignas(64) float x[edgellm::kLargestIntBlock];
    int32_t levels[edgellm::kLargestIntBlock];
    for (size_t block = 0; block < n_blocks; ++block) {
        load_block(values, target.format, block, x, 1);
        const float scale = largest_magnitude(x, size) / kByteLimit;
        const Float inverse = inverse_or_zero(broadcast(scale));
        for (size_t i = 0; i < size; i += kLanes) {
            const Float level = smaller(larger(load(x + i) * inverse, broadcast(-kByteLimit)), broadcast(kByteLimit));
            const Int bits = bits_of(level + (kRoundMagic + 128.0f)) & 255;
            std::memcpy(levels + i, &bits, sizeof bits);
        }
        for (size_t i = 0; i < size; ++i) target.levels[block * size + i] = static_cast<uint8_t>(levels[i]);
        target.scales[block] = scale;
    }
}

inline void quantize_int_blocks(const float *values, size_t rows, const edgellm::IntBlockFormat &format, uint8_t *levels,
                                float *scales, uint8_t *zeros) {
    const IntTarget target{format, levels, scales, zeros};
    const size_t n_blocks = rows * format.blocks();
    format.bits == 4 ? quantize_nibbles(values, n_blocks, target) : quantize_bytes(values, n_blocks, target);
}

}  // namespace
