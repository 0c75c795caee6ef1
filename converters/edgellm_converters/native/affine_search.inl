// The search behind Q4_K and Q5_K: x ~ scale * level + min over sub-blocks of 32 values, one sub-block per vector lane.
// Included into each instruction set's translation unit.
//
// kGroups vectors are walked side by side: the sums are chains of dependent additions, and a second chain hides the
// latency of the first.

namespace {

constexpr int kAffineValues = 32;
constexpr int kAffineSubBlocks = 8;  // in a super-block

template <int kGroups> struct AffineValues {
    // [value of the sub-block][group]
    Float x[kAffineValues][kGroups];
    Float weight[kAffineValues][kGroups];
    Float level[kAffineValues][kGroups];
};

struct AffineFit {
    Float scale, min, error;
    Float lowest, max, sum_w, sum_x;
    Float inverse, base;  // the best levels are round(inverse * (x - base))
    Int constant;         // lanes whose values are all the same (and not above 0)
    Int bad;              // lanes to leave to ggml
};

template <int kGroups> void weigh(AffineValues<kGroups> &values) {
    for (int g = 0; g < kGroups; ++g) {
        Float sum_x2{};
        for (int i = 0; i < kAffineValues; ++i) sum_x2 += values.x[i][g] * values.x[i][g];
        const Float average = square_root(sum_x2 / float(kAffineValues));
        for (int i = 0; i < kAffineValues; ++i) values.weight[i][g] = average + absolute(values.x[i][g]);
    }
}

template <int kGroups> void survey(const AffineValues<kGroups> &values, AffineFit *fits) {
    for (int g = 0; g < kGroups; ++g) {
        AffineFit &fit = fits[g];
        Float low = values.x[0][g], high = low, sum_w = values.weight[0][g], sum_x = sum_w * low;
        for (int i = 1; i < kAffineValues; ++i) {
            const Float x = values.x[i][g], w = values.weight[i][g];
            low = smaller(x, low);
            high = larger(x, high);
            sum_w += w;
            sum_x += w * x;
        }
        fit.lowest = low;
        fit.max = high;
        fit.min = low > 0.0f ? Float{} : low;
        fit.constant = fit.max == fit.min;
        fit.sum_w = sum_w;
        fit.sum_x = sum_x;
        fit.bad = ~(sum_w <= 3.0e38f);  // infinite or NaN: some value is
    }
}

// Lanes where inverse * (x - min) of some x may be beyond what the magic number rounds. Rounding keeps order, so the
// products of the smallest and the largest x bound all others.
inline Int beyond_rounding(const AffineFit &fit, Float inverse) {
    const Float top = absolute(inverse * (fit.max - fit.min));
    const Float bottom = absolute(inverse * (fit.lowest - fit.min));
    return ~((top <= kRoundLimit) & (bottom <= kRoundLimit) & (fit.min <= fit.max)) & ~fit.constant;
}

template <int kMaxLevel> inline Float level_of(Float x, Float min, Float inverse) {
    const Float rounded = inverse * (x - min) + kRoundMagic;
    return smaller(larger(rounded, broadcast(kRoundMagic)), broadcast(kRoundMagic + kMaxLevel)) - kRoundMagic;
}

// The first guess: the range from min to max in equal steps.
template <int kMaxLevel, int kGroups> void first_guess(const AffineValues<kGroups> &values, AffineFit *fits) {
    for (int g = 0; g < kGroups; ++g) {
        AffineFit &fit = fits[g];
        fit.inverse = float(kMaxLevel) / (fit.max - fit.min);
        fit.base = fit.min;
        fit.bad |= beyond_rounding(fit, fit.inverse);
        fit.scale = 1.0f / fit.inverse;
        fit.error = Float{};
        for (int i = 0; i < kAffineValues; ++i) {
            const Float x = values.x[i][g];
            const Float difference = fit.scale * level_of<kMaxLevel>(x, fit.min, fit.inverse) + fit.min - x;
            fit.error += values.weight[i][g] * (difference * difference);
        }
    }
}

struct AffineSums {
    Float l{}, l2{}, xl{};
};

template <int kMaxLevel, int kGroups>
inline void make_levels(AffineValues<kGroups> &values, const AffineFit *fits, const Float *inverse, AffineSums *sums) {
    for (int i = 0; i < kAffineValues; ++i) {
        for (int g = 0; g < kGroups; ++g) {
            const Float x = values.x[i][g];
            const Float level = level_of<kMaxLevel>(x, fits[g].min, inverse[g]);
            const Float weighted = values.weight[i][g] * level;
            values.level[i][g] = level;
            sums[g].l += weighted;
            sums[g].l2 += weighted * level;
            sums[g].xl += weighted * x;
        }
    }
}

// Least squares for the levels just made; taken in the lanes where the error gets smaller.
template <int kGroups>
inline void improve(const AffineValues<kGroups> &values, AffineFit *fits, const Float *inverse, const AffineSums *sums) {
    Float scale[kGroups], min[kGroups], error[kGroups];
    Int solvable[kGroups];
    for (int g = 0; g < kGroups; ++g) {
        const AffineFit &fit = fits[g];
        const AffineSums &sum = sums[g];
        const Float determinant = fit.sum_w * sum.l2 - sum.l * sum.l;
        solvable[g] = determinant > 0.0f;
        min[g] = (sum.l2 * fit.sum_x - sum.l * sum.xl) / determinant;
        const Int positive = min[g] > 0.0f;
        scale[g] = positive ? sum.xl / sum.l2 : (fit.sum_w * sum.xl - fit.sum_x * sum.l) / determinant;
        min[g] = positive ? Float{} : min[g];
        error[g] = Float{};
    }
    for (int i = 0; i < kAffineValues; ++i) {
        for (int g = 0; g < kGroups; ++g) {
            const Float difference = scale[g] * values.level[i][g] + min[g] - values.x[i][g];
            error[g] += values.weight[i][g] * (difference * difference);
        }
    }
    for (int g = 0; g < kGroups; ++g) {
        AffineFit &fit = fits[g];
        const Int better = solvable[g] & (error[g] < fit.error);
        fit.inverse = better ? inverse[g] : fit.inverse;
        fit.base = better ? fit.min : fit.base;
        fit.error = better ? error[g] : fit.error;
        fit.scale = better ? scale[g] : fit.scale;
        fit.min = better ? min[g] : fit.min;
    }
}

// first_offset: where the scan of the inverse scale begins, in levels; it goes on in steps of 0.1.
template <int kMaxLevel, int kSteps, int kGroups>
void search(AffineValues<kGroups> &values, AffineFit *fits, float first_offset) {
    weigh(values);
    survey(values, fits);
    Float lowest[kGroups];
    bool all_constant = true;
    for (int g = 0; g < kGroups; ++g) {
        lowest[g] = fits[g].min;
        all_constant = all_constant && !any(~fits[g].constant);
    }
    first_guess<kMaxLevel>(values, fits);
    for (int step = 0; step <= kSteps && !all_constant; ++step) {
        const float levels = first_offset + 0.1f * static_cast<float>(step) + static_cast<float>(kMaxLevel);
        Float inverse[kGroups];
        AffineSums sums[kGroups];
        for (int g = 0; g < kGroups; ++g) {
            inverse[g] = levels / (fits[g].max - fits[g].min);
            fits[g].bad |= beyond_rounding(fits[g], inverse[g]);
        }
        make_levels<kMaxLevel>(values, fits, inverse, sums);
        improve(values, fits, inverse, sums);
    }
    for (int g = 0; g < kGroups; ++g) {
        AffineFit &fit = fits[g];
        fit.scale = fit.constant ? Float{} : fit.scale;
        fit.min = fit.constant ? lowest[g] : fit.min;
        fit.bad &= ~fit.constant | ~(fit.sum_w <= 3.0e38f);
    }
}

}  // namespace
