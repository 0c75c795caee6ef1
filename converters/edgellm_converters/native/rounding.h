// ggml's way to round to the nearest integer, scalar: only the mantissa is looked at, whatever the exponent became.
#pragma once

#include "half.h"

namespace {

constexpr float kRoundMagic = 12582912.0f;  // 1.5 * 2^23: the sum's unit is 1
constexpr float kRoundLimit = 4194303.0f;   // up to this magnitude the sum minus the magic number is the rounded value

inline int nearest_int(float value) {
    return static_cast<int>(float_bits(value + kRoundMagic) & 0x007fffffu) - 0x00400000;
}

inline int clamped(int value, int low, int high) { return value < low ? low : value > high ? high : value; }

}  // namespace
