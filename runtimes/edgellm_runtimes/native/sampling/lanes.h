// Sixteen float lanes, whatever the registers of the translation unit: one of AVX-512, two of AVX2, four of SSE2 or NEON.
//
// Every operation is one IEEE operation per lane, or an exact one on bits, and the sum over lanes is one fixed tree. So
// the same input gives the same bits on every processor. Multiplications and additions are fused where `multiply_add` says
// so and nowhere else: the units are compiled with -ffp-contract=off. SSE2, which has no such operation, makes it up.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__AVX2__) || defined(__AVX512F__)
#include <immintrin.h>
#elif defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__ARM_NEON) && defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace {

#if defined(__AVX512F__)

constexpr int kRegisters = 1;
using Register = __m512;
using Flags = __mmask16;
#define EDGELLM_FAST_MULTIPLY_ADD 1
constexpr __mmask16 kAll = 0xffff;  // the zero-masking forms: GCC warns about the undefined operand of the plain ones

inline Register load_register(const float *from) { return _mm512_loadu_ps(from); }
inline void store_register(float *to, Register a) { _mm512_storeu_ps(to, a); }
inline Register broadcast(float value) { return _mm512_set1_ps(value); }
inline Register add(Register a, Register b) { return _mm512_add_ps(a, b); }
inline Register subtract(Register a, Register b) { return _mm512_sub_ps(a, b); }
inline Register multiply(Register a, Register b) { return _mm512_mul_ps(a, b); }
inline Register multiply_add(Register a, Register b, Register c) { return _mm512_fmadd_ps(a, b, c); }  // a * b + c
inline Register larger(Register a, Register b) { return _mm512_maskz_max_ps(kAll, a, b); }
inline Register magnitude(Register a) {
    return _mm512_castsi512_ps(_mm512_and_epi32(_mm512_castps_si512(a), _mm512_set1_epi32(0x7fffffff)));
}
inline Flags at_least(Register a, Register b) { return _mm512_cmp_ps_mask(a, b, _CMP_GE_OQ); }
inline Flags unordered(Register a, Register b) { return _mm512_cmp_ps_mask(a, b, _CMP_UNORD_Q); }
inline Flags no_flags() { return 0; }
inline Flags either(Flags a, Flags b) { return static_cast<Flags>(a | b); }
inline Flags but_not(Flags a, Flags b) { return static_cast<Flags>(a & ~b); }
inline unsigned bits_of(Flags a) { return a; }
inline Register keep_where(Register a, Flags keep) { return _mm512_maskz_mov_ps(keep, a); }
inline Register choose(Flags take, Register a, Register other) { return _mm512_mask_mov_ps(other, take, a); }
// Lane i is set where bit `at` + i of the words is; `at` is a multiple of the lanes. For `choose` only.
inline Flags flags_from(const uint32_t *words, int at) {
    const __mmask32 bits = _cvtu32_mask32(words[at / 32]);
    return static_cast<Flags>(at % 32 ? _kshiftri_mask32(bits, 16) : bits);
}
#define EDGELLM_LARGER_WHERE 1
inline Register larger_where(Register best, Flags take, Register a) { return _mm512_mask_max_ps(best, take, best, a); }
inline Register power_of_two(Register a) {  // 2^(n - 127), n in the low bits of a; 0 for n = 0
    return _mm512_castsi512_ps(_mm512_maskz_slli_epi32(kAll, _mm512_castps_si512(a), 23));
}

#elif defined(__AVX2__)

constexpr int kRegisters = 2;
using Register = __m256;
using Flags = __m256;
#define EDGELLM_FAST_MULTIPLY_ADD 1

