// Logit and token in one number whose ascending order is: largest logit first, then smallest token.
#pragma once

#include <cstdint>
#include <cstring>

namespace edgellm::sampling {

// Ascending integers for ascending floats; no NaN.
inline uint32_t ordered_bits(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

inline float from_ordered_bits(uint32_t ordered) {
    const uint32_t bits = ordered & 0x80000000u ? ordered & 0x7fffffffu : ~ordered;
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

inline uint64_t candidate_key(float logit, int32_t id) {
    const float value = logit == 0.0f ? 0.0f : logit;  // -0 equals 0
    return static_cast<uint64_t>(~ordered_bits(value)) << 32 | static_cast<uint32_t>(id);
}

inline float key_logit(uint64_t key) { return from_ordered_bits(~static_cast<uint32_t>(key >> 32)); }

inline int32_t key_id(uint64_t key) { return static_cast<int32_t>(static_cast<uint32_t>(key)); }

}  // namespace edgellm::sampling
