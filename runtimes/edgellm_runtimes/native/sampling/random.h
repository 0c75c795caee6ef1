// One uniform number for each draw, from a counter: Philox 4x32-10 (Salmon et al., SC 2011) of seed, position and stage.
#pragma once

#include <cstdint>

namespace edgellm::sampling {

// In [0, 1) with 53 bits. The same arguments give the same number, in any order of calls.
inline double uniform(uint64_t seed, uint64_t position, uint32_t stage) {
    uint32_t key[2] = {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)};
    uint32_t c[4] = {static_cast<uint32_t>(position), static_cast<uint32_t>(position >> 32), stage, 0};
    for (int round = 0; round < 10; ++round) {
        const uint64_t first = 0xD2511F53ULL * c[0], second = 0xCD9E8D57ULL * c[2];
        const uint32_t next[4] = {static_cast<uint32_t>(second >> 32) ^ c[1] ^ key[0], static_cast<uint32_t>(second),
                                  static_cast<uint32_t>(first >> 32) ^ c[3] ^ key[1], static_cast<uint32_t>(first)};
        for (int i = 0; i < 4; ++i) c[i] = next[i];
        key[0] += 0x9E3779B9U;
        key[1] += 0xBB67AE85U;
    }
    const uint64_t bits = (static_cast<uint64_t>(c[0]) << 32 | c[1]) >> 11;
    return static_cast<double>(bits) * 0x1p-53;
}

}  // namespace edgellm::sampling
