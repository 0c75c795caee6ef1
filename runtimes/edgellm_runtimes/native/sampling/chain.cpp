#include "chain.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "candidate_key.h"
#include "prefix_search.h"
#include "random.h"
#include "row.h"
#include "running_sum.h"
#include "scalar_math.h"
#include "shortlist.h"

namespace edgellm::sampling {
namespace {

constexpr size_t kShort = 1024;    // from here down a list is sorted
constexpr size_t kHead = 256;      // most distributions have their mass in so many tokens
constexpr size_t kFewest = 64;     // so many are sorted at once
enum : uint32_t { kTokenDraw = 0, kXtcDraw = 1 };

// The candidates after any number of stages: all of a row, a long list of what is left of it (a row again, of compacted
// values), or a sorted short list.
class Candidates {
  public:
    Candidates(const Kernels &kernels, Workspace &workspace, const Sequence &sequence, const double *uniforms)
        : w_(workspace), s_(sequence), p_(sequence.parameters), uniforms_(uniforms), row_(kernels, workspace),
          short_(workspace), search_(kernels, workspace), kernels_(kernels) {}

    Outcome open(const float *logits, size_t n_vocab, const uint32_t *mask) {
        row_.open(logits, n_vocab, mask, nullptr);
        const bool changes = !p_.bias.empty() || p_.has_penalties() || p_.has_dry();
        is_bare_ = is_greedy() && !changes && p_.top_logprobs < 0;
        bool is_good = is_bare_ ? row_.find_only_largest() : row_.find_largest();
        if (changes) {  // after the row was read once: what the changes touch is in the cache then
            find_edits(p_, s_.history, logits, n_vocab, w_);
            for (const auto &edit : w_.edits) row_.change(static_cast<size_t>(edit.first), edit.second);
            is_good = is_good ? row_.find_changed() : row_.find_largest();
        }
        is_plain_ = !mask && !changes;
        if (!is_good) return Outcome::not_a_number;
        if (row_.largest() == -HUGE_VALF) return Outcome::nothing_allowed;
        if (row_.largest() == HUGE_VALF && !is_bare_) keep_infinite();
        return Outcome::token;
    }

    bool is_greedy() const { return p_.temperature <= 0.0f; }

    int32_t most_likely() const {
        if (is_bare_) return row_.id(row_.largest_place());
        return is_short_ ? short_.id(0) : row_.id(row_.first_largest());
    }

    // The row as it came, before any stage; nullptr when it was changed or masked.
    Row *plain_row() { return is_plain_ && !is_short_ && list_ == 0 ? &row_ : nullptr; }

    void run_stages() {
        if (p_.mirostat) {
            apply_temperature();
            keep_surprise_below(s_.mirostat_mu);
            return;
        }
        for (const Stage stage : p_.order) run(stage);
    }

    // Draws a token; `weight` of it in a `total` of all.
    int32_t draw(double &weight, double &total) {
        const double u = random(kTokenDraw);
        if (is_short_) {
            total = short_.sum_exps(scale_);
            return short_.id(short_.find(u * total, weight));
        }
        if (is_reweighed_) {
            row_.sum_exps(scale_, &w_.reweighed);
            total = search_.apply(w_.reweighed.data());
            const BlockPlace at = find_block(w_.sums.data(), row_.blocks(), u * total);
            const size_t start = at.block * kBlock;
            return row_.id(start + find_in_block(w_.reweighed.data() + start, u * total, at, weight));
        }
        if (is_weighted_) {
            total = weight_left_;
            return row_.id(search_.find(u * total, weight));
        }
        total = row_.sum_exps(scale_);
        return row_.id(row_.find(u * total, scale_, weight));
    }

    double sum_exps() { return is_short_ ? short_.sum_exps(scale_) : row_.sum_exps(scale_); }

    double largest() const { return is_short_ ? short_.logit(0) : static_cast<double>(row_.largest()); }

    // The `n` most likely tokens with their log-probabilities, the likeliest first; `total` is what `draw` told.
    void top(size_t n, double total, std::vector<std::pair<int32_t, float>> &found) {
        if (!n) return;
        const double shift = largest(), log_total = exact_log(total);  // before `settle`: `total` counts from there
        settle();
        Shortlist best = short_;
        if (!is_short_) {
            ValueList &list = free_list();
            const size_t count = row_.collect(row_.threshold_for(n), list);
            best.open(list.values.data(), list.ids.data(), count, n, false);
        }
        for (size_t i = 0; i < std::min(n, best.size()); ++i)
            found.emplace_back(best.id(i), static_cast<float>((best.logit(i) - shift) * scale_ - log_total));
    }

