// How one row's token is chosen. Checked in Python (edgellm_runtimes.sampling); here everything is in range.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace edgellm::sampling {

enum class Stage : uint8_t { temperature, top_n_sigma, top_k, typical, top_p, min_p, xtc };

enum class Scope : uint8_t { raw, processed };

// A text that ends a repetition, as tokens: the first one, and what follows it.
struct Breaker {
    int32_t head;
    std::vector<int32_t> tail;
};

struct Parameters {
    std::vector<Stage> order;     // each stage once; stages whose parameter is off do nothing
    bool keep_ties = false;       // top-k keeps every token as likely as the k-th
    bool typical_reaches = false; // typical stops at mass >= p, not at mass > p

    std::vector<std::pair<int32_t, float>> bias;  // token, what is added to its logit

    float repetition_penalty = 1.0f;
    float frequency_penalty = 0.0f;
    float presence_penalty = 0.0f;
    int64_t penalty_window = 64;  // tokens looked back on; -1 is all
    bool penalize_prompt = true;  // false: only generated tokens count

    float dry_multiplier = 0.0f;
    float dry_base = 1.75f;
    int64_t dry_allowed_length = 2;
    int64_t dry_window = -1;
    std::vector<Breaker> dry_breakers;

    float temperature = 0.8f;  // 0 takes the most likely token
    float dynamic_range = 0.0f;
    float dynamic_exponent = 1.0f;
    int64_t top_k = 40;
    float top_p = 0.95f;
    float min_p = 0.05f;
    float typical_p = 1.0f;
    float top_n_sigma = 0.0f;
    float xtc_probability = 0.0f;
    float xtc_threshold = 0.1f;
    bool mirostat = false;  // version 2; replaces all truncation
    float mirostat_tau = 5.0f;
    float mirostat_eta = 0.1f;

    uint64_t seed = 0;
    int top_logprobs = -1;  // -1: no log-probabilities; 0: the chosen token's; n: the n highest too
    Scope logprob_scope = Scope::raw;

    bool has_penalties() const {
        return penalty_window != 0 &&
               (repetition_penalty != 1.0f || frequency_penalty != 0.0f || presence_penalty != 0.0f);
    }
    bool has_dry() const { return dry_multiplier != 0.0f && dry_base >= 1.0f && dry_window != 0; }
};

}  // namespace edgellm::sampling
