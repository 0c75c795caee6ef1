// What every call of the sampling kernels must keep to, whatever it is given.
#pragma once

#include <cinttypes>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "sampling_cases.h"

namespace edgellm_tests {

struct Input {
    const Sequence *sequence;
    const float *logits;
    size_t n_vocab;
    const uint32_t *mask;
    const double *uniforms;

    bool allows(size_t token) const {
        if (mask && (mask[token / 32] >> (token % 32) & 1u) == 0) return false;
        const auto &bias = sequence->parameters.bias;
        return std::none_of(bias.begin(), bias.end(), [token](const auto &entry) {
            return static_cast<size_t>(entry.first) == token && entry.second == -kInfinity;
        });
    }
};

struct Result {
    Choice choice;
    Outcome outcome = Outcome::token;  // of `distribution`
    std::vector<std::pair<int32_t, double>> kept;
};

inline void call(const Kernels &kernels, Workspace &workspace, const Input &in, Result &result) {
    choose(kernels, workspace, *in.sequence, in.logits, in.n_vocab, in.mask, in.uniforms, result.choice);
    result.kept.clear();
    result.outcome = distribution(kernels, workspace, *in.sequence, in.logits, in.n_vocab, in.mask, in.uniforms, result.kept);
}

// Hashes all that a call returned, to the last bit.
class Digest {
public:
    void add(uint64_t word) {
        hash_ = (hash_ ^ word) * 0x9e3779b97f4a7c15u;
        hash_ ^= hash_ >> 29;
    }
    void add(double value) {
        uint64_t bits;
        std::memcpy(&bits, &value, sizeof bits);
        add(bits);
    }
    void add(const Choice &choice) {
        add(static_cast<uint64_t>(choice.outcome));
        if (choice.outcome != Outcome::token) return;
        add(static_cast<uint64_t>(choice.token));
        add(choice.mirostat_mu);
        for (const auto &entry : choice.top_logprobs) {
            add(static_cast<uint64_t>(entry.first));
            add(static_cast<double>(entry.second));
        }
        add(choice.logprob);
    }
    void add(const Result &result) {
        add(result.choice);
        add(static_cast<uint64_t>(result.outcome));
        for (const auto &entry : result.kept) {
            add(static_cast<uint64_t>(entry.first));
            add(entry.second);
        }
    }
    uint64_t value() const { return hash_; }

private:
    uint64_t hash_ = 0x243f6a8885a308d3u;
};

inline uint64_t digest_of(const Result &result) {
    Digest digest;
    digest.add(result);
    return digest.value();
}

inline const char *&current_case() {  // named when a promise is broken
    static const char *name = "";
    return name;
}

inline void require(bool holds, const char *promise) {
    if (holds) return;
    std::fprintf(stderr, "%s: not so: %s\n", current_case(), promise);
    std::abort();
}

inline bool is_near(double a, double b) { return a == b || std::fabs(a - b) <= 2e-5 + 1e-5 * std::fabs(b); }

// What the row says about the outcome, without knowing how bias and penalties change it.
inline void check_outcome(const Input &in, Outcome outcome) {
    const Parameters &p = in.sequence->parameters;
    const bool has_edits = !p.bias.empty() || p.has_penalties() || p.has_dry();
    bool has_nan = false, has_finite = false, has_infinite = false;
    for (size_t i = 0; i < in.n_vocab; ++i) {
        if (!in.allows(i)) continue;
        const float x = in.logits[i];
        if (x != x) has_nan = true;
        if (x == kInfinity) has_infinite = true;
        if (x == x && x != kInfinity && x != -kInfinity) has_finite = true;
    }
    if (has_nan) {
        require(outcome == Outcome::not_a_number, "a logit that is NaN is found");
    } else if (!has_finite && !has_infinite) {
        require(outcome == Outcome::nothing_allowed, "no token is chosen where none is possible");
    } else if (!has_edits) {
        require(outcome == Outcome::token, "a token is chosen where one is possible");
    } else if (!has_infinite) {
        require(outcome != Outcome::not_a_number, "no NaN is found where there is none");
    }
}

inline void check_kept(const Input &in, const Result &result) {
    double total = 0.0;
    int64_t before = -1;
    for (const auto &entry : result.kept) {
        require(entry.first > before && static_cast<size_t>(entry.first) < in.n_vocab, "kept tokens ascend and exist");
        before = entry.first;
        require(in.allows(static_cast<size_t>(entry.first)), "mask and bias allow what is kept");
        require(in.logits[entry.first] > -kInfinity, "what is kept has a logit");
        require(entry.second >= 0.0 && entry.second <= 1.0, "a probability is one");
        total += entry.second;
    }
    require(std::fabs(total - 1.0) <= 1e-5, "probabilities add up to 1");
}

inline double probability_of(const Result &result, int32_t token) {
    const auto place = std::lower_bound(result.kept.begin(), result.kept.end(), token,
                                        [](const auto &entry, int32_t id) { return entry.first < id; });
    return place != result.kept.end() && place->first == token ? place->second : 0.0;
}

inline void check_logprobs(const Input &in, const Result &result) {
    const Parameters &p = in.sequence->parameters;
    const Choice &choice = result.choice;
    require(choice.logprob <= 1e-5, "a log-probability is one");
    require(choice.top_logprobs.size() <= static_cast<size_t>(p.top_logprobs), "no more log-probabilities than asked for");
    const bool is_processed = p.logprob_scope == Scope::processed && p.temperature > 0.0f;
    if (is_processed)
        require(is_near(choice.logprob, std::log(probability_of(result, choice.token))),
                "the chosen token's log-probability is that of its probability");
    float last = kInfinity;
    for (const auto &entry : choice.top_logprobs) {
        require(entry.second <= 1e-5f && entry.second <= last, "log-probabilities descend");
        last = entry.second;
        if (entry.first == choice.token)
            require(is_near(static_cast<double>(entry.second), static_cast<double>(static_cast<float>(choice.logprob))),
                    "a token has one log-probability");
        const double share = is_processed ? probability_of(result, entry.first) : 0.0;
        if (share > 1e-30)
            require(is_near(static_cast<double>(entry.second), std::log(share)),
                    "a listed log-probability is that of its probability");
    }
}

inline void check_result(const Input &in, const Result &result) {
    const Choice &choice = result.choice;
    check_outcome(in, result.outcome);
    require(choice.outcome == result.outcome, "what is chosen from is what is kept");
    if (choice.outcome != Outcome::token) return;
    check_kept(in, result);
    require(choice.token >= 0 && static_cast<size_t>(choice.token) < in.n_vocab, "the token exists");
    require(probability_of(result, choice.token) > 0.0, "the token is one of those kept");
    require(choice.mirostat_mu == choice.mirostat_mu, "Mirostat's bound is a number");
    if (in.sequence->parameters.top_logprobs >= 0) check_logprobs(in, result);
}

}  // namespace edgellm_tests