    void all(std::vector<std::pair<int32_t, double>> &kept) {
        kept.clear();
        if (is_short_) {
            const double total = short_.sum_exps(scale_);
            for (size_t i = 0; i < short_.size(); ++i)
                kept.emplace_back(short_.id(i), exact_exp((short_.logit(i) - short_.logit(0)) * scale_) / total);
            std::sort(kept.begin(), kept.end());
            return;
        }
        if (is_reweighed_) {
            settle();
            return all(kept);
        }
        const double total =
            is_weighted_ ? search_.apply(w_.weights.data()) : row_.sum_exps(scale_, &w_.weights);
        for (size_t i = 0; i < row_.size(); ++i)
            if (row_.weights()[i] > 0.0f) kept.emplace_back(row_.id(i), row_.weights()[i] / total);
    }

  private:
    double random(uint32_t stage) const {
        return uniforms_ ? uniforms_[stage] : uniform(p_.seed, s_.position(), stage);
    }

    ValueList &free_list() { return w_.lists[list_ ^ 1]; }

    bool is_on(Stage stage) const {
        switch (stage) {
            case Stage::temperature: return p_.dynamic_range > 0.0f || p_.temperature != 1.0f;
            case Stage::top_n_sigma: return p_.top_n_sigma > 0.0f;
            case Stage::top_k: return p_.top_k > 0;
            case Stage::typical: return p_.typical_p < 1.0f;
            case Stage::top_p: return p_.top_p < 1.0f;
            case Stage::min_p: return p_.min_p > 0.0f;
            case Stage::xtc: return p_.xtc_probability > 0.0f && p_.xtc_threshold <= 0.5f;
        }
        return false;
    }

    void run(Stage stage) {
        if (!is_on(stage)) return;
        if (stage == Stage::temperature && p_.dynamic_range <= 0.0f && is_weighted_ && has_largest_) {
            is_reweighed_ = true;  // the same places with other weights, relative to the largest logit as before
        } else {
            settle();
        }
        if (stage != Stage::temperature && stage != Stage::xtc) shorten();
        switch (stage) {
            case Stage::temperature: apply_temperature(); break;
            case Stage::top_n_sigma: keep_top_n_sigma(p_.top_n_sigma); break;
            case Stage::top_k: keep_top_k(static_cast<size_t>(p_.top_k)); break;
            case Stage::typical: keep_typical(p_.typical_p); break;
            case Stage::top_p: keep_top_p(p_.top_p); break;
            case Stage::min_p: keep_min_p(p_.min_p); break;
            case Stage::xtc: drop_top_choices(); break;
        }
    }

    // What `threshold` leaves of the row becomes the candidates. Only the first `limit` in their order, see Shortlist.
    void keep_from(double threshold, size_t limit = SIZE_MAX, bool keep_ties = false) {
        const float least = std::min(std::max(static_cast<float>(threshold), kLowest), row_.largest());
        ValueList &list = free_list();
        take(row_.collect(least, list), limit, keep_ties);
    }

    // The first `count` entries of the free list become the candidates.
    void take(size_t count, size_t limit = SIZE_MAX, bool keep_ties = false) {
        list_ ^= 1;
        dropped_ = 0;
        ValueList &list = w_.lists[list_];
        if (count <= kFewest || limit <= kShort) {
            short_.open(list.values.data(), list.ids.data(), count, limit, keep_ties);
            is_short_ = true;
            return;
        }
        if (limit < count) {  // the row keeps the order of tokens: find the last one that stays
            Key *keys = room(w_.candidates, count);
            for (size_t i = 0; i < count; ++i) keys[i] = candidate_key(list.values[i], list.ids[i]);
            std::nth_element(keys, keys + (limit - 1), keys + count);
            const Key last = keep_ties ? keys[limit - 1] | 0xffffffffu : keys[limit - 1];
            size_t kept = 0;
            for (size_t i = 0; i < count; ++i) {
                if (candidate_key(list.values[i], list.ids[i]) > last) continue;
                list.values[kept] = list.values[i];
                list.ids[kept++] = list.ids[i];
            }
            count = kept;
        }
        row_.open(list.values.data(), count, nullptr, list.ids.data());
        row_.find_largest();
        is_list_ = true;
    }