inline Register load_register(const float *from) { return _mm256_loadu_ps(from); }
inline void store_register(float *to, Register a) { _mm256_storeu_ps(to, a); }
inline Register broadcast(float value) { return _mm256_set1_ps(value); }
inline Register add(Register a, Register b) { return _mm256_add_ps(a, b); }
inline Register subtract(Register a, Register b) { return _mm256_sub_ps(a, b); }
inline Register multiply(Register a, Register b) { return _mm256_mul_ps(a, b); }
inline Register multiply_add(Register a, Register b, Register c) { return _mm256_fmadd_ps(a, b, c); }
inline Register larger(Register a, Register b) { return _mm256_max_ps(a, b); }
inline Register magnitude(Register a) { return _mm256_and_ps(a, _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff))); }
inline Flags at_least(Register a, Register b) { return _mm256_cmp_ps(a, b, _CMP_GE_OQ); }
inline Flags unordered(Register a, Register b) { return _mm256_cmp_ps(a, b, _CMP_UNORD_Q); }
inline Flags no_flags() { return _mm256_setzero_ps(); }
inline Flags either(Flags a, Flags b) { return _mm256_or_ps(a, b); }
inline Flags but_not(Flags a, Flags b) { return _mm256_andnot_ps(b, a); }
inline unsigned bits_of(Flags a) { return static_cast<unsigned>(_mm256_movemask_ps(a)); }
inline Register keep_where(Register a, Flags keep) { return _mm256_and_ps(a, keep); }
inline Register choose(Flags take, Register a, Register other) { return _mm256_blendv_ps(other, a, take); }
inline Flags flags_from(const uint32_t *words, int at) {
    const __m256i to_sign = _mm256_sub_epi32(_mm256_setr_epi32(31, 30, 29, 28, 27, 26, 25, 24), _mm256_set1_epi32(at % 32));
    const float *word = reinterpret_cast<const float *>(words + at / 32);  // moved as bits, and straight from memory
    return _mm256_castsi256_ps(_mm256_sllv_epi32(_mm256_castps_si256(_mm256_broadcast_ss(word)), to_sign));
}
inline Register power_of_two(Register a) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(a), 23)); }

#elif defined(__SSE2__)

constexpr int kRegisters = 4;
using Register = __m128;
using Flags = __m128;

inline Register load_register(const float *from) { return _mm_loadu_ps(from); }
inline void store_register(float *to, Register a) { _mm_storeu_ps(to, a); }
inline Register broadcast(float value) { return _mm_set1_ps(value); }
inline Register add(Register a, Register b) { return _mm_add_ps(a, b); }
inline Register subtract(Register a, Register b) { return _mm_sub_ps(a, b); }
inline Register multiply(Register a, Register b) { return _mm_mul_ps(a, b); }
inline Register larger(Register a, Register b) { return _mm_max_ps(a, b); }
inline Register magnitude(Register a) { return _mm_and_ps(a, _mm_castsi128_ps(_mm_set1_epi32(0x7fffffff))); }
inline Flags at_least(Register a, Register b) { return _mm_cmpge_ps(a, b); }
inline Flags unordered(Register a, Register b) { return _mm_cmpunord_ps(a, b); }
inline Flags no_flags() { return _mm_setzero_ps(); }
inline Flags either(Flags a, Flags b) { return _mm_or_ps(a, b); }
inline Flags but_not(Flags a, Flags b) { return _mm_andnot_ps(b, a); }
inline unsigned bits_of(Flags a) { return static_cast<unsigned>(_mm_movemask_ps(a)); }
inline Register keep_where(Register a, Flags keep) { return _mm_and_ps(a, keep); }
inline Register choose(Flags take, Register a, Register other) {
    return _mm_or_ps(_mm_and_ps(take, a), _mm_andnot_ps(take, other));
}
inline Flags flags_from(const uint32_t *words, int at) {
    const __m128i each = _mm_setr_epi32(1, 2, 4, 8);
    const int bits = static_cast<int>(words[at / 32] >> (at % 32));
    return _mm_castsi128_ps(_mm_cmpeq_epi32(_mm_and_si128(_mm_set1_epi32(bits), each), each));
}
inline Register power_of_two(Register a) { return _mm_castsi128_ps(_mm_slli_epi32(_mm_castps_si128(a), 23)); }

