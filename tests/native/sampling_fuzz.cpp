// A fuzz target for libFuzzer: bytes become parameters, a row of hostile logits, a mask and a history; every instruction
// set must give the same result, and one that keeps the promises of sampling_checks.h.
//
// Compiled with -DEDGELLM_PLAIN_MAIN it has a main that needs no libFuzzer: sampling_fuzz [SEED [INPUTS]] makes up inputs
// without looking at what they reach, and prints a digest of all results.
#include <cinttypes>

#include "sampling/tiers.h"
#include "sampling_checks.h"

namespace {

using namespace edgellm_tests;

constexpr size_t kLargest = 6000;  // a long list has more than 1024 candidates

// The input, as numbers; zeros once it has ended.
class Bytes {
public:
    Bytes(const uint8_t *data, size_t size) : data_(data), left_(size) {}

    size_t left() const { return left_; }

    template <class T>
    T next() {
        T value{};
        const size_t taken = std::min(left_, sizeof value);
        if (taken != 0) std::memcpy(&value, data_, taken);
        data_ += taken;
        left_ -= taken;
        return value;
    }

    size_t below(size_t bound) { return next<uint16_t>() % bound; }
    bool flag() { return (next<uint8_t>() & 1u) != 0; }

    // Evenly spread, or any float there is in the range.
    float in_range(float low, float high) {
        if (flag()) return low + (high - low) * (static_cast<float>(next<uint16_t>()) / 65535.0f);
        const float value = float_of_bits(next<uint32_t>());
        return value >= low ? std::min(value, high) : low;  // NaN is low
    }

    // `off`, or any in the range.
    float maybe(float off, float low, float high) { return flag() ? in_range(low, high) : off; }

private:
    const uint8_t *data_;
    size_t left_;
};

std::vector<Stage> read_order(Bytes &in) {
    std::vector<Stage> order = order_of(in.below(3));
    if (!in.flag()) return order;
    for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[in.below(i)]);  // any order, any part of it
    order.resize(in.below(order.size() + 1));
    return order;
}

void read_edits(Bytes &in, size_t n_vocab, Parameters &p) {
    p.repetition_penalty = in.maybe(1.0f, 0.01f, 100.0f);
    p.frequency_penalty = in.maybe(0.0f, -2.0f, 2.0f);
    p.presence_penalty = in.maybe(0.0f, -2.0f, 2.0f);
    p.penalty_window = in.flag() ? static_cast<int64_t>(in.below(600)) - 1 : 64;
    p.penalize_prompt = in.flag();
    p.dry_multiplier = in.maybe(0.0f, 0.0f, 100.0f);
    p.dry_base = in.in_range(1.0f, 100.0f);
    p.dry_allowed_length = in.flag() ? 1 + in.next<uint32_t>() % INT32_MAX : 1 + static_cast<int64_t>(in.below(4));
    p.dry_window = static_cast<int64_t>(in.below(600)) - 1;
    for (size_t i = in.below(4); i > 0; --i) {
        Breaker breaker{static_cast<int32_t>(in.below(12)), {}};
        for (size_t j = in.below(4); j > 0; --j) breaker.tail.push_back(static_cast<int32_t>(in.below(12)));
        p.dry_breakers.push_back(breaker);
    }
    for (size_t i = in.below(8); i > 0; --i) {
        const auto token = static_cast<int32_t>(in.below(n_vocab + 5));
        p.bias.emplace_back(token, in.maybe(-kInfinity, -1e6f, 1e6f));
    }
    std::stable_sort(p.bias.begin(), p.bias.end(), [](const auto &a, const auto &b) { return a.first < b.first; });
}

