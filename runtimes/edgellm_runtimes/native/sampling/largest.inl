// The largest of what it is shown, and whether a NaN was there. Included by kernels.inl, in its namespaces.
//
// As signed integers, floats from +0 on are ordered as they are, and those below are less than these; a NaN is above all
// of its sign, with a minus sign it is above everything as an unsigned integer. So where the largest is not below zero, a
// signed and an unsigned maximum of integers find it and see a NaN. Processors compute these beside the maxima and
// comparisons of floats, or in fewer operations: lanes.h says how many of four rows go that way.

#if EDGELLM_INTEGER_ROWS
class IntegerMaxima {
  public:
    IntegerMaxima() {
        for (int p = 0; p < kRegisters; ++p) {
            seen_[p] = signed_[p] = broadcast_bits(kMinusInfinityBits);
            unsigned_[p] = broadcast_bits(0);
        }
    }

    void restart() {
        for (int p = 0; p < kRegisters; ++p) {
            seen_[p] = larger_signed(seen_[p], signed_[p]);
            signed_[p] = broadcast_bits(kMinusInfinityBits);
        }
    }

    void show(Register value, int part) {
        const Bits bits = bits_of_floats(value);
        signed_[part] = larger_signed(signed_[part], bits);
        unsigned_[part] = larger_unsigned(unsigned_[part], bits);
    }

    // -inf, or less than was shown, in a lane that was shown nothing from +0 on.
    Register largest(int part) const { return floats_of_bits(signed_[part]); }

    bool saw_nan() const {
        for (int p = 0; p < kRegisters; ++p) {
            const Bits of_both_signs = larger_signed(larger_signed(seen_[p], signed_[p]), turn_signs(unsigned_[p]));
            if (any_above(of_both_signs, kInfinityBits)) return true;
        }
        return false;
    }

  private:
    static constexpr int32_t kInfinityBits = 0x7f800000, kMinusInfinityBits = INT32_MIN | kInfinityBits;
    Bits signed_[kRegisters], unsigned_[kRegisters];
    Bits seen_[kRegisters];  // the largest of `signed_` before it was restarted
};
#else
struct IntegerMaxima {
    void restart() {}
    void show(Register, int) {}
    Register largest(int) const { return broadcast(kMinusInfinity); }
    bool saw_nan() const { return false; }
};
#endif

class Largest {
  public:
    Largest() {
        for (int p = 0; p < kRegisters; ++p)
            for (int i = 0; i < kBests; ++i) best_[i][p] = broadcast(kMinusInfinity);
    }

    // Forgets the largest, not that there was a NaN.
    void restart() {
        for (int p = 0; p < kRegisters; ++p)
            for (int i = 0; i < kBests; ++i) best_[i][p] = broadcast(kMinusInfinity);
        integers_.restart();
    }

    template <class Source>
    void show(Source source) {
        show_rows<0>(source);
    }

    // As `show`, in less time where something shown since the start is not below zero. `largest` is too low where nothing is.
    template <class Source>
    void show_from_zero(Source source) {
        show_rows<EDGELLM_INTEGER_ROWS>(source);
    }

    float largest() const {
        Register best[kRegisters];
        for (int p = 0; p < kRegisters; ++p)
            best[p] = larger(larger(best_[0][p], best_[kBests - 1][p]), integers_.largest(p));
        return largest_lane(best);
    }

    bool saw_nan() const { return bits_of(bad_) != 0 || integers_.saw_nan(); }

  private:
    template <int kIntegerRows, class Source>
    void show_rows(Source source) {
#if EDGELLM_INTEGER_ROWS
#pragma GCC unroll 4  // so that what a mask is shifted by is known
#endif
        for (int row = 0; row < kRows; row += 4) {
            for (int p = 0; p < kRegisters; ++p) {
                for (int i = 0; i < kIntegerRows; ++i) integers_.show(held(source(row + i, p)), p);
                for (int i = kIntegerRows; i < 4; i += 2) {
                    const Register first = held(source(row + i, p)), second = held(source(row + i + 1, p));
                    bad_ = either(bad_, unordered(first, second));
                    Register &best = best_[i / 2 % kBests][p];
                    best = larger(best, larger(first, second));
                }
            }
        }
    }

    static constexpr int kBests = kRegisters == 1 ? 2 : 1;  // chains of operations, as many as hide a maximum's latency
    Register best_[kBests][kRegisters];
    Flags bad_ = no_flags();
    IntegerMaxima integers_;
};