// In double a product of two floats is exact, and rounding the sum twice is rounding it once, but where the first result
// lies half way between two floats. There the sum is made odd first, as if it were sticky ("rounding to odd": Boldo and
// Melquiond, Emulation of FMA and correctly rounded sums, 2008).
inline float multiply_add_half_way(double product, double c) {
    double sum = product + c;
    const double part = sum - product, error = (product - (sum - part)) + (c - part);
    int64_t bits;
    std::memcpy(&bits, &sum, sizeof bits);
    if (error != 0.0 && !(bits & 1)) bits += (error > 0.0) == (sum > 0.0) ? 1 : -1;
    std::memcpy(&sum, &bits, sizeof bits);
    return static_cast<float>(sum);
}
inline Register multiply_add(Register a, Register b, Register c) {
    const __m128d low = _mm_mul_pd(_mm_cvtps_pd(a), _mm_cvtps_pd(b)), c_low = _mm_cvtps_pd(c);
    const __m128 a_high = _mm_movehl_ps(a, a), b_high = _mm_movehl_ps(b, b), c_upper = _mm_movehl_ps(c, c);
    const __m128d high = _mm_mul_pd(_mm_cvtps_pd(a_high), _mm_cvtps_pd(b_high)), c_high = _mm_cvtps_pd(c_upper);
    const __m128d sum_low = _mm_add_pd(low, c_low), sum_high = _mm_add_pd(high, c_high);
    const __m128i ends = _mm_castps_si128(_mm_shuffle_ps(_mm_castpd_ps(sum_low), _mm_castpd_ps(sum_high), 0x88));
    const __m128i dropped = _mm_and_si128(ends, _mm_set1_epi32(0x1fffffff));  // bits that a float has not
    if (__builtin_expect(_mm_movemask_epi8(_mm_cmpeq_epi32(dropped, _mm_set1_epi32(0x10000000))), 0)) {
        double products[4], addends[4];
        _mm_storeu_pd(products, low);
        _mm_storeu_pd(products + 2, high);
        _mm_storeu_pd(addends, c_low);
        _mm_storeu_pd(addends + 2, c_high);
        float sums[4];
        for (int i = 0; i < 4; ++i) sums[i] = multiply_add_half_way(products[i], addends[i]);
        return _mm_loadu_ps(sums);
    }
    return _mm_movelh_ps(_mm_cvtpd_ps(sum_low), _mm_cvtpd_ps(sum_high));
}

#elif defined(__ARM_NEON) && defined(__aarch64__)

constexpr int kRegisters = 4;
using Register = float32x4_t;
using Flags = uint32x4_t;
#define EDGELLM_MAXIMUM_KEEPS_NAN 1

inline Register load_register(const float *from) { return vld1q_f32(from); }
inline void store_register(float *to, Register a) { vst1q_f32(to, a); }
inline Register broadcast(float value) { return vdupq_n_f32(value); }
inline Register add(Register a, Register b) { return vaddq_f32(a, b); }
inline Register subtract(Register a, Register b) { return vsubq_f32(a, b); }
inline Register multiply(Register a, Register b) { return vmulq_f32(a, b); }
inline Register multiply_add(Register a, Register b, Register c) { return vfmaq_f32(c, a, b); }
inline Register larger(Register a, Register b) { return vmaxnmq_f32(a, b); }
inline Register larger_or_nan(Register a, Register b) { return vmaxq_f32(a, b); }  // NaN where one of them is
inline Register magnitude(Register a) { return vabsq_f32(a); }
inline Flags at_least(Register a, Register b) { return vcgeq_f32(a, b); }
inline Flags unordered(Register a, Register b) { return vmvnq_u32(vandq_u32(vceqq_f32(a, a), vceqq_f32(b, b))); }
inline Flags no_flags() { return vdupq_n_u32(0); }
inline Flags either(Flags a, Flags b) { return vorrq_u32(a, b); }
inline Flags but_not(Flags a, Flags b) { return vbicq_u32(a, b); }
inline unsigned bits_of(Flags a) {
    const uint32x4_t each = {1, 2, 4, 8};
    return vaddvq_u32(vandq_u32(a, each));
}
inline Register keep_where(Register a, Flags keep) {
    return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(a), keep));
}
inline Register choose(Flags take, Register a, Register other) { return vbslq_f32(take, a, other); }
inline Flags flags_from(const uint32_t *words, int at) {
    const uint32x4_t each = {1, 2, 4, 8};
    return vtstq_u32(vdupq_n_u32(words[at / 32] >> (at % 32)), each);
}
inline Register power_of_two(Register a) {
    return vreinterpretq_f32_u32(vshlq_n_u32(vreinterpretq_u32_f32(a), 23));
}

