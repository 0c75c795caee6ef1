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

// The bits of register `part` in row `row` of a block, with others above them.
inline unsigned mask_bits(const uint32_t *words, int row, int part) {
    const int bit = row * kLanes + part * kWidth;
    return words[bit / 32] >> (bit % 32);
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

// The largest of what it is shown, and whether a NaN was there.
class Largest {
  public:
    Largest() { restart(); }

    void restart() {
        for (int p = 0; p < kRegisters; ++p)
            for (int i = 0; i < kBests; ++i) best_[i][p] = broadcast(kMinusInfinity);
    }

    template <class Source>
    void show(Source source) {
        for (int row = 0; row < kRows; row += 2 * kBests) {
            for (int i = 0; i < kBests; ++i) {
                for (int p = 0; p < kRegisters; ++p) {
                    const Register first = held(source(row + 2 * i, p)), second = held(source(row + 2 * i + 1, p));
                    bad_ = either(bad_, unordered(first, second));
                    best_[i][p] = larger(best_[i][p], larger(first, second));
                }
            }
        }
    }

    float largest() const {
        Register best[kRegisters];
        for (int p = 0; p < kRegisters; ++p) best[p] = larger(best_[0][p], best_[kBests - 1][p]);
        return largest_lane(best);
    }

    bool saw_nan() const { return bits_of(bad_) != 0; }

  private:
    static constexpr int kBests = kRegisters <= 2 ? 2 : 1;  // chains of operations, as many as the registers hold
    Register best_[kBests][kRegisters];
    Flags bad_ = no_flags();
};

bool block_max(const float *x, size_t blocks, const uint32_t *mask, float *largest) {
    Largest all;
    for_blocks(
        x, blocks, mask,
        [&](size_t b, auto source) {
            all.restart();
            all.show(source);
            largest[b] = all.largest();
        },
        [&](size_t b) { largest[b] = kMinusInfinity; });
    return all.saw_nan();
}

bool run_max(const float *x, size_t blocks, const uint32_t *mask, float *largest) {
    Largest all;
    if (mask)
        for_blocks(
            x, blocks, mask, [&](size_t, auto source) { all.show(source); }, [](size_t) {});
    else  // a loop of its own: with the branches of the other one in it the registers do not suffice
        for (size_t b = 0; b < blocks; ++b) all.show(Plain{x + b * kBlock});
    *largest = all.largest();
    return all.saw_nan();
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

// 2^y for y <= 0, as 2^n * p(f) with n = round(y) and f = y - n. p is the polynomial of degree 5 with p(0) = 1 and the
// least relative error on [-1/2, 1/2] (Remez), 9e-8; with its rounding 2e-7. Below 2^-126 it is 0.
inline Register exp2_negative(Register y) {
    const Register magic = broadcast(12582912.0f + 127.0f);  // 1.5 * 2^23: the sum's unit is 1, its low bits are n + 127
    y = larger(y, broadcast(-127.0f));
    const Register n = add(y, magic);
    const Register f = subtract(y, subtract(n, magic));
    Register p = broadcast(1.3264725e-3f);
    p = add(multiply(p, f), broadcast(9.6715128e-3f));
    p = add(multiply(p, f), broadcast(5.5507337e-2f));
    p = add(multiply(p, f), broadcast(2.4022242e-1f));
    p = add(multiply(p, f), broadcast(6.9314698e-1f));
    p = add(multiply(p, f), broadcast(1.0f));
    return multiply(p, power_of_two(n));
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
                    const Register e = exp2_negative(multiply(subtract(source(row, p), shifts), scales));
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
    const Register shifts = broadcast(shift), scales = broadcast(scale), lowest = broadcast(-127.0f);
    for_blocks(
        x, blocks, mask,
        [&](size_t b, auto source) {
            Register total[kRegisters], product[kRegisters];
            for (int p = 0; p < kRegisters; ++p) total[p] = product[p] = broadcast(0.0f);
            for (int row = 0; row < kRows; ++row) {
                for (int p = 0; p < kRegisters; ++p) {
                    const Register t = multiply(subtract(source(row, p), shifts), scales);
                    const Register e = exp2_negative(t);
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
    void put(int row, int part, unsigned bits) {
        const int at = row * kLanes + part * kWidth;
        words[at / 64] |= static_cast<uint64_t>(bits) << (at % 64);
    }
};

// Appends the elements of `x` whose bit is set, and `first` plus their places. Returns how many. Walking over bits
// mispredicts once for a word, where a branch at each register does so at each that holds something.
inline int append(const BlockBits &bits, const float *x, int first, int32_t *places, float *values) {
    int count = 0;
    for (int w = 0; w < kBlock / 64; ++w) {
        for (uint64_t left = bits.words[w]; left; left &= left - 1) {
            const int at = w * 64 + __builtin_ctzll(left);
            places[count] = first + at;
            values[count++] = x[at];
        }
    }
    return count;
}

template <class Source>
inline int collect_from(const float *x, Source source, float threshold, int32_t *places, float *values) {
    const Register limit = broadcast(threshold);
    BlockBits found;
    for (int row = 0; row < kRows; ++row)
        for (int p = 0; p < kRegisters; ++p) found.put(row, p, bits_of(at_least(source(row, p), limit)));
    return append(found, x, 0, places, values);
}

// What is not allowed is -inf here, and below every threshold above it.
int collect(const float *x, const uint32_t *mask, float threshold, int32_t *places, float *values) {
    return mask ? collect_from(x, Masked{x, mask}, threshold, places, values)
                : collect_from(x, Plain{x}, threshold, places, values);
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
        for (int row = 0; row < kRows; ++row) {
            for (int p = 0; p < kRegisters; ++p) {
                const Register k = key(row, p);
                const Flags sure = at_least(k, high);
                total[p] = add(total[p], keep_where(weight(row, p), sure));
                open.put(row, p, bits_of(at_least(k, low)) & ~bits_of(sure));
            }
        }
        count += static_cast<size_t>(
            append(open, keys + b * kBlock, static_cast<int>(b) * kBlock, places + count, found + count));
        sums[b] = sum_lanes(total);
    }
    return count;
}

constexpr Kernels table(const char *name) {
    return {name,    block_max, run_max,   group_max,  exp_sums, exp_entropy,
            moments, collect,   distances, mass_above, cut,      split};
}

}  // namespace
}  // namespace edgellm::sampling