    // A list that is short enough to be sorted, for the stages that want it sorted.
    void shorten() {
        if (is_short_ || !is_list_ || dropped_ || row_.size() > kShort) return;
        const ValueList &list = w_.lists[list_];
        short_.open(list.values.data(), list.ids.data(), row_.size(), SIZE_MAX, false);
        is_short_ = true;
    }

    void keep_infinite() {  // as many logits as are +inf share the probability
        ValueList &list = free_list();
        const size_t count = row_.collect(HUGE_VALF, list);
        std::fill(list.values.begin(), list.values.begin() + static_cast<ptrdiff_t>(count), 0.0f);
        take(count);
    }

    void apply_temperature() {
        double temperature = static_cast<double>(p_.temperature);
        if (p_.dynamic_range > 0.0f) {
            const double low = std::max(0.0, temperature - static_cast<double>(p_.dynamic_range));
            const double high = temperature + static_cast<double>(p_.dynamic_range);
            const size_t n = is_short_ ? short_.size() : row_.size() - dropped_;
            if (n > 1) {
                const double share = std::max(0.0, entropy()) / exact_log(static_cast<double>(n));
                const double exponent = static_cast<double>(p_.dynamic_exponent);
                const double part = share <= 0.0 ? (exponent == 0.0 ? 1.0 : 0.0) : exact_exp(exponent * exact_log(share));
                temperature = low + (high - low) * part;
            }
        }
        if (temperature < 1e-6) {  // as good as 0: the most likely one
            settle();
            keep_top_k(1);
            return;
        }
        scale_ = scale_ / temperature;
    }

    double entropy() {
        if (is_short_) return short_.entropy(scale_);
        double weighted;
        const double total = row_.sum_entropy(scale_, weighted);
        return exact_log(total) - weighted / total;
    }

    void keep_top_k(size_t k) {
        if (is_short_) return short_.keep_top_k(k, p_.keep_ties);
        if (k < row_.size()) keep_from(static_cast<double>(row_.threshold_for(k)), k, p_.keep_ties);
    }

    void keep_min_p(double p) {
        if (is_short_) return short_.keep_min_p(p, scale_);
        keep_from(static_cast<double>(row_.largest()) + exact_log(p) / scale_);
    }

    void keep_top_n_sigma(double n) {
        if (is_short_) return short_.keep_top_n_sigma(n);
        double count, sum, squares;
        row_.moments(count, sum, squares);
        if (!(squares < HUGE_VAL)) return;  // logits so far apart that those with any probability are within one sigma
        const double mean = sum / count, variance = squares / count - mean * mean;
        const double least = static_cast<double>(row_.largest()) - n * exact_sqrt(std::max(0.0, variance));
        keep_from(least == least ? least : static_cast<double>(kLowest));
    }

    void keep_top_p(double p) {
        if (is_short_) return short_.keep_top_p(p, scale_);
        const double total = row_.sum_exps(scale_, &w_.weights), target = p * total;
        if (is_list_ || !keep_head(target)) keep_prefix(w_.weights.data(), total, target, false);
    }

    // Tries the likeliest tokens of the whole row; false when they are not enough.
    bool keep_head(double target) {
        ValueList &list = free_list();
        const size_t count = row_.collect(row_.threshold_for(std::min(kHead, row_.blocks())), list);
        double mass = 0.0;
        for (size_t i = 0; i < count; ++i) mass += static_cast<double>(w_.weights[static_cast<size_t>(list.ids[i])]);
        if (mass < target * (1.0 + 1e-5)) return false;  // in float: too little to tell
        Shortlist best(w_);
        for (size_t limit = kFewest; limit <= kShort; limit *= 4) {
            best.open(list.values.data(), list.ids.data(), count, limit, false);
            if (!best.keep_mass(target, scale_)) continue;
            short_ = best;
            is_short_ = true;
            return true;
        }
        return false;
    }

    void keep_typical(double p) {
        if (is_short_) return short_.keep_typical(p, p_.typical_reaches, scale_);
        double weighted;
        const double total = row_.sum_entropy(scale_, weighted, &w_.weights);
        row_.distances(scale_, weighted / total);
        keep_prefix(w_.keys.data(), total, p * total, !p_.typical_reaches);
    }