#else  // one lane at a time, for processors without one of the above

constexpr int kRegisters = 16;
using Register = float;
using Flags = unsigned;

inline Register load_register(const float *from) { return *from; }
inline void store_register(float *to, Register a) { *to = a; }
inline Register broadcast(float value) { return value; }
inline Register add(Register a, Register b) { return a + b; }
inline Register subtract(Register a, Register b) { return a - b; }
inline Register multiply(Register a, Register b) { return a * b; }
inline Register multiply_add(Register a, Register b, Register c) { return __builtin_fmaf(a, b, c); }
inline Register larger(Register a, Register b) { return a > b ? a : b; }
inline Register magnitude(Register a) { return __builtin_fabsf(a); }
inline Flags at_least(Register a, Register b) { return a >= b; }
inline Flags unordered(Register a, Register b) { return a != a || b != b; }
inline Flags no_flags() { return 0; }
inline Flags either(Flags a, Flags b) { return a | b; }
inline Flags but_not(Flags a, Flags b) { return a & ~b; }
inline unsigned bits_of(Flags a) { return a; }
inline Register keep_where(Register a, Flags keep) { return keep ? a : 0.0f; }
inline Register choose(Flags take, Register a, Register other) { return take ? a : other; }
inline Flags flags_from(const uint32_t *words, int at) { return words[at / 32] >> (at % 32) & 1u; }
inline Register power_of_two(Register a) {
    uint32_t bits;
    std::memcpy(&bits, &a, 4);
    bits <<= 23;
    std::memcpy(&a, &bits, 4);
    return a;
}

#endif

constexpr int kLanes = 16;
constexpr int kWidth = kLanes / kRegisters;  // lanes of one register
static_assert(sizeof(Register) == 4 * kWidth, "sixteen lanes");

#if !defined(EDGELLM_MAXIMUM_KEEPS_NAN)
inline Register larger_or_nan(Register a, Register b) { return larger(a, b); }  // anything where one of them is NaN
#endif

// One bit for each lane of two rows.
inline uint32_t bits_of_rows(const Flags *first, const Flags *second) {
#if defined(__AVX2__) && !defined(__AVX512F__)
    const __m256i low = _mm256_packs_epi32(_mm256_castps_si256(first[0]), _mm256_castps_si256(first[1]));
    const __m256i high = _mm256_packs_epi32(_mm256_castps_si256(second[0]), _mm256_castps_si256(second[1]));
    // packing leaves every 128 bits where they are: lanes 0-3 of all four registers, then lanes 4-7
    const __m256i in_order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    const __m256i bytes = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high), in_order);
    return static_cast<uint32_t>(_mm256_movemask_epi8(bytes));
#elif defined(__SSE2__) && !defined(__AVX2__)
    const auto bits_of_row = [](const Flags *row) {
        const __m128i low = _mm_packs_epi32(_mm_castps_si128(row[0]), _mm_castps_si128(row[1]));
        const __m128i high = _mm_packs_epi32(_mm_castps_si128(row[2]), _mm_castps_si128(row[3]));
        return static_cast<uint32_t>(_mm_movemask_epi8(_mm_packs_epi16(low, high)));
    };
    return bits_of_row(first) | bits_of_row(second) << 16;