// The ranges are those of edgellm_runtimes.sampling.
Parameters read_parameters(Bytes &in, size_t n_vocab) {
    Parameters p;
    p.order = read_order(in);
    p.keep_ties = in.flag();
    p.typical_reaches = in.flag();
    p.temperature = in.maybe(1.0f, 0.0f, 100.0f);
    p.dynamic_range = in.maybe(0.0f, 0.0f, 100.0f);
    p.dynamic_exponent = in.maybe(1.0f, 0.0f, 100.0f);
    p.top_k = in.flag() ? in.next<uint32_t>() % INT32_MAX : static_cast<int64_t>(in.below(kLargest));
    p.top_p = in.maybe(1.0f, 0.0f, 1.0f);
    p.min_p = in.maybe(0.0f, 0.0f, 1.0f);
    p.typical_p = in.maybe(1.0f, 0.0f, 1.0f);
    p.top_n_sigma = in.maybe(0.0f, 0.0f, 1000.0f);
    p.xtc_probability = in.maybe(0.0f, 0.0f, 1.0f);
    p.xtc_threshold = in.in_range(0.0f, 1.0f);
    p.mirostat = in.below(8) == 1;
    p.mirostat_tau = in.in_range(0.0f, 100.0f);
    p.mirostat_eta = in.in_range(0.0f, 1.0f);
    p.seed = in.next<uint64_t>();
    p.top_logprobs = in.flag() ? static_cast<int>(in.below(1001)) : -1;
    p.logprob_scope = in.flag() ? Scope::raw : Scope::processed;
    read_edits(in, n_vocab, p);
    return p;
}

Sequence read_sequence(Bytes &in, size_t n_vocab) {
    Sequence sequence;
    sequence.parameters = read_parameters(in, n_vocab);
    Random random(in.next<uint8_t>());
    sequence.history = make_history(in.below(400), n_vocab, random);
    sequence.mirostat_mu = static_cast<double>(in.in_range(-1e9f, 1e9f));
    return sequence;
}

// What is left of the input are the logits that stand out, each with its place.
std::vector<float> read_logits(Bytes &in, size_t n_vocab) {
    Random random(in.next<uint8_t>());
    std::vector<float> logits = make_logits(kLogits[in.below(std::size(kLogits))].kind, n_vocab, random);
    while (in.left() >= 6) {
        const size_t place = in.below(n_vocab);
        logits[place] = float_of_bits(in.next<uint32_t>());
    }
    return logits;
}

// Returns the digest of what every instruction set gave.
uint64_t fuzz(Bytes in) {
    static std::vector<Workspace> workspaces(tier_names().size());  // what other inputs left in them must not matter
    const size_t n_vocab = 1 + in.below(kLargest), shift = in.below(17), mask_kind = in.below(4);
    const double points[2] = {static_cast<double>(in.in_range(0.0f, 1.0f)), static_cast<double>(in.in_range(0.0f, 1.0f))};
    const bool is_injected = in.flag();
    Random random(in.next<uint8_t>());
    const std::vector<uint32_t> bits = make_mask(n_vocab, random);
    const Sequence sequence = read_sequence(in, n_vocab);
    const std::vector<float> values = read_logits(in, n_vocab);
    const Placed<float> logits(values.data(), n_vocab, shift);
    const Placed<uint32_t> mask(bits.data(), bits.size(), shift);
    const Placed<double> uniforms(points, 2, 0);
    const Input input{&sequence, logits.get(), n_vocab, mask_kind == 1 ? mask.get() : nullptr,
                      is_injected ? uniforms.get() : nullptr};
    Workspace unused;
    Result expected;
    call(baseline_kernels(), unused, input, expected);
    current_case() = "baseline";
    check_result(input, expected);
    size_t tier = 0;
    for (const std::string &name : tier_names()) {
        Result result;
        current_case() = name.c_str();
        call(kernels_named(name), workspaces[tier++], input, result);
        require(digest_of(result) == digest_of(expected), "every instruction set gives the same, whatever came before");
    }
    require(std::memcmp(logits.get(), values.data(), n_vocab * sizeof(float)) == 0, "the logits stay as they are");
    return digest_of(expected);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz(Bytes(data, size));
    return 0;
}

#if defined(EDGELLM_PLAIN_MAIN)
int main(int argc, char **argv) {
    const uint64_t seed = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1;
    const uint64_t inputs = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1000;
    Digest digest;
    for (uint64_t i = 0; i < inputs; ++i) {
        Random random(seed * 1000003u + i);
        std::vector<uint8_t> bytes(random.below(600));
        for (uint8_t &byte : bytes) byte = static_cast<uint8_t>(random.bits32() >> 24);
        digest.add(fuzz(Bytes(bytes.data(), bytes.size())));
    }
    std::printf("%016" PRIx64 "\n", digest.value());
    return 0;
}
#endif
