#include "shortlist.h"

#include <algorithm>

#include "candidate_key.h"
#include "scalar_math.h"

namespace edgellm::sampling {

void Shortlist::open(const float *values, const int32_t *ids, size_t count, size_t limit, bool keep_ties) {
    Key *keys = room(w_->candidates, count);
    for (size_t i = 0; i < count; ++i) keys[i] = candidate_key(values[i], ids[i]);
    size_t kept = std::min(limit, count);
    if (kept < count) {
        std::nth_element(keys, keys + (kept - 1), keys + count);
        if (keep_ties) {
            const Key last = keys[kept - 1] >> 32;
            kept = static_cast<size_t>(
                std::partition(keys + kept, keys + count, [last](Key key) { return key >> 32 == last; }) - keys);
        }
    }
    std::sort(keys, keys + kept);
    double *logits = room(w_->logits, kept);
    for (size_t i = 0; i < kept; ++i) logits[i] = static_cast<double>(key_logit(keys[i]));
    begin_ = 0;
    end_ = kept;
}

int32_t Shortlist::id(size_t i) const { return key_id(w_->candidates[begin_ + i]); }

double Shortlist::sum_exps(double scale) {
    double *e = room(w_->exps, end_) + begin_, total = 0.0;
    for (size_t i = 0; i < size(); ++i) {
        e[i] = exact_exp((logit(i) - logit(0)) * scale);
        total += e[i];
    }
    return total;
}

void Shortlist::keep_top_k(size_t k, bool keep_ties) {
    if (k >= size()) return;
    size_t kept = k;
    while (keep_ties && kept < size() && logit(kept) == logit(k - 1)) ++kept;
    end_ = begin_ + kept;
}

bool Shortlist::keep_mass(double target, double scale) {
    sum_exps(scale);
    return keep_summed(target);
}

bool Shortlist::keep_summed(double target) {
    double reached = 0.0;
    for (size_t i = 0; i < size(); ++i) {
        reached += exps()[i];
        if (reached >= target) {
            end_ = begin_ + i + 1;
            return true;
        }
    }
    return false;
}

void Shortlist::keep_top_p(double p, double scale) { keep_summed(p * sum_exps(scale)); }

void Shortlist::keep_min_p(double p, double scale) {
    const double least = logit(0) + exact_log(p) / scale;
    size_t kept = 1;
    while (kept < size() && logit(kept) >= least) ++kept;
    end_ = begin_ + kept;
}

double Shortlist::entropy(double scale) {
    const double total = sum_exps(scale);
    double weighted = 0.0;
    for (size_t i = 0; i < size(); ++i)
        if (exps()[i] > 0.0) weighted += exps()[i] * (logit(i) - logit(0)) * scale;
    return exact_log(total) - weighted / total;
}

void Shortlist::keep_typical(double p, bool reaches, double scale) {
    const double surprise = entropy(scale), total = sum_exps(scale), log_total = exact_log(total);
    const size_t n = size();
    double *distance = room(w_->distances, n);
    int32_t *order = room(w_->order, n);
    for (size_t i = 0; i < n; ++i) {
        const double d = log_total - (logit(i) - logit(0)) * scale - surprise;
        distance[i] = d < 0.0 ? -d : d;
        order[i] = static_cast<int32_t>(i);
    }
    std::sort(order, order + n, [distance](int32_t a, int32_t b) {
        return distance[a] != distance[b] ? distance[a] < distance[b] : a < b;
    });
    double reached = 0.0;
    size_t kept = 0;
    while (kept < n) {
        reached += exps()[order[kept++]];
        if (reaches ? reached >= p * total : reached > p * total) break;
    }
    std::sort(order, order + kept);
    for (size_t i = 0; i < kept; ++i) {
        w_->candidates[begin_ + i] = w_->candidates[begin_ + static_cast<size_t>(order[i])];
        w_->logits[begin_ + i] = w_->logits[begin_ + static_cast<size_t>(order[i])];
    }
    end_ = begin_ + kept;
}

void Shortlist::keep_top_n_sigma(double n) {
    double sum = 0.0, squares = 0.0;
    for (size_t i = 0; i < size(); ++i) sum += logit(i) - logit(0);
    const double mean = sum / static_cast<double>(size());
    for (size_t i = 0; i < size(); ++i) {
        const double d = logit(i) - logit(0) - mean;
        squares += d * d;
    }
    const double least = logit(0) - n * exact_sqrt(squares / static_cast<double>(size()));
    size_t kept = 1;
    while (kept < size() && logit(kept) >= least) ++kept;
    end_ = begin_ + kept;
}

void Shortlist::drop_top_choices(double threshold, double scale) {
    const double least = threshold * sum_exps(scale);
    size_t above = 0;
    while (above < size() && exps()[above] >= least) ++above;
    if (above >= 2) begin_ += above - 1;
}

void Shortlist::keep_surprise_below(double bits, double scale) {
    const double least = sum_exps(scale) * exact_exp(-bits * kLn2);
    size_t kept = 1;
    while (kept < size() && exps()[kept] >= least) ++kept;
    end_ = begin_ + kept;
}

size_t Shortlist::find(double target, double &weight) const {
    double reached = 0.0;
    size_t chosen = 0;
    for (size_t i = 0; i < size() && exps()[i] > 0.0; ++i) {
        chosen = i;
        reached += exps()[i];
        if (reached > target) break;
    }
    weight = exps()[chosen];
    return chosen;
}

}  // namespace edgellm::sampling
