// Rows of logits, masks, histories and parameters for the sampling kernels: the same on every machine, of every kind that
// a model, a grammar or an attacker may send.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>

#include "sampling/chain.h"
#include "values.h"

namespace edgellm_tests {

using namespace edgellm::sampling;

// A copy whose last element is the last of its allocation, so that the address sanitizer sees a read one element behind;
// it begins `shift` elements into it.
template <class T>
class Placed {
public:
    Placed(const T *values, size_t count, size_t shift) : data_(new T[shift + count]), shift_(shift) {
        if (count != 0) std::memcpy(data_.get() + shift, values, count * sizeof(T));
    }
    const T *get() const { return data_.get() + shift_; }

private:
    std::unique_ptr<T[]> data_;
    size_t shift_;
};

enum class Logits {
    peaked,
    flat,
    offset,
    tied,
    coarse,
    zeros,
    some_forbidden,
    most_forbidden,
    least_finite,  // what some programs write where they mean -inf
    subnormal,
    huge,
    steep,
    one_infinite,
    some_infinite,
    one_alive,
    none_alive,
    one_nan,
    any_bits,
};

struct NamedLogits {
    Logits kind;
    const char *name;
};

constexpr NamedLogits kLogits[] = {
    {Logits::peaked, "peaked"},
    {Logits::flat, "flat"},
    {Logits::offset, "offset"},
    {Logits::tied, "tied"},
    {Logits::coarse, "coarse"},
    {Logits::zeros, "zeros"},
    {Logits::some_forbidden, "some-forbidden"},
    {Logits::most_forbidden, "most-forbidden"},
    {Logits::least_finite, "least-finite"},
    {Logits::subnormal, "subnormal"},
    {Logits::huge, "huge"},
    {Logits::steep, "steep"},
    {Logits::one_infinite, "one-infinite"},
    {Logits::some_infinite, "some-infinite"},
    {Logits::one_alive, "one-alive"},
    {Logits::none_alive, "none-alive"},
    {Logits::one_nan, "one-nan"},
    {Logits::any_bits, "any-bits"},
};

inline const float kInfinity = float_of_bits(0x7f800000u);

inline float one_logit(Logits kind, size_t index, size_t chosen, Random &random) {
    const float value = random.bell() * 64.0f;  // from -8 to 8
    switch (kind) {
    case Logits::peaked: return random.below(300) == 0 ? value + 9.0f * (random.uniform() + 1.0f) : value;
    case Logits::flat: return value * 0.25f;
    case Logits::offset: return value + 24.0f;
    case Logits::tied: return 1.5f;
    case Logits::coarse: return static_cast<float>(static_cast<int>(value));
    case Logits::zeros: return random.below(2) == 0 ? 0.0f : -0.0f;
    case Logits::some_forbidden: return random.below(3) == 0 ? -kInfinity : value;
    case Logits::most_forbidden: return random.below(10) == 0 ? value : -kInfinity;
    case Logits::least_finite: return random.below(2) == 0 ? float_of_bits(0xff7fffffu) : value;
    case Logits::subnormal: return float_of_bits(random.bits32() & 0x807fffffu);
    case Logits::huge: return extreme(random);
    case Logits::steep: return value * 1024.0f;
    case Logits::one_infinite: return index == chosen ? kInfinity : value;
    case Logits::some_infinite: return random.below(3) == 0 ? kInfinity : value;
    case Logits::one_alive: return index == chosen ? value : -kInfinity;
    case Logits::none_alive: return -kInfinity;
    case Logits::one_nan: return index == chosen ? float_of_bits(0x7fc00000u) : value;
    case Logits::any_bits: return finite(random);
    }
    return value;
}

inline std::vector<float> make_logits(Logits kind, size_t n_vocab, Random &random) {
    std::vector<float> values(n_vocab);
    const size_t chosen = random.below(n_vocab);
    for (size_t i = 0; i < n_vocab; ++i) values[i] = one_logit(kind, i, chosen, random);
    return values;
}

// One bit for each token, in runs as grammars have them; those behind the last token are set or not by chance.
inline std::vector<uint32_t> make_mask(size_t n_vocab, Random &random) {
    std::vector<uint32_t> words((n_vocab + 31) / 32);
    uint32_t density = 0;
    for (size_t i = 0; i < words.size(); ++i) {
        if (i % 8 == 0) density = static_cast<uint32_t>(random.below(4));
        const uint32_t some = random.bits32() & random.bits32();
        words[i] = density == 0 ? 0u : density == 1 ? ~0u : density == 2 ? some : ~some;
    }
    return words;
}

// A text that repeats itself, from few tokens, some of which no vocabulary has.
inline History make_history(size_t length, size_t n_vocab, Random &random) {
    History history;
    for (size_t i = 0; i < length; ++i) {
        int32_t token = static_cast<int32_t>(random.below(std::min<size_t>(n_vocab, 11)));
        if (i > 8 && random.below(4) != 0) token = history.tokens[i - 4 - random.below(3)];
        if (random.below(64) == 0) token = static_cast<int32_t>(random.bits32());
        history.tokens.push_back(token);
    }
    history.prompt_length = random.below(length + 1);
    return history;
}

template <class T, size_t n>
T one_of(const T (&values)[n], Random &random) {
    return values[random.below(n)];
}

inline std::vector<Stage> order_of(size_t number) {
    using S = Stage;
    switch (number % 3) {  // edgellm_runtimes.sampling.ORDERS
    case 0: return {S::top_n_sigma, S::top_k, S::typical, S::top_p, S::min_p, S::xtc, S::temperature};
    case 1: return {S::temperature, S::top_n_sigma, S::top_k, S::top_p, S::min_p, S::typical, S::xtc};
    default: return {S::temperature, S::top_n_sigma, S::min_p, S::top_k, S::top_p, S::typical, S::xtc};
    }
}

// Every stage off, at temperature 1.
inline Parameters no_stages(Random &random) {
    Parameters p;
    p.order = order_of(random.below(3));
    p.keep_ties = random.below(2) == 0;
    p.typical_reaches = random.below(2) == 0;
    p.temperature = 1.0f;
    p.top_k = 0;
    p.top_p = 1.0f;
    p.min_p = 0.0f;
    p.seed = random.bits();
    return p;
}

inline void turn_on(Stage stage, Parameters &p, Random &random) {
    switch (stage) {
    case Stage::temperature:
        p.temperature = one_of({0.0f, 1e-7f, 0.01f, 0.3f, 0.8f, 1.7f, 100.0f}, random);
        p.dynamic_range = one_of({0.0f, 0.0f, 0.25f, 2.0f}, random);
        p.dynamic_exponent = one_of({0.0f, 1.0f, 1.0f, 3.5f}, random);
        break;
    case Stage::top_n_sigma: p.top_n_sigma = one_of({0.001f, 0.5f, 1.0f, 3.0f, 1000.0f}, random); break;
    case Stage::top_k: p.top_k = one_of<int64_t>({1, 2, 5, 40, 200, 1024, 1025, 30000, INT32_MAX}, random); break;
    case Stage::typical: p.typical_p = one_of({0.0f, 0.001f, 0.2f, 0.5f, 0.9f, 0.9999f}, random); break;
    case Stage::top_p: p.top_p = one_of({0.0f, 1e-30f, 0.1f, 0.5f, 0.9f, 0.95f, 0.99999f}, random); break;
    case Stage::min_p: p.min_p = one_of({1e-30f, 0.001f, 0.05f, 0.3f, 1.0f}, random); break;
    case Stage::xtc:
        p.xtc_probability = one_of({0.01f, 0.5f, 1.0f}, random);
        p.xtc_threshold = one_of({0.0f, 1e-6f, 0.001f, 0.02f, 0.1f, 0.5f}, random);
        break;
    }
}

inline void turn_on_mirostat(Parameters &p, Random &random) {
    p.mirostat = true;
    p.mirostat_tau = one_of({0.0f, 1.0f, 5.0f, 100.0f}, random);
    p.mirostat_eta = one_of({0.0f, 0.1f, 1.0f}, random);
}

inline void turn_on_penalties(Parameters &p, Random &random) {
    p.repetition_penalty = one_of({1.0f, 0.01f, 1.1f, 1.3f, 100.0f}, random);
    p.frequency_penalty = one_of({0.0f, -2.0f, 0.5f, 2.0f}, random);
    p.presence_penalty = one_of({0.0f, -2.0f, 0.7f}, random);
    p.penalty_window = one_of<int64_t>({-1, 0, 1, 64, 1000}, random);
    p.penalize_prompt = random.below(2) == 0;
}

inline void turn_on_bias(Parameters &p, size_t n_vocab, Random &random) {
    for (size_t i = random.below(6); i > 0; --i) {
        const auto token = static_cast<int32_t>(random.below(n_vocab + 3));  // first: compilers order arguments as they like
        p.bias.emplace_back(token, one_of({-kInfinity, -1e6f, -1.5f, 0.0f, 3.0f, 1e6f}, random));
    }
    std::stable_sort(p.bias.begin(), p.bias.end(), [](const auto &a, const auto &b) { return a.first < b.first; });
}

inline void turn_on_dry(Parameters &p, Random &random) {
    p.dry_multiplier = one_of({0.1f, 0.8f, 100.0f}, random);
    p.dry_base = one_of({1.0f, 1.75f, 100.0f}, random);
    p.dry_allowed_length = one_of<int64_t>({1, 2, 5, INT32_MAX}, random);
    p.dry_window = one_of<int64_t>({-1, 1, 50, 1000}, random);
    for (size_t i = random.below(4); i > 0; --i) {
        Breaker breaker{static_cast<int32_t>(random.below(12)), {}};
        for (size_t j = random.below(3); j > 0; --j) breaker.tail.push_back(static_cast<int32_t>(random.below(12)));
        p.dry_breakers.push_back(breaker);
    }
}

inline void turn_on_logprobs(Parameters &p, Random &random) {
    p.top_logprobs = one_of({0, 1, 20, 1000}, random);
    p.logprob_scope = random.below(2) == 0 ? Scope::raw : Scope::processed;
}

}  // namespace edgellm_tests
