// A few candidates, sorted: every stage by its definition, in double.
#pragma once

#include <cstddef>
#include <cstdint>

#include "workspace.h"

namespace edgellm::sampling {

class Shortlist {
  public:
    explicit Shortlist(Workspace &workspace) : w_(&workspace) {}

    // The candidates of `count` logits with their tokens; of them only the first `limit`, and with `keep_ties` those that
    // are as likely as the last of these.
    void open(const float *values, const int32_t *ids, size_t count, size_t limit, bool keep_ties);

    size_t size() const { return end_ - begin_; }
    int32_t id(size_t i) const;
    double logit(size_t i) const { return w_->logits[begin_ + i]; }

    // Stages; `scale` is 1 / temperature. Each leaves at least one candidate.
    void keep_top_k(size_t k, bool keep_ties);
    void keep_top_p(double p, double scale);
    void keep_min_p(double p, double scale);
    void keep_typical(double p, bool reaches, double scale);
    void keep_top_n_sigma(double n);
    void drop_top_choices(double threshold, double scale);  // XTC, once its draw has hit
    void keep_surprise_below(double bits, double scale);    // Mirostat's truncation

    // Keeps the first candidates whose weights reach `target`; false, keeping all, when they do not.
    bool keep_mass(double target, double scale);

    double entropy(double scale);

    // Sum of exp((logit - largest) * scale).
    double sum_exps(double scale);

    // The candidate where the running sum of exps passes `target`; call after `sum_exps`. `weight` is its exp.
    size_t find(double target, double &weight) const;

  private:
    bool keep_summed(double target);  // `keep_mass` after `sum_exps`
    const double *exps() const { return w_->exps.data() + begin_; }

    Workspace *w_;
    size_t begin_ = 0, end_ = 0;
};

}  // namespace edgellm::sampling
