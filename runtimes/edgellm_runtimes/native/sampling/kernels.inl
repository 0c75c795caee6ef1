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

// The bits of register `part` in row `row` of a block.
inline unsigned mask_bits(const uint32_t *words, int row, int part) {
    const int bit = row * kLanes + part * kWidth;
    return (words[bit / 32] >> (bit % 32)) & ((1u << kWidth) - 1u);
}

struct Plain {
    const float *x;
    Register operator()(int row, int part) const { return load_register(x + row * kLanes + part * kWidth); }
};

struct Masked {
    const float *x;
    const uint32_t *words;
    Register operator()(int row, int part) const {
        const Register all = load_register(x + row * kLanes + part * kWidth);
        return choose(flags_from(mask_bits(words, row, part)), all, broadcast(kMinusInfinity));
    }
};

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

bool block_max(const float *x, size_t blocks, const uint32_t *mask, float *largest) {
    Flags bad = no_flags();
    for_blocks(
        x, blocks, mask,
        [&](size_t b, auto source) {
            Register best[kRegisters];
            for (int p = 0; p < kRegisters; ++p) {
                const Register first = source(0, p), second = source(1, p);
                bad = either(bad, unordered(first, second));
                best[p] = larger(first, second);
            }
            for (int row = 2; row < kRows; row += 2) {
                for (int p = 0; p < kRegisters; ++p) {
                    const Register first = source(row, p), second = source(row + 1, p);
                    bad = either(bad, unordered(first, second));
                    best[p] = larger(best[p], larger(first, second));
                }
            }
            largest[b] = largest_lane(best);
        },
        [&](size_t b) { largest[b] = kMinusInfinity; });
    return bits_of(bad) != 0;
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

// exp for arguments <= 0 (Cephes expf): 2^n * p(r) with n = round(t / ln 2) and r = t - n ln 2, relative error below
// 2e-7. Below -87 it is 0.
inline Register exp_negative(Register t) {
    const Register magic = broadcast(12582912.0f);  // 1.5 * 2^23: the sum's unit is 1
    const Register floor_value = broadcast(-87.0f);
    const Flags alive = at_least(t, floor_value);
    t = larger(t, floor_value);
    const Register n_magic = add(multiply(t, broadcast(1.44269504088896341f)), magic);
    const Register n = subtract(n_magic, magic);
    Register r = subtract(t, multiply(n, broadcast(0.693359375f)));
    r = subtract(r, multiply(n, broadcast(-2.12194440e-4f)));
    Register p = broadcast(1.9875691500e-4f);
    p = add(multiply(p, r), broadcast(1.3981999507e-3f));
    p = add(multiply(p, r), broadcast(8.3334519073e-3f));
    p = add(multiply(p, r), broadcast(4.1665795894e-2f));
    p = add(multiply(p, r), broadcast(1.6666665459e-1f));
    p = add(multiply(p, r), broadcast(5.0000001201e-1f));
    p = add(add(multiply(multiply(p, r), r), r), broadcast(1.0f));
    return keep_where(scale_by_power(p, n_magic), alive);
}

void exp_sums(const float *x, size_t blocks, const uint32_t *mask, float shift, float scale, double *sums,
              float *stored) {
    const Register shifts = broadcast(shift), scales = broadcast(scale);
    for_blocks(
        x, blocks, mask,
        [&](size_t b, auto source) {
            Register total[2][kRegisters];
            for (int p = 0; p < kRegisters; ++p) total[0][p] = total[1][p] = broadcast(0.0f);
            for (int row = 0; row < kRows; ++row) {
                for (int p = 0; p < kRegisters; ++p) {
                    const Register e = exp_negative(multiply(subtract(source(row, p), shifts), scales));
                    if (stored) store_register(stored + b * kBlock + row * kLanes + p * kWidth, e);
                    total[row & 1][p] = add(total[row & 1][p], e);
                }
            }
            for (int p = 0; p < kRegisters; ++p) total[0][p] = add(total[0][p], total[1][p]);
            sums[b] = sum_lanes(total[0]);
        },
        [&](size_t b) {
            sums[b] = 0.0;
            if (stored)
                for (size_t i = 0; i < kBlock; ++i) stored[b * kBlock + i] = 0.0f;
        });
}

void exp_entropy(const float *x, size_t blocks, const uint32_t *mask, float shift, float scale, double *sums,
                 double *weighted, float *stored) {
    const Register shifts = broadcast(shift), scales = broadcast(scale), lowest = broadcast(-87.0f);
    for_blocks(
        x, blocks, mask,
        [&](size_t b, auto source) {
            Register total[kRegisters], product[kRegisters];
            for (int p = 0; p < kRegisters; ++p) total[p] = product[p] = broadcast(0.0f);
            for (int row = 0; row < kRows; ++row) {
                for (int p = 0; p < kRegisters; ++p) {
                    const Register t = multiply(subtract(source(row, p), shifts), scales);
                    const Register e = exp_negative(t);
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
    const Register shifts = broadcast(shift), lowest = broadcast(-3.402823466e38f), one = broadcast(1.0f);
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

template <class Source>
inline int collect_from(Source source, float threshold, int32_t *places, float *values) {
    const Register limit = broadcast(threshold);
    int count = 0;
    for (int row = 0; row < kRows; ++row) {
        for (int p = 0; p < kRegisters; ++p) {
            const Register value = source(row, p);
            const Flags flags = at_least(value, limit);
            const unsigned found = bits_of(flags);
            if (found)
                count += append(value, flags, found, row * kLanes + p * kWidth, places + count, values + count);
        }
    }
    return count;
}

int collect(const float *x, const uint32_t *mask, float threshold, int32_t *places, float *values) {
    return mask ? collect_from(Masked{x, mask}, threshold, places, values)
                : collect_from(Plain{x}, threshold, places, values);
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

int between(const float *keys, float from, float below, int32_t *places, float *found) {
    const Plain source{keys};
    const Register low = broadcast(from), high = broadcast(below);
    int count = 0;
    for (int row = 0; row < kRows; ++row) {
        for (int p = 0; p < kRegisters; ++p) {
            const Register value = source(row, p);
            const unsigned inside = bits_of(at_least(value, low)) & ~bits_of(at_least(value, high));
            if (inside)
                count += append(value, flags_from(inside), inside, row * kLanes + p * kWidth, places + count,
                                found + count);
        }
    }
    return count;
}

constexpr Kernels table(const char *name) {
    return {name,    block_max, group_max, exp_sums,   exp_entropy,
            moments, collect,   distances, mass_above, cut,      between};
}

}  // namespace
}  // namespace edgellm::sampling
