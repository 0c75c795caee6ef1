#include "history.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "scalar_math.h"

namespace edgellm::sampling {
namespace {

struct Window {
    const int32_t *first, *last;
    size_t size() const { return static_cast<size_t>(last - first); }
    int32_t back(size_t i) const { return last[-1 - static_cast<ptrdiff_t>(i)]; }  // 0 is the latest
};

Window window_of(const History &history, int64_t length, bool with_prompt) {
    const int32_t *start = history.tokens.data() + (with_prompt ? 0 : history.prompt_length);
    const int32_t *last = history.tokens.data() + history.tokens.size();
    if (start > last) start = last;
    if (length >= 0 && last - start > length) start = last - length;
    return {start, last};
}

// The latest `size` tokens up to, and not with, the last breaker: a repetition is not counted across it.
size_t repetition_limit(const Parameters &p, const Window &recent, size_t size) {
    for (size_t i = 0; i < size; ++i) {
        size_t longest = 0;
        bool found = false;
        for (const Breaker &breaker : p.dry_breakers) {
            const size_t length = breaker.tail.size();
            if (breaker.head != recent.back(i) || length > i || (found && length <= longest)) continue;
            bool equal = true;
            for (size_t j = 0; j < length && equal; ++j) equal = breaker.tail[j] == recent.back(i - j - 1);
            if (equal) {
                longest = length;
                found = true;
            }
        }
        if (found) return i - longest;
    }
    return size;
}

// How many of the latest tokens also stand before each place: the Z algorithm over the reversed window (Gusfield 1997).
void count_repeats(const Window &recent, size_t n, size_t limit, int32_t *repeats) {
    size_t left = 0, right = 0;
    repeats[0] = 0;
    for (size_t k = 1; k < n; ++k) {
        size_t length = 0;
        if (k <= right) {
            const size_t inside = static_cast<size_t>(repeats[k - left]);
            const size_t rest = right - k + 1;
            if (inside < rest) {
                repeats[k] = static_cast<int32_t>(inside);
                continue;
            }
            length = rest;
        }
        while (k + length < n && recent.back(length) == recent.back(k + length)) ++length;
        repeats[k] = static_cast<int32_t>(length);
        if (length) {
            left = k;
            right = k + length - 1;
        }
    }
    for (size_t k = 1; k < n; ++k) repeats[k] = std::min(repeats[k], static_cast<int32_t>(limit));
}

bool breaks_alone(const Parameters &p, int32_t token) {
    return std::any_of(p.dry_breakers.begin(), p.dry_breakers.end(),
                       [token](const Breaker &breaker) { return breaker.head == token && breaker.tail.empty(); });
}

float penalized(const Parameters &p, float logit, int count) {
    logit = logit <= 0.0f ? logit * p.repetition_penalty : logit / p.repetition_penalty;
    return logit - (static_cast<float>(count) * p.frequency_penalty + p.presence_penalty);
}

double dry_penalty(const Parameters &p, int32_t length) {
    double exponent = static_cast<double>(length - p.dry_allowed_length);
    const double log_base = exact_log(static_cast<double>(p.dry_base));
    if (p.dry_base > 1.000001f) exponent = std::min(exponent, std::floor(88.7228391 / log_base));
    return static_cast<double>(p.dry_multiplier) * exact_exp(exponent * log_base);
}

}  // namespace

void find_repetitions(const Parameters &p, const History &history, Workspace &w) {
    w.longest.clear();
    const Window recent = window_of(history, p.dry_window, true);
    const size_t n = recent.size();
    if (!p.has_dry() || n <= static_cast<size_t>(p.dry_allowed_length)) return;
    const size_t limit = repetition_limit(p, recent, n);
    if (limit < static_cast<size_t>(p.dry_allowed_length)) return;
    int32_t *repeats = room(w.repeats, n);
    count_repeats(recent, n, limit, repeats);
    for (size_t k = 1; k < n; ++k)  // the token after the repeated ones stands one place nearer to the end
        if (repeats[k] >= p.dry_allowed_length) w.longest.emplace_back(recent.back(k - 1), repeats[k]);
    std::sort(w.longest.begin(), w.longest.end());
    size_t kept = 0;  // of each token the longest, which comes last
    for (size_t i = 0; i < w.longest.size(); ++i) {
        if (i + 1 < w.longest.size() && w.longest[i + 1].first == w.longest[i].first) continue;
        if (!breaks_alone(p, w.longest[i].first)) w.longest[kept++] = w.longest[i];
    }
    w.longest.resize(kept);
}

void find_edits(const Parameters &p, const History &history, const float *logits, size_t n_vocab, Workspace &w) {
    w.edits.clear();
    w.tokens.clear();
    if (p.has_penalties()) {
        const Window recent = window_of(history, p.penalty_window, p.penalize_prompt);
        w.tokens.assign(recent.first, recent.last);
        std::sort(w.tokens.begin(), w.tokens.end());
    }
    find_repetitions(p, history, w);
    auto bias = p.bias.begin();
    auto token = w.tokens.begin();
    auto repeat = w.longest.begin();
    while (bias != p.bias.end() || token != w.tokens.end() || repeat != w.longest.end()) {
        int32_t id = INT32_MAX;
        if (bias != p.bias.end()) id = std::min(id, bias->first);
        if (token != w.tokens.end()) id = std::min(id, *token);
        if (repeat != w.longest.end()) id = std::min(id, repeat->first);
        const bool known = id >= 0 && static_cast<size_t>(id) < n_vocab;
        float value = known ? logits[id] : 0.0f;
        for (; bias != p.bias.end() && bias->first == id; ++bias)  // -inf forbids, even what is +inf or no number
            value = bias->second == -HUGE_VALF ? -HUGE_VALF : value + bias->second;
        int count = 0;
        for (; token != w.tokens.end() && *token == id; ++token) ++count;
        if (count) value = penalized(p, value, count);
        for (; repeat != w.longest.end() && repeat->first == id; ++repeat)
            value = static_cast<float>(static_cast<double>(value) - dry_penalty(p, repeat->second));
        if (known) w.edits.emplace_back(id, value);
    }
}

}  // namespace edgellm::sampling
