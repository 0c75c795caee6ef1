// The largest of the logits that it is shown, and whether a NaN was there. Included by kernels.inl, in its namespaces.
//
// A pass that looks for the largest takes what it takes to load the logits, if next to nothing is done beside the maximum.
// So nobody looks for a NaN in each logit. The maximum of NEON is NaN once one was there. AVX2 and AVX-512 multiply and add
// all logits up: a sum that is a number had no NaN in it. One that is none may have had infinities alone, or numbers whose
// product is too large: then the logits are looked at again, one by one. Where fused operations are slow, each is at once.

constexpr int kChains = 4;  // of operations that wait for each other: as many as hide the latency of one

#if defined(EDGELLM_MAXIMUM_KEEPS_NAN)

class NanWatch {
  public:
    static constexpr bool kIsSure = true;
    void show(Register, Register, int) {}
    void note(Register largest) { seen_ = larger_or_nan(seen_, largest); }
    bool saw(Register largest) const {
        const Register all = larger_or_nan(seen_, largest);
        return bits_of(unordered(all, all)) != 0;
    }

  private:
    Register seen_ = broadcast(kMinusInfinity);
};

#elif defined(EDGELLM_FAST_MULTIPLY_ADD)

class NanWatch {
  public:
    static constexpr bool kIsSure = false;

    NanWatch() {
        for (int i = 0; i < kChains; ++i) sum_[i] = broadcast(1.0f);
    }

    void show(Register first, Register second, int chain) {
        sum_[chain] = multiply_add(first, second, sum_[chain]);
    }
    void note(Register) {}

    bool saw(Register) const {
        const Register sum = add(add(sum_[0], sum_[1]), add(sum_[2], sum_[3]));
        return bits_of(unordered(sum, sum)) != 0;
    }

  private:
    Register sum_[kChains];
};

#else

class NanWatch {
  public:
    static constexpr bool kIsSure = true;
    void show(Register first, Register second, int) { bad_ = either(bad_, unordered(first, second)); }
    void note(Register) {}
    bool saw(Register) const { return bits_of(bad_) != 0; }

  private:
    Flags bad_ = no_flags();
};

#endif

class Largest {
  public:
    Largest() {
        for (int i = 0; i < kBests; ++i) best_[i] = broadcast(kMinusInfinity);
    }

    // A block.
    template <class Source>
    void show(Source source) {
        show_from<false>(source);
    }

    // The same, and forgets the largest before it. Not that there was a NaN.
    template <class Source>
    void show_alone(Source source) {
        watch_.note(one_register());
        show_from<true>(source);
    }

    // Whether anything that was shown is above what all lanes of `limit` are, or NaN.
    bool is_above(Register limit) const { return bits_of(at_least(limit, one_register())) != (1u << kWidth) - 1; }

    // NaN, or anything, where one was shown.
    float largest() const {
        Register best[kRegisters];
        join(best);
        return largest_lane(best);
    }

    // Where `NanWatch::kIsSure` does not hold, there may have been none.
    bool saw_nan() const { return watch_.saw(one_register()); }
    void forget_nan() { watch_ = NanWatch(); }

  private:
    static constexpr int kBests = kRegisters > kChains ? kRegisters : kChains;

    template <bool kIsFirst, class Source>
    void show_from(Source source) {
        for (int first = 0; first < kRows * kRegisters; first += 2 * kBests) {
            const Source part = source.after(first);
            for (int i = 0; i < kBests; ++i) {
                const Register a = held(part.loaded(2 * i)), b = held(part.loaded(2 * i + 1));
                const Register x = part.allowed(a, 2 * i), y = part.allowed(b, 2 * i + 1);
                best_[i] = kIsFirst && first == 0 ? larger_or_nan(x, y) : part.larger_of(best_[i], a, b, 2 * i);
                if (NanWatch::kIsSure)
                    watch_.show(x, y, i);
                else
                    watch_.show(a, b, i % kChains);  // what is not allowed may be NaN: that is told apart where it is seen
            }
        }
    }

    void join(Register (&best)[kRegisters]) const {
        for (int p = 0; p < kRegisters; ++p) best[p] = best_[p];
        for (int i = kRegisters; i < kBests; ++i) best[i % kRegisters] = larger_or_nan(best[i % kRegisters], best_[i]);
    }

    Register one_register() const {
        Register best[kRegisters];
        join(best);
        for (int p = 1; p < kRegisters; ++p) best[0] = larger_or_nan(best[0], best[p]);
        return best[0];
    }

    Register best_[kBests];
    NanWatch watch_;
};
