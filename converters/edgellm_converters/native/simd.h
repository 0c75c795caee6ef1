// Vectors of float lanes for one translation unit: as wide as the flags it is compiled with allow.
// The arithmetic operators are those of the compilers' vector extension; every operation is one IEEE operation per lane,
// in the order written (the translation units are compiled with -ffp-contract=off).
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

namespace {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
constexpr __mmask16 kAll = 0xffff;  // the zero-masking forms: GCC warns about the undefined operand of the plain ones
#elif defined(__AVX2__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif

typedef float Float __attribute__((vector_size(kLanes * 4)));
typedef int32_t Int __attribute__((vector_size(kLanes * 4)));

inline Float load(const float *from) {
    Float value;
    std::memcpy(&value, from, sizeof value);
    return value;
}

inline void store(float *to, Float value) { std::memcpy(to, &value, sizeof value); }

inline Float broadcast(float value) { return Float{} + value; }

inline Int bits_of(Float value) { return reinterpret_cast<Int>(value); }

inline Float absolute(Float value) { return reinterpret_cast<Float>(bits_of(value) & 0x7fffffff); }

// a > b ? a : b in every lane
inline Float larger(Float a, Float b) {
#if defined(__AVX512F__)
    return (Float)_mm512_maskz_max_ps(kAll, (__m512)a, (__m512)b);
#elif defined(__AVX2__)
    return (Float)_mm256_max_ps((__m256)a, (__m256)b);
#else
    return a > b ? a : b;
#endif
}

// a < b ? a : b in every lane
inline Float smaller(Float a, Float b) {
#if defined(__AVX512F__)
    return (Float)_mm512_maskz_min_ps(kAll, (__m512)a, (__m512)b);
#elif defined(__AVX2__)
    return (Float)_mm256_min_ps((__m256)a, (__m256)b);
#else
    return a < b ? a : b;
#endif
}

inline Float square_root(Float value) {
#if defined(__AVX512F__)
    return (Float)_mm512_maskz_sqrt_ps(kAll, (__m512)value);
#elif defined(__AVX2__)
    return (Float)_mm256_sqrt_ps((__m256)value);
#else
    Float root;
    for (int lane = 0; lane < kLanes; ++lane) root[lane] = __builtin_sqrtf(value[lane]);
    return root;
#endif
}

// Lanes of a comparison's result are 0 or -1.
inline bool any(Int mask) {
#if defined(__AVX512F__)
    return _mm512_test_epi32_mask((__m512i)mask, (__m512i)mask) != 0;
#elif defined(__AVX2__)
    return _mm256_movemask_ps((__m256)mask) != 0;
#else
    int32_t joined = 0;
    for (int lane = 0; lane < kLanes; ++lane) joined |= mask[lane];
    return joined != 0;
#endif
}

}  // namespace
