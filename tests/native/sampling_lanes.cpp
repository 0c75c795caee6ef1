// A fused multiply-add that is made up must round as the C library's, also where a sum in double lies half way between
// two floats and the product's last bits decide. Prints how many sums were compared.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "lanes.h"

namespace {

uint64_t state = 1;

uint32_t random_bits() {  // PCG
    state = state * 6364136223846793005u + 1442695040888963407u;
    const uint32_t mixed = static_cast<uint32_t>(((state >> 18) ^ state) >> 27), turn = static_cast<uint32_t>(state >> 59);
    return mixed >> turn | mixed << (-turn & 31);
}

// A float between 2^-`depth` and 2 with either sign.
float random_float(unsigned depth) {
    const uint32_t exponent = 127 - random_bits() % (depth + 1);
    const uint32_t bits = random_bits() << 31 | exponent << 23 | random_bits() >> 9;
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

long compared = 0;

void compare(const float *a, const float *b, const float *c) {
    float sums[kWidth];
    store_register(sums, multiply_add(load_register(a), load_register(b), load_register(c)));
    for (int i = 0; i < kWidth; ++i, ++compared) {
        const float expected = std::fmaf(a[i], b[i], c[i]);
        if (std::memcmp(&sums[i], &expected, sizeof expected) == 0) continue;
        std::printf("%a * %a + %a is %a, not %a\n", static_cast<double>(a[i]), static_cast<double>(b[i]),
                    static_cast<double>(c[i]), static_cast<double>(expected), static_cast<double>(sums[i]));
        std::exit(1);
    }
}

}  // namespace

int main() {
    float a[kWidth], b[kWidth], c[kWidth];
    for (int round = 0; round < 1000000; ++round) {
        for (int i = 0; i < kWidth; ++i) {
            a[i] = random_float(12);
            b[i] = random_float(12);
            c[i] = random_float(12);
        }
        compare(a, b, c);
    }
    // c plus half its last bit, and a trifle less, nothing or a trifle more: (1 + d)(1 - d) = 1 - d^2.
    for (int round = 0; round < 1000000; ++round) {
        for (int i = 0; i < kWidth; ++i) {
            const uint32_t kind = random_bits();
            const uint32_t bits = 127u << 23 | random_bits() >> 9;
            std::memcpy(&c[i], &bits, sizeof bits);
            const float d = kind & 1 ? std::ldexp(1.0f, -23 + static_cast<int>(kind >> 1 & 3)) : 0.0f;
            a[i] = std::ldexp(1.0f + d, -12);
            b[i] = std::ldexp(1.0f - d, -12);
            if (kind & 8) a[i] = -a[i];
            if (kind & 16) c[i] = -c[i];
        }
        compare(a, b, c);
    }
    std::printf("%ld\n", compared);
}