    // Keeps the places with the highest keys whose weights reach `target` (or pass it), of `total`.
    void keep_prefix(const float *keys, double total, double target, bool passes) {
        has_largest_ = keys == w_.weights.data();
        weight_left_ = search_.run(keys, w_.weights.data(), row_.blocks(), total, target, passes);
        is_weighted_ = true;
    }

    // Turns the weights that a prefix search left into a row of their logits, which the next stage can work on.
    void settle() {
        if (!is_weighted_) return;
        is_weighted_ = is_reweighed_ = false;
        search_.apply(w_.weights.data());
        ValueList &list = free_list();
        size_t count = 0;
        int32_t places[kBlock];
        float found_weights[kBlock];
        for (size_t b = 0; b < row_.blocks(); ++b) {
            const int found = kernels_.collect(row_.weights() + b * kBlock, nullptr, 1e-38f, places, found_weights);
            if (!found) continue;
            const uint32_t *mask;
            const float *x = row_.block(b, mask);
            float *values = room(list.values, count + kBlock) + count;
            int32_t *ids = room(list.ids, count + kBlock) + count;
            for (int i = 0; i < found; ++i) {
                values[i] = x[places[i]];
                ids[i] = row_.id(b * kBlock + static_cast<size_t>(places[i]));
            }
            count += static_cast<size_t>(found);
        }
        take(count);
    }

    void drop_top_choices() {
        if (random(kXtcDraw) > static_cast<double>(p_.xtc_probability)) return;
        const double threshold = static_cast<double>(p_.xtc_threshold);
        if (is_short_) return short_.drop_top_choices(threshold, scale_);
        const double total = row_.sum_exps(scale_);
        const double least = static_cast<double>(row_.largest()) + exact_log(threshold * total) / scale_;
        if (!(least <= static_cast<double>(row_.largest()))) return;
        ValueList &list = free_list();
        const size_t count = row_.collect(std::max(static_cast<float>(least), kLowest), list);
        if (count < 2) return;
        Shortlist above(w_);
        above.open(list.values.data(), list.ids.data(), count, count, false);
        for (size_t i = 0; i + 1 < above.size(); ++i) row_.change(place_of(above.id(i)), -HUGE_VALF);
        dropped_ = above.size() - 1;
        row_.find_largest();
    }

    size_t place_of(int32_t id) const {
        if (row_.id(0) == 0 && row_.id(row_.size() - 1) == static_cast<int32_t>(row_.size() - 1))
            return static_cast<size_t>(id);
        const int32_t *ids = w_.lists[list_].ids.data();
        return static_cast<size_t>(std::lower_bound(ids, ids + row_.size(), id) - ids);
    }

    void keep_surprise_below(double bits) {
        if (is_short_) return short_.keep_surprise_below(bits, scale_);
        const double total = row_.sum_exps(scale_);
        const double least = static_cast<double>(row_.largest()) + (exact_log(total) - bits * kLn2) / scale_;
        const bool leaves_one = !(least <= static_cast<double>(row_.largest()));
        keep_from(leaves_one ? static_cast<double>(row_.largest()) : least, leaves_one ? 1 : SIZE_MAX);
    }

    Workspace &w_;
    const Sequence &s_;
    const Parameters &p_;
    const double *uniforms_;
    Row row_;
    Shortlist short_;
    PrefixSearch search_;
    const Kernels &kernels_;
    bool is_bare_ = false;      // only the place of the largest logit was looked for
    bool is_plain_ = false;     // neither changed nor masked
    bool is_list_ = false;      // the row is a list of candidates, not the whole vocabulary
    bool is_short_ = false;
    bool is_weighted_ = false;  // the candidates are the places of the row with a weight above 0
    bool has_largest_ = false;  // among them the place of the largest logit
    bool is_reweighed_ = false;  // and the temperature has changed since
    double weight_left_ = 0.0;
    int list_ = 0;
    size_t dropped_ = 0;  // places of the row that are no candidates any more
    double scale_ = 1.0;
};

// Log-probabilities of the row as it came, at temperature 1.
class RawLogprobs {
  public:
    // Reads `row`, whose largest logit is known, and writes down the `top` likeliest tokens.
    RawLogprobs(Row &row, Workspace &w, size_t top, Choice &choice)
        : largest_(static_cast<double>(row.largest())), is_shared_(row.largest() == HUGE_VALF) {
        ValueList &list = w.lists[0];
        log_total_ = is_shared_ ? exact_log(static_cast<double>(row.collect(HUGE_VALF, list))) : row.log_sum_exps();
        if (!top) return;
        const size_t count = row.collect(is_shared_ ? HUGE_VALF : row.threshold_for(top), list);
        Shortlist best(w);
        best.open(list.values.data(), list.ids.data(), count, top, false);
        for (size_t i = 0; i < best.size(); ++i)
            choice.top_logprobs.emplace_back(best.id(i), static_cast<float>(of(best.logit(i))));
    }

