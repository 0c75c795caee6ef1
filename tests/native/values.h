// Test values of many kinds, the same on every machine: integer arithmetic and exact conversions only, no libm.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <vector>

namespace edgellm_tests {

inline float float_of_bits(uint32_t bits) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

// splitmix64 (Steele, Lea, Flood 2014).
class Random {
public:
    explicit Random(uint64_t seed) : state_(seed) {}

    uint64_t bits() {
        state_ += 0x9e3779b97f4a7c15u;
        uint64_t z = state_;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        return z ^ (z >> 31);
    }

    uint32_t bits32() { return static_cast<uint32_t>(bits() >> 32); }

    size_t below(size_t bound) { return static_cast<size_t>(bits() % bound); }

    // In [-1, 1), a multiple of 2^-23.
    float uniform() { return static_cast<float>(static_cast<int32_t>(bits32()) >> 8) * 0x1p-23f; }

    // Four uniform values added: a bell, near enough to how weights are spread.
    float bell() {
        const float a = uniform() + uniform();
        return (a + (uniform() + uniform())) * 0.03125f;
    }

    float power_of_two(int lowest, int highest) {
        const auto span = static_cast<size_t>(highest - lowest + 1);
        return float_of_bits(static_cast<uint32_t>(127 + lowest + static_cast<int>(below(span))) << 23);
    }

private:
    uint64_t state_;
};

enum class Kind {
    bell,
    heavy_tails,
    one_sided,
    negative,
    sparse,
    constant_blocks,
    zeros,
    coarse,
    mixed_scales,
    spike,
    subnormal,
    wide_range,
    tiny_and_huge,
    finite_bits,
    not_finite,
    any_bits,
};

struct NamedKind {
    Kind kind;
    const char *name;
};

constexpr NamedKind kKinds[] = {
    {Kind::bell, "bell"},
    {Kind::heavy_tails, "heavy-tails"},
    {Kind::one_sided, "one-sided"},
    {Kind::negative, "negative"},
    {Kind::sparse, "sparse"},
    {Kind::constant_blocks, "constant-blocks"},
    {Kind::zeros, "zeros"},
    {Kind::coarse, "coarse"},
    {Kind::mixed_scales, "mixed-scales"},
    {Kind::spike, "spike"},
    {Kind::subnormal, "subnormal"},
    {Kind::wide_range, "wide-range"},
    {Kind::tiny_and_huge, "tiny-and-huge"},
    {Kind::finite_bits, "finite-bits"},
    {Kind::not_finite, "not-finite"},
    {Kind::any_bits, "any-bits"},
};

// Sign, exponent and fraction all random, but not infinite and no NaN.
inline float finite(Random &random) {
    uint32_t bits = random.bits32();
    if ((bits & 0x7f800000u) == 0x7f800000u) bits ^= 0x00800000u;
    return float_of_bits(bits);
}

inline float extreme(Random &random) {
    constexpr uint32_t kBits[] = {0x7f7fffffu, 0x7f000000u, 0x00800000u, 0x00000001u, 0x007fffffu, 0x00000000u,
                                  0x26901d7du, 0x26901d7eu, 0x3f800000u, 0x5f800000u, 0x1f800000u, 0x7f61b1e6u};
    const uint32_t sign = random.bits32() & 0x80000000u;
    return float_of_bits(kBits[random.below(std::size(kBits))] | sign);
}

inline float not_finite(Random &random) {
    constexpr uint32_t kBits[] = {0x7f800000u, 0xff800000u, 0x7fc00000u, 0xffc00000u, 0x7f800001u, 0x7fffffffu};
    return float_of_bits(kBits[random.below(std::size(kBits))]);
}

inline float one_value(Kind kind, size_t index, Random &random) {
    const float value = random.bell();
    switch (kind) {
    case Kind::heavy_tails: return value * random.power_of_two(-8, 4);
    case Kind::one_sided: return (value < 0.0f ? -value : value) + 0.0078125f;
    case Kind::negative: return (value < 0.0f ? value : -value) - 0.0078125f;
    case Kind::sparse: return random.below(10) < 3 ? value : 0.0f;
    case Kind::zeros: return random.below(2) == 0 ? 0.0f : -0.0f;
    case Kind::coarse: return static_cast<float>(static_cast<int>(value * 64.0f)) * 0.125f;
    case Kind::mixed_scales: return value * float_of_bits((127u - 3u * static_cast<uint32_t>(index / 16 % 12)) << 23);
    case Kind::spike: return random.below(97) == 0 ? value * 1024.0f : value;
    case Kind::subnormal: return float_of_bits(random.bits32() & 0x807fffffu);
    case Kind::wide_range: return value * random.power_of_two(-50, 30);
    case Kind::tiny_and_huge: return random.below(400) == 0 ? extreme(random) : value;
    case Kind::finite_bits: return finite(random);
    case Kind::not_finite: return random.below(300) == 0 ? not_finite(random) : value;
    case Kind::any_bits: return float_of_bits(random.bits32());
    default: return value;
    }
}

inline std::vector<float> make_values(Kind kind, size_t count, Random &random) {
    std::vector<float> values(count);
    for (size_t i = 0; i < count; ++i) {
        const bool repeats = kind == Kind::constant_blocks && i % 32 != 0;
        values[i] = repeats ? values[i - 1] : one_value(kind, i, random);
    }
    return values;
}

}  // namespace edgellm_tests