#elif defined(__ARM_NEON) && defined(__aarch64__)
    const uint8x16_t each = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    const auto bytes_of_row = [&](const Flags *row) {
        const uint16x8_t low = vuzp1q_u16(vreinterpretq_u16_u32(row[0]), vreinterpretq_u16_u32(row[1]));
        const uint16x8_t high = vuzp1q_u16(vreinterpretq_u16_u32(row[2]), vreinterpretq_u16_u32(row[3]));
        return vandq_u8(vuzp1q_u8(vreinterpretq_u8_u16(low), vreinterpretq_u8_u16(high)), each);
    };
    uint8x16_t sums = vpaddq_u8(bytes_of_row(first), bytes_of_row(second));
    sums = vpaddq_u8(sums, sums);
    return vgetq_lane_u32(vreinterpretq_u32_u8(vpaddq_u8(sums, sums)), 0);
#else
    uint32_t bits = 0;
    for (int p = 0; p < kRegisters; ++p) {
        bits |= static_cast<uint32_t>(bits_of(first[p])) << (p * kWidth);
        bits |= static_cast<uint32_t>(bits_of(second[p])) << (kLanes + p * kWidth);
    }
    return bits;
#endif
}

// The value itself, from here on in a register: compilers load once more for every use, or put off what uses it until
// registers are short.
inline Register held(Register a) {
#if defined(__SSE2__)
    asm volatile("" : "+x"(a));
#elif defined(__ARM_NEON) && defined(__aarch64__)
    asm volatile("" : "+w"(a));
#endif
    return a;
}

// Sixteen lanes to four: lane i with i + 8, then with i + 4. The rest of the tree is lane i with i + 2, then with i + 1.
// A sum in this order is the same on every processor.
#if defined(__SSE2__)

template <class Join>
inline __m128 four_lanes(const Register *r, Join join) {
#if defined(__AVX512F__)
    const __m256 low = _mm256_castpd_ps(_mm512_maskz_extractf64x4_pd(0xf, _mm512_castps_pd(*r), 0));
    const __m256 high = _mm256_castpd_ps(_mm512_maskz_extractf64x4_pd(0xf, _mm512_castps_pd(*r), 1));
    const __m256 eight = join.eight(low, high);
    return join.four(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
#elif defined(__AVX2__)
    const __m256 eight = join.eight(r[0], r[1]);
    return join.four(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
#else
    return join.four(join.four(r[0], r[2]), join.four(r[1], r[3]));
#endif
}

template <class Join>
inline float one_lane(const Register *r, Join join) {
    const __m128 four = four_lanes(r, join);
    const __m128 two = join.four(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(join.four(two, _mm_shuffle_ps(two, two, 1)));
}

struct Sum {
    __m128 four(__m128 a, __m128 b) const { return _mm_add_ps(a, b); }
#if defined(__AVX2__)
    __m256 eight(__m256 a, __m256 b) const { return _mm256_add_ps(a, b); }
#endif
};

struct Largest {
    __m128 four(__m128 a, __m128 b) const { return _mm_max_ps(a, b); }
#if defined(__AVX2__)
    __m256 eight(__m256 a, __m256 b) const { return _mm256_max_ps(a, b); }
#endif
};

inline float sum_lanes(const Register *r) { return one_lane(r, Sum{}); }
inline float largest_lane(const Register *r) { return one_lane(r, Largest{}); }

#elif defined(__ARM_NEON) && defined(__aarch64__)

inline float sum_lanes(const Register *r) {
    const float32x4_t four = vaddq_f32(vaddq_f32(r[0], r[2]), vaddq_f32(r[1], r[3]));
    const float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
    return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}

inline float largest_lane(const Register *r) {
    return vmaxvq_f32(vmaxq_f32(vmaxq_f32(r[0], r[2]), vmaxq_f32(r[1], r[3])));
}

#else

inline float sum_lanes(const Register *r) {
    float lanes[kLanes];
    std::memcpy(lanes, r, sizeof lanes);
    for (int half = kLanes / 2; half; half /= 2)
        for (int i = 0; i < half; ++i) lanes[i] = lanes[i] + lanes[i + half];
    return lanes[0];
}

inline float largest_lane(const Register *r) {
    float best = r[0];
    for (int i = 1; i < kLanes; ++i) best = r[i] > best ? r[i] : best;
    return best;
}

#endif

}  // namespace