    double of(double logit) const {
        if (is_shared_) return logit == largest_ ? 0.0 - log_total_ : -HUGE_VAL;
        return logit - largest_ - log_total_;
    }

  private:
    double largest_, log_total_ = 0.0;
    bool is_shared_;  // by the logits that are +inf; nothing is left for the others
};

RawLogprobs raw_logprobs(const Kernels &kernels, Workspace &w, const float *logits, size_t n_vocab, size_t top,
                         Choice &choice) {
    Row row(kernels, w);
    row.open(logits, n_vocab, nullptr, nullptr);
    if (!row.find_largest()) {  // what was forbidden may be no number: it has no probability here either
        for (size_t i = 0; i < n_vocab; ++i)
            if (logits[i] != logits[i]) row.change(i, -HUGE_VALF);
        row.find_largest();
    }
    return RawLogprobs(row, w, top, choice);
}

}  // namespace

void choose(const Kernels &kernels, Workspace &workspace, const Sequence &sequence, const float *logits, size_t n_vocab,
            const uint32_t *mask, const double *uniforms, Choice &choice) {
    const Parameters &p = sequence.parameters;
    choice.top_logprobs.clear();
    choice.mirostat_mu = sequence.mirostat_mu;
    choice.token = -1;
    Candidates candidates(kernels, workspace, sequence, uniforms);
    choice.outcome = candidates.open(logits, n_vocab, mask);
    if (choice.outcome != Outcome::token) return;
    const bool wants_raw = p.top_logprobs >= 0 && p.logprob_scope == Scope::raw;
    const size_t top = p.top_logprobs > 0 ? static_cast<size_t>(p.top_logprobs) : 0;
    std::optional<RawLogprobs> raw;
    if (Row *row = wants_raw ? candidates.plain_row() : nullptr) raw.emplace(*row, workspace, top, choice);
    double weight = 1.0, total = 1.0;
    if (candidates.is_greedy()) {
        choice.token = candidates.most_likely();
        if (p.top_logprobs >= 0 && p.logprob_scope == Scope::processed) total = candidates.sum_exps();
    } else {
        candidates.run_stages();
        choice.token = candidates.draw(weight, total);
        if (p.mirostat) {
            const double surprise = -exact_log(weight / total) / kLn2;
            choice.mirostat_mu -= static_cast<double>(p.mirostat_eta) * (surprise - static_cast<double>(p.mirostat_tau));
        }
    }
    if (p.top_logprobs < 0) return;
    if (!wants_raw) {
        choice.logprob = exact_log(weight / total);
        candidates.top(top, total, choice.top_logprobs);
    } else {
        if (!raw) raw = raw_logprobs(kernels, workspace, logits, n_vocab, top, choice);
        choice.logprob = raw->of(static_cast<double>(logits[choice.token]));
    }
    for (const auto &entry : choice.top_logprobs)  // told twice, it is the same number
        if (entry.first == choice.token) choice.logprob = static_cast<double>(entry.second);
}

Outcome distribution(const Kernels &kernels, Workspace &workspace, const Sequence &sequence, const float *logits,
                     size_t n_vocab, const uint32_t *mask, const double *uniforms,
                     std::vector<std::pair<int32_t, double>> &kept) {
    Candidates candidates(kernels, workspace, sequence, uniforms);
    const Outcome outcome = candidates.open(logits, n_vocab, mask);
    if (outcome != Outcome::token) return outcome;
    if (candidates.is_greedy()) {
        kept.assign(1, {candidates.most_likely(), 1.0});
    } else {
        candidates.run_stages();
        candidates.all(kept);
    }
    return outcome;
}

}  // namespace edgellm::sampling
