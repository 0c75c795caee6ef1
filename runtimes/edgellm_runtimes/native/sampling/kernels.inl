// The passes, written once over the lanes of lanes.h. Included by one translation unit per instruction set; everything
// here has internal linkage, so that no unit's code can end up in another one.
#include <cmath>

#include "kernel_table.h"
#include "lanes.h"

namespace edgellm::sampling {
namespace {

constexpr int kRows = kBlock / kLanes;  // vectors of a block
const float kMinusInfinity = -HUGE_VALF;

inline bool allows_all(const uint32_t *words) {
    uint32_t all = ~0u;
    for (int i = 0; i < kBlock / 32; ++i) all &= words[i];
    return all == ~0u;
}

inline bool allows_none(const uint32_t *words) {
    uint32_t any = 0;
    for (int i = 0; i < kBlock / 32; ++i) any |= words[i];
    return any == 0;
}

// A block of logits by row and part, -inf where one is not allowed. `largest.inl` takes them by register, `at`, which it
// knows when it is compiled: as they are in memory, and then what is allowed of them.
struct Plain {
    const float *x;
    Register operator()(int row, int part) const { return load_register(x + row * kLanes + part * kWidth); }
    Register loaded(int at) const { return load_register(x + at * kWidth); }
    Register allowed(Register all, int) const { return all; }
    Register larger_of(Register best, Register a, Register b, int) const {
        return larger_or_nan(best, larger_or_nan(a, b));
    }
    Plain after(int registers) const { return {x + registers * kWidth}; }
};

struct Masked {
    const float *x;
    const uint32_t *words;
    Register operator()(int row, int part) const {
        // in a register first: what an AVX-512 load leaves out by a mask, processors do not fetch ahead either
        const int at = row * kRegisters + part;
        return allowed(held(loaded(at)), at);
    }
    Register loaded(int at) const { return load_register(x + at * kWidth); }
    Register allowed(Register all, int at) const {
        return choose(flags_from(words, at * kWidth), all, broadcast(kMinusInfinity));
    }
    Register larger_of(Register best, Register a, Register b, int at) const {  // of registers `at` and the next one
#if defined(EDGELLM_LARGER_WHERE)
        return larger_where(larger_where(best, flags_from(words, at * kWidth), a), flags_from(words, (at + 1) * kWidth), b);
#else
        return larger_or_nan(best, larger_or_nan(allowed(a, at), allowed(b, at + 1)));
#endif
    }
    Masked after(int registers) const { return {x + registers * kWidth, words + registers * kWidth / 32}; }
};

inline int count_bits(uint64_t bits) {
#if defined(__POPCNT__) || defined(__aarch64__)
    return __builtin_popcountll(bits);
#else
    bits -= bits >> 1 & 0x5555555555555555;
    bits = (bits & 0x3333333333333333) + (bits >> 2 & 0x3333333333333333);
    return static_cast<int>(((bits + (bits >> 4)) & 0x0f0f0f0f0f0f0f0f) * 0x0101010101010101 >> 56);
#endif
}

constexpr int kFew = 8;  // up to so many are looked at one by one

// How many of a block are allowed, or any number between `kFew` and all where that is clear from the first of them.
inline int count_allowed(const uint32_t *words) {
    int count = 0;
    for (int i = 0; i < kBlock / 64; ++i) {
        const uint64_t bits = words[2 * i] | static_cast<uint64_t>(words[2 * i + 1]) << 32;
        count += count_bits(bits);
        if (i == 0 && count > kFew && ~bits) return count;
    }
    return count;
}

constexpr int kAhead = 12;  // blocks: so early few are asked for, since no processor foresees where they lie

// Calls `visit(place)` for each that is allowed of a block, in order.
template <class Visit>
inline void for_allowed(const uint32_t *words, Visit visit) {
    for (int w = 0; w < kBlock / 32; ++w)
        for (uint32_t left = words[w]; left; left &= left - 1) visit(w * 32 + __builtin_ctz(left));
}

inline void prefetch_few(const float *x, const uint32_t *words) {
    if (count_allowed(words) <= kFew) for_allowed(words, [&](int at) { __builtin_prefetch(x + at); });
}

// The largest of those allowed, -inf without any; `bad` where one is NaN.
inline float largest_of_few(const float *x, const uint32_t *words, bool &bad) {
    float largest = kMinusInfinity;
    for_allowed(words, [&](int at) {
        bad = bad || x[at] != x[at];
        largest = x[at] > largest ? x[at] : largest;
    });
    return largest;
}

// Calls `visit(block, source)` for every block, with the cheapest source; `empty(block)` where nothing is allowed.
template <class Visit, class Empty>
inline void for_blocks(const float *x, size_t blocks, const uint32_t *mask, Visit visit, Empty empty) {
    for (size_t b = 0; b < blocks; ++b) {
        const float *from = x + b * kBlock;
        const uint32_t *words = mask ? mask + b * (kBlock / 32) : nullptr;
        if (!words || allows_all(words)) {
            visit(b, Plain{from});
        } else if (allows_none(words)) {
            empty(b);
        } else {
            visit(b, Masked{from, words});
        }
    }
}

#include "largest.inl"

// The same, with `few(block, x, words)` where little is allowed.
template <class Visit, class Few>
inline void for_blocks_or_few(const float *x, size_t blocks, const uint32_t *mask, Visit visit, Few few) {
    if (!mask) {
        for (size_t b = 0; b < blocks; ++b) visit(b, Plain{x + b * kBlock});
        return;
    }
    for (size_t b = 0; b < blocks; ++b) {
        const float *from = x + b * kBlock;
        const uint32_t *words = mask + b * (kBlock / 32);
        const int count = count_allowed(words);
        if (count == kBlock) {
            visit(b, Plain{from});
        } else if (count > kFew) {
            visit(b, Masked{from, words});
        } else {
            if (b + kAhead < blocks) prefetch_few(from + kAhead * kBlock, words + kAhead * (kBlock / 32));
            few(b, from, words);
        }
    }
}

// Looks at each logit that is allowed.
__attribute__((noinline)) bool any_nan(const float *x, size_t blocks, const uint32_t *mask) {
    Flags bad = no_flags();
    for_blocks(
        x, blocks, mask,
        [&](size_t, auto source) {
            for (int row = 0; row < kRows; row += 2)
                for (int p = 0; p < kRegisters; ++p) bad = either(bad, unordered(source(row, p), source(row + 1, p)));
        },
        [](size_t) {});
    return bits_of(bad) != 0;
}

constexpr size_t kStretch = 8;  // blocks: they lie in the first cache still when they are looked at again

bool block_max_of_all(const float *x, size_t blocks, float *largest) {
    Largest all;
    bool bad = false;
    for (size_t first = 0, b = 0; b < blocks; first = b) {
        const size_t end = first + kStretch < blocks ? first + kStretch : blocks;
        for (; b < end; ++b) {
            all.show_alone(Plain{x + b * kBlock});
            largest[b] = all.largest();
        }
        if (!all.saw_nan()) continue;
        bad = bad || NanWatch::kIsSure || any_nan(x + first * kBlock, end - first, nullptr);
        all.forget_nan();
    }
    return bad;
}

bool block_max(const float *x, size_t blocks, const uint32_t *mask, float *largest) {
    if (!mask) return block_max_of_all(x, blocks, largest);
    Largest all;
    bool bad = false;
    for_blocks_or_few(
        x, blocks, mask,
        [&](size_t b, auto source) {
            all.show_alone(source);
            largest[b] = all.largest();
        },
        [&](size_t b, const float *from, const uint32_t *words) { largest[b] = largest_of_few(from, words, bad); });
    return bad || (all.saw_nan() && (NanWatch::kIsSure || any_nan(x, blocks, mask)));
}

// `block` becomes the first of the stretch that has the largest logit, where that is above what `largest` was.
bool find_stretch(const float *x, size_t blocks, float *largest, size_t *block) {
    Largest all;
    bool bad = false;
    Register limit = broadcast(*largest);
    for (size_t first = 0, b = 0; b < blocks; first = b) {
        const size_t end = first + kStretch < blocks ? first + kStretch : blocks;
        for (; b < end; ++b) all.show(Plain{x + b * kBlock});
        if (all.is_above(limit)) {
            *largest = all.largest();
            limit = broadcast(*largest);
            *block = first;
        }
        if (!all.saw_nan()) continue;
        bad = bad || NanWatch::kIsSure || any_nan(x + first * kBlock, end - first, nullptr);
        all.forget_nan();
    }
    return bad;
}

bool find_masked_block(const float *x, size_t blocks, const uint32_t *mask, float *largest, size_t *block) {
    Largest all;
    bool bad = false;
    for_blocks_or_few(
        x, blocks, mask,
        [&](size_t b, auto source) {
            all.show(source);
            if (!all.is_above(broadcast(*largest))) return;
            *largest = all.largest();
            *block = b;
        },
        [&](size_t b, const float *from, const uint32_t *words) {
            const float found = largest_of_few(from, words, bad);
            if (!(found > *largest)) return;
            *largest = found;
            *block = b;
        });
    return bad || (all.saw_nan() && (NanWatch::kIsSure || any_nan(x, blocks, mask)));
}

void group_max(const float *x, size_t blocks, const uint32_t *mask, float *largest) {
    for_blocks(
        x, blocks, mask,
        [&](size_t b, auto source) {
            for (int p = 0; p < kRegisters; ++p) {
                Register best = source(0, p);
                for (int row = 1; row < kRows; ++row) best = larger(best, source(row, p));
                store_register(largest + b * kGroups + p * kWidth, best);
            }
        },
        [&](size_t b) {
            for (size_t i = 0; i < kGroups; ++i) largest[b * kGroups + i] = kMinusInfinity;
        });
}

// 2^y for y < 1, as 2^n * p(f) with n = round(y) and f = y - n. p is the polynomial of degree 5 with p(0) = 1 and the
// least relative error on [-1/2, 1/2] (Remez), 9e-8; with its rounding 2e-7. Below 2^-126 it is 0.
inline Register exp2_small(Register y) {
    const Register magic = broadcast(12582912.0f + 127.0f);  // 1.5 * 2^23: the sum's unit is 1, its low bits are n + 127
    y = larger(y, broadcast(-127.0f));
    const Register n = add(y, magic);
    const Register f = subtract(y, subtract(n, magic));
    Register p = broadcast(1.3264725e-3f);
    p = multiply_add(p, f, broadcast(9.6715128e-3f));
    p = multiply_add(p, f, broadcast(5.5507337e-2f));
    p = multiply_add(p, f, broadcast(2.4022242e-1f));
    p = multiply_add(p, f, broadcast(6.9314698e-1f));
    p = multiply_add(p, f, broadcast(1.0f));
    return multiply(p, power_of_two(n));
}

template <bool kStored>
inline void exp_sums_of(const float *x, size_t blocks, const uint32_t *mask, float shift, float scale, double *sums,
                        float *stored) {
    const Register shifts = broadcast(shift), scales = broadcast(scale);
    for_blocks(
        x, blocks, mask,
        [&](size_t b, auto source) {
            Register total[2][kRegisters];
            for (int p = 0; p < kRegisters; ++p) total[0][p] = total[1][p] = broadcast(0.0f);
            for (int row = 0; row < kRows; row += 2) {
                for (int i = 0; i < 2; ++i) {
                    for (int p = 0; p < kRegisters; ++p) {
                        const Register e = exp2_small(multiply(subtract(source(row + i, p), shifts), scales));
                        if (kStored) store_register(stored + b * kBlock + (row + i) * kLanes + p * kWidth, e);
                        total[i][p] = add(total[i][p], e);
                    }
                }
            }
            for (int p = 0; p < kRegisters; ++p) total[0][p] = add(total[0][p], total[1][p]);
            sums[b] = sum_lanes(total[0]);
        },
        [&](size_t b) {
            sums[b] = 0.0;
            if (kStored)
                for (size_t i = 0; i < kBlock; ++i) stored[b * kBlock + i] = 0.0f;
        });
}

void exp_sums(const float *x, size_t blocks, const uint32_t *mask, float shift, float scale, double *sums,
              float *stored) {
    if (stored)
        exp_sums_of<true>(x, blocks, mask, shift, scale, sums, stored);
    else
        exp_sums_of<false>(x, blocks, mask, shift, scale, sums, stored);
}

double exp_total(const float *x, size_t blocks, const uint32_t *mask, float scale, float reference) {
    const Register scales = broadcast(scale), references = broadcast(-reference);
    double sum = 0.0;
    for_blocks(
        x, blocks, mask,
        [&](size_t, auto source) {
            Register total[kRegisters];
            for (int p = 0; p < kRegisters; ++p) total[p] = broadcast(0.0f);
            for (int row = 0; row < kRows; row += 2)
                for (int i = 0; i < 2; ++i)
                    for (int p = 0; p < kRegisters; ++p)
                        total[p] = add(total[p], exp2_small(multiply_add(source(row + i, p), scales, references)));
            sum += sum_lanes(total);
        },
        [](size_t) {});
    return sum;
}

void exp_entropy(const float *x, size_t blocks, const uint32_t *mask, float shift, float scale, double *sums,
                 double *weighted, float *stored) {
    const Register shifts = broadcast(shift), scales = broadcast(scale), lowest = broadcast(-127.0f);
    for_blocks(
        x, blocks, mask,
        [&](size_t b, auto source) {
            Register total[kRegisters], product[kRegisters];
            for (int p = 0; p < kRegisters; ++p) total[p] = product[p] = broadcast(0.0f);
            for (int row = 0; row < kRows; ++row) {
                for (int p = 0; p < kRegisters; ++p) {
                    const Register t = multiply(subtract(source(row, p), shifts), scales);
                    const Register e = exp2_small(t);
                    if (stored) store_register(stored + b * kBlock + row * kLanes + p * kWidth, e);
                    total[p] = add(total[p], e);
                    product[p] = add(product[p], multiply(e, larger(t, lowest)));
                }
            }
            sums[b] = sum_lanes(total);
            weighted[b] = sum_lanes(product);
        },
        [&](size_t b) {
            sums[b] = weighted[b] = 0.0;
            if (stored)
                for (size_t i = 0; i < kBlock; ++i) stored[b * kBlock + i] = 0.0f;
        });
}

void moments(const float *x, size_t blocks, const uint32_t *mask, float shift, double *counts, double *sums,
             double *squares) {
    const Register shifts = broadcast(shift), lowest = broadcast(kLowest), one = broadcast(1.0f);
    for_blocks(
        x, blocks, mask,
        [&](size_t b, auto source) {
            Register count[kRegisters], sum[kRegisters], square[kRegisters];
            for (int p = 0; p < kRegisters; ++p) count[p] = sum[p] = square[p] = broadcast(0.0f);
            for (int row = 0; row < kRows; ++row) {
                for (int p = 0; p < kRegisters; ++p) {
                    const Register value = source(row, p);
                    const Flags finite = at_least(value, lowest);
                    const Register d = keep_where(subtract(value, shifts), finite);
                    count[p] = add(count[p], keep_where(one, finite));
                    sum[p] = add(sum[p], d);
                    square[p] = add(square[p], multiply(d, d));
                }
            }
            counts[b] = sum_lanes(count);
            sums[b] = sum_lanes(sum);
            squares[b] = sum_lanes(square);
        },
        [&](size_t b) { counts[b] = sums[b] = squares[b] = 0.0; });
}

// One bit for each element of a block.
struct BlockBits {
    uint64_t words[kBlock / 64] = {};

