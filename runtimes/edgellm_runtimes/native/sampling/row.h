// One row of logits as a whole: too many to sort. Every pass is a kernel over its blocks; what was changed lies in copies
// of the few blocks concerned, so that the input stays as it is.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernel_table.h"
#include "workspace.h"

namespace edgellm::sampling {

class Row {
  public:
    Row(const Kernels &kernels, Workspace &workspace) : k_(kernels), w_(workspace) {}

    // A row of `n` logits. `ids` are their tokens, ascending; nullptr when logit i is token i. `mask`: see Kernels.
    void open(const float *x, size_t n, const uint32_t *mask, const int32_t *ids);

    // Computes the largest logit. False when one is NaN.
    bool find_largest();

    // The same for nothing but `largest_place`, in less time.
    bool find_only_largest();
    size_t largest_place() const { return place_; }

    // Gives the logit at place `i` another value. After all changes comes `find_changed`: `find_largest` for what differs.
    // A row that had a NaN before needs `find_largest` again.
    void change(size_t i, float value);
    bool find_changed();

    size_t size() const { return n_; }
    size_t blocks() const { return blocks_; }
    float largest() const { return largest_; }
    int32_t id(size_t i) const { return ids_ ? ids_[i] : static_cast<int32_t>(i); }

    // The first place of the largest logit.
    size_t first_largest() const;

    // Sum of e = exp((x - largest) * scale); sums of blocks are kept for `find`. Every e goes to `stored`, where given.
    double sum_exps(double scale, std::vector<float> *stored = nullptr);

    // Natural logarithm of the sum of exp(x - largest), in less time than `sum_exps`.
    double log_sum_exps();

    // As `sum_exps`, and the sum of e * (x - largest) * scale.
    double sum_entropy(double scale, double &weighted, std::vector<float> *stored = nullptr);

    // Number, sum and sum of squares of x - largest over the logits above -inf.
    void moments(double &count, double &sum, double &squares);

    // -|(x - largest) * scale - centre| of every logit, to workspace.keys.
    void distances(double scale, double centre);

    // All logits >= threshold, in their order, into `list`; returns how many.
    size_t collect(float threshold, ValueList &list) const;

    // The least threshold that `collect` needs for at least `k` logits, or the least finite logit when there are fewer.
    float threshold_for(size_t k);

    // The place whose e, added up in the order of places, reaches `target`; the sums are those of `sum_exps(scale)`.
    // `weight` is its e. Falls back to the last place with a weight.
    size_t find(double target, double scale, double &weight);

    // Every e, zero behind the row's end; from a pass that stored them.
    const float *weights() const { return w_.weights.data(); }

    // The logits of block `b`, changed ones included, and its mask.
    const float *block(size_t b, const uint32_t *&mask) const;

  private:
    float largest_of_blocks();
    template <class Pass>
    void for_runs(Pass pass) const;

    const Kernels &k_;
    Workspace &w_;
    const float *x_ = nullptr;
    const uint32_t *mask_ = nullptr;
    const int32_t *ids_ = nullptr;
    size_t n_ = 0, blocks_ = 0, touched_ = 0;
    size_t place_ = 0;
    float largest_ = 0.0f;
};

}  // namespace edgellm::sampling
