// exp and log in double, without the C library: its results differ between versions and processors, and a token must not.
#pragma once

#include <cstdint>
#include <cstring>
#include <limits>

namespace edgellm::sampling {

constexpr double kLn2 = 0.69314718055994531;

inline double power_of_two(int n) {  // -1022 <= n <= 1023
    const uint64_t bits = static_cast<uint64_t>(n + 1023) << 52;
    double value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

// e^x for any x: 0 below -708, infinity above 709. Taylor series on [-ln2/2, ln2/2], relative error about 2e-16.
inline double exact_exp(double x) {
    if (x != x) return x;
    if (x < -708.0) return 0.0;
    if (x > 709.0) return std::numeric_limits<double>::infinity();
    const double magic = 6755399441055744.0;  // 1.5 * 2^52: the sum's unit is 1
    const double n = (x * 1.4426950408889634 + magic) - magic;
    const double r = (x - n * 6.93147180369123816490e-01) - n * 1.90821492927058770002e-10;
    double p = 1.0 / 6227020800.0;
    const double inverse_factorials[] = {1.0 / 479001600.0, 1.0 / 39916800.0, 1.0 / 3628800.0, 1.0 / 362880.0,
                                         1.0 / 40320.0,     1.0 / 5040.0,     1.0 / 720.0,     1.0 / 120.0,
                                         1.0 / 24.0,        1.0 / 6.0,        0.5,             1.0};
    for (const double c : inverse_factorials) p = p * r + c;
    return (p * r + 1.0) * power_of_two(static_cast<int>(n));
}

// ln x for x > 0; -infinity for 0. The series of artanh((m - 1) / (m + 1)) on m in [sqrt(1/2), sqrt(2)].
inline double exact_log(double x) {
    if (x <= 0.0) return x < 0.0 ? std::numeric_limits<double>::quiet_NaN() : -std::numeric_limits<double>::infinity();
    if (!(x <= std::numeric_limits<double>::max())) return x;
    int shift = 0;
    if (x < 2.2250738585072014e-308) {
        x *= 18014398509481984.0;  // 2^54
        shift = -54;
    }
    uint64_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    int exponent = static_cast<int>(bits >> 52) - 1023;
    bits = (bits & 0x000fffffffffffffULL) | 0x3ff0000000000000ULL;
    double m;
    std::memcpy(&m, &bits, sizeof m);
    if (m > 1.4142135623730951) {
        m *= 0.5;
        ++exponent;
    }
    const double f = (m - 1.0) / (m + 1.0), square = f * f;
    double sum = 0.0;
    for (int odd = 23; odd >= 1; odd -= 2) sum = sum * square + 1.0 / odd;
    const double n = exponent + shift;
    return n * 6.93147180369123816490e-01 + (2.0 * f * sum + n * 1.90821492927058770002e-10);
}

// A correctly rounded instruction on every processor.
inline double exact_sqrt(double x) { return __builtin_sqrt(x); }

}  // namespace edgellm::sampling