    // Of row `row` and the next one; `row` is even.
    void put(int row, const Flags *first, const Flags *second) {
        words[row / 4] |= static_cast<uint64_t>(bits_of_rows(first, second)) << (row % 4 * kLanes);
    }

    void keep(const uint32_t *allowed) {
        for (int w = 0; w < kBlock / 64; ++w) words[w] &= allowed[2 * w] | static_cast<uint64_t>(allowed[2 * w + 1]) << 32;
    }
};

// Appends the elements of `x` whose bit is set, and `first` plus their places. Returns how many. Most words have no bit or
// one, and which cannot be predicted: so one is written in any case, and counted where it was there.
inline int append(const BlockBits &bits, const float *x, int first, int32_t *places, float *values) {
    int count = 0;
    for (int w = 0; w < kBlock / 64; ++w) {
        uint64_t left = bits.words[w];
        do {
            const int at = w * 64 + __builtin_ctzll(left | uint64_t{1} << 63);
            places[count] = first + at;
            values[count] = x[at];
            count += left != 0;
            left &= left - 1;
        } while (left);
    }
    return count;
}

inline int collect_few(const float *x, const uint32_t *words, float threshold, int32_t *places, float *values) {
    int count = 0;
    for_allowed(words, [&](int at) {
        if (!(x[at] >= threshold)) return;
        places[count] = at;
        values[count++] = x[at];
    });
    return count;
}

int collect(const float *x, const uint32_t *mask, float threshold, int32_t *places, float *values) {
    if (mask && count_allowed(mask) <= kFew) return collect_few(x, mask, threshold, places, values);
    const Register limit = broadcast(threshold);
    const Plain source{x};
    BlockBits found;
    for (int row = 0; row < kRows; row += 2) {
        Flags above[2][kRegisters];
        for (int i = 0; i < 2; ++i)
            for (int p = 0; p < kRegisters; ++p) above[i][p] = at_least(source(row + i, p), limit);
        found.put(row, above[0], above[1]);
    }
    if (mask) found.keep(mask);
    return append(found, x, 0, places, values);
}

// Whether a logit is there that is not below `threshold`.
inline bool reaches(const float *x, const uint32_t *mask, float threshold) {
    const Register limit = broadcast(threshold);
    Flags any = no_flags();
    for_blocks(
        x, 1, mask,
        [&](size_t, auto source) {
            for (int row = 0; row < kRows; ++row)
                for (int p = 0; p < kRegisters; ++p) any = either(any, at_least(source(row, p), limit));
        },
        [](size_t) {});
    return bits_of(any) != 0;
}

bool find_largest(const float *x, size_t blocks, const uint32_t *mask, float *largest, size_t *place) {
    size_t block = blocks;
    if (mask ? find_masked_block(x, blocks, mask, largest, &block) : find_stretch(x, blocks, largest, &block)) return true;
    for (; block < blocks; ++block) {
        const float *from = x + block * kBlock;
        const uint32_t *words = mask ? mask + block * (kBlock / 32) : nullptr;
        if (!reaches(from, words, *largest)) continue;
        int32_t places[kBlock];
        float values[kBlock];
        collect(from, words, *largest, places, values);
        *place = block * kBlock + static_cast<size_t>(places[0]);
        break;
    }
    return false;
}

void distances(const float *x, size_t blocks, const uint32_t *mask, float shift, float scale, float centre,
               float *keys) {
    const Register shifts = broadcast(shift), scales = broadcast(scale), centres = broadcast(centre);
    const Register zero = broadcast(0.0f);
    for_blocks(
        x, blocks, mask,
        [&](size_t b, auto source) {
            for (int row = 0; row < kRows; ++row) {
                for (int p = 0; p < kRegisters; ++p) {
                    const Register t = multiply(subtract(source(row, p), shifts), scales);
                    const Register key = subtract(zero, magnitude(subtract(t, centres)));
                    store_register(keys + b * kBlock + row * kLanes + p * kWidth, key);
                }
            }
        },
        [&](size_t b) {
            for (size_t i = 0; i < kBlock; ++i) keys[b * kBlock + i] = kMinusInfinity;
        });
}

void mass_above(const float *keys, const float *weights, size_t blocks, const float *pivots, double *masses,
                double *counts) {
    const Register one = broadcast(1.0f);
    Register limits[kPivots];
    for (int i = 0; i < kPivots; ++i) {
        limits[i] = broadcast(pivots[i]);
        masses[i] = counts[i] = 0.0;
    }
    for (size_t b = 0; b < blocks; ++b) {
        const Plain key{keys + b * kBlock}, weight{weights + b * kBlock};
        Register mass[kPivots][kRegisters], count[kPivots][kRegisters];
        for (int i = 0; i < kPivots; ++i)
            for (int p = 0; p < kRegisters; ++p) mass[i][p] = count[i][p] = broadcast(0.0f);
        for (int row = 0; row < kRows; ++row) {
            for (int p = 0; p < kRegisters; ++p) {
                const Register k = key(row, p), w = weight(row, p);
                for (int i = 0; i < kPivots; ++i) {
                    const Flags above = at_least(k, limits[i]);
                    mass[i][p] = add(mass[i][p], keep_where(w, above));
                    count[i][p] = add(count[i][p], keep_where(one, above));
                }
            }
        }
        for (int i = 0; i < kPivots; ++i) {
            masses[i] += sum_lanes(mass[i]);
            counts[i] += sum_lanes(count[i]);
        }
    }
}

void cut(const float *keys, float *weights, size_t blocks, float threshold, double *sums) {
    const Register limit = broadcast(threshold);
    for (size_t b = 0; b < blocks; ++b) {
        const Plain key{keys + b * kBlock}, weight{weights + b * kBlock};
        Register total[kRegisters];
        for (int p = 0; p < kRegisters; ++p) total[p] = broadcast(0.0f);
        for (int row = 0; row < kRows; ++row) {
            for (int p = 0; p < kRegisters; ++p) {
                const Register kept = keep_where(weight(row, p), at_least(key(row, p), limit));
                store_register(weights + b * kBlock + row * kLanes + p * kWidth, kept);
                total[p] = add(total[p], kept);
            }
        }
        sums[b] = sum_lanes(total);
    }
}

size_t split(const float *keys, const float *weights, size_t blocks, float from, float below, double *sums,
             int32_t *places, float *found) {
    const Register low = broadcast(from), high = broadcast(below);
    size_t count = 0;
    for (size_t b = 0; b < blocks; ++b) {
        const Plain key{keys + b * kBlock}, weight{weights + b * kBlock};
        Register total[kRegisters];
        for (int p = 0; p < kRegisters; ++p) total[p] = broadcast(0.0f);
        BlockBits open;
        for (int row = 0; row < kRows; row += 2) {
            Flags is_open[2][kRegisters];
            for (int i = 0; i < 2; ++i) {
                for (int p = 0; p < kRegisters; ++p) {
                    const Register k = key(row + i, p);
                    const Flags sure = at_least(k, high);
                    total[p] = add(total[p], keep_where(weight(row + i, p), sure));
                    is_open[i][p] = but_not(at_least(k, low), sure);
                }
            }
            open.put(row, is_open[0], is_open[1]);
        }
        count += static_cast<size_t>(
            append(open, keys + b * kBlock, static_cast<int>(b) * kBlock, places + count, found + count));
        sums[b] = sum_lanes(total);
    }
    return count;
}

constexpr Kernels table(const char *name) {
    return {name,    block_max, find_largest, group_max,  exp_sums, exp_total, exp_entropy,
            moments, collect,   distances,    mass_above, cut,      split};
}

}  // namespace
}  // namespace edgellm::sampling
