// Calls the sampling kernels as no Python caller can: rows and masks on the heap of exactly the size needed, every
// alignment that is allowed, values of every kind, a workspace that other rows have used. Run under the sanitizers and
// valgrind it finds what goes astray; the digests it prints must not depend on the build, the instruction set or the
// machine.
//
// usage: sampling_driver [SEED [ROUNDS [LARGEST]]]
// Prints "TIER GROUP DIGEST TOKENS KEPT" lines for ROUNDS cases in each group, none with more than LARGEST logits. Exit
// status other than 0, with words on standard error, when a call breaks a promise of sampling_checks.h, changes its
// input, allocates memory it has allocated before, or depends on anything but its arguments.
#include <cinttypes>
#include <thread>

#include "counted_new.h"
#include "sampling/batch.h"
#include "sampling/tiers.h"
#include "sampling_checks.h"

namespace {

using namespace edgellm_tests;

constexpr size_t kSizes[] = {1, 7, 255, 256, 257, 1000, 5003, 32000, 151936, 151937};
constexpr size_t kSmall = 5003;       // up to here a case is tried in more ways
constexpr size_t kBatchRows = 12;
constexpr size_t kBatchSize = 70001;  // times the rows: worth several threads

struct Tally {
    const Kernels *kernels;
    Workspace workspace;  // used for every case
    Digest digest;
    size_t tokens = 0, kept = 0;
};

using Vary = void (*)(Parameters &p, size_t n_vocab, Random &random);

struct Group {
    const char *name;
    Vary vary;
};

template <Stage stage>
void one_stage(Parameters &p, size_t, Random &random) {
    turn_on(stage, p, random);
    if (random.below(2) == 0) turn_on_logprobs(p, random);
}

template <size_t order>
void any_stages(Parameters &p, size_t, Random &random) {
    p.order = order_of(order);
    for (const Stage stage : p.order)
        if (random.below(2) == 0) turn_on(stage, p, random);
    if (random.below(2) == 0) turn_on_logprobs(p, random);
}

void anything(Parameters &p, size_t n_vocab, Random &random) {
    for (const Stage stage : p.order)
        if (random.below(3) == 0) turn_on(stage, p, random);
    if (random.below(6) == 0) turn_on_mirostat(p, random);
    if (random.below(2) == 0) turn_on_penalties(p, random);
    if (random.below(2) == 0) turn_on_dry(p, random);
    turn_on_bias(p, n_vocab, random);
    if (random.below(2) == 0) turn_on_logprobs(p, random);
}

const Group kGroupsOfCases[] = {
    {"no-stage", [](Parameters &, size_t, Random &) {}},
    {"greedy", [](Parameters &p, size_t, Random &) { p.temperature = 0.0f; }},
    {"temperature", one_stage<Stage::temperature>},
    {"top-n-sigma", one_stage<Stage::top_n_sigma>},
    {"top-k", one_stage<Stage::top_k>},
    {"typical", one_stage<Stage::typical>},
    {"top-p", one_stage<Stage::top_p>},
    {"min-p", one_stage<Stage::min_p>},
    {"xtc", one_stage<Stage::xtc>},
    {"mirostat", [](Parameters &p, size_t, Random &random) { turn_on_mirostat(p, random); }},
    {"penalties", [](Parameters &p, size_t, Random &random) { turn_on_penalties(p, random); }},
    {"dry", [](Parameters &p, size_t, Random &random) { turn_on_dry(p, random); }},
    {"bias", [](Parameters &p, size_t n_vocab, Random &random) { turn_on_bias(p, n_vocab, random); }},
    {"logprobs", [](Parameters &p, size_t, Random &random) { turn_on_logprobs(p, random); }},
    {"order-llama.cpp", any_stages<0>},
    {"order-transformers", any_stages<1>},
    {"order-vllm", any_stages<2>},
    {"anything", anything},
};

Sequence make_sequence(const Group &group, size_t n_vocab, Random &random) {
    Sequence sequence;
    sequence.parameters = no_stages(random);
    group.vary(sequence.parameters, n_vocab, random);
    sequence.history = make_history(random.below(300), n_vocab, random);
    sequence.mirostat_mu = 2.0 * static_cast<double>(sequence.parameters.mirostat_tau);
    return sequence;
}

// The same call from a copy elsewhere and with memory that no call has used.
void check_independence(const Kernels &kernels, const Input &in, const Result &expected, Random &random) {
    Workspace workspace;
    Result result;
    const Placed<float> logits(in.logits, in.n_vocab, random.below(17));
    call(kernels, workspace, {in.sequence, logits.get(), in.n_vocab, in.mask, in.uniforms}, result);
    require(digest_of(result) == digest_of(expected), "a result depends on nothing but the arguments");
}

void check_no_allocation(Tally &tally, const Input &in, Choice &choice) {
    const size_t before = allocations.load();
    choose(*tally.kernels, tally.workspace, *in.sequence, in.logits, in.n_vocab, in.mask, in.uniforms, choice);
    require(allocations.load() == before, "a call allocates nothing that the one before it had");
}

// A few tokens of one sequence, over one row.
void run_case(Tally &tally, Sequence sequence, Input in, Random random) {
    in.sequence = &sequence;
    Result result;
    for (int step = in.n_vocab <= kSmall ? 3 : 1; step > 0; --step) {
        call(*tally.kernels, tally.workspace, in, result);
        check_result(in, result);
        check_no_allocation(tally, in, result.choice);
        if (in.n_vocab <= kSmall) check_independence(*tally.kernels, in, result, random);
        tally.digest.add(result);
        tally.kept += result.kept.size();
        if (result.choice.outcome != Outcome::token) return;
        ++tally.tokens;
        sequence.history.tokens.push_back(result.choice.token);
        sequence.mirostat_mu = result.choice.mirostat_mu;
    }
}

void run_round(std::vector<Tally> &tallies, const Group &group, size_t n_vocab, const NamedLogits &kind, Random &random) {
    char name[128];
    const std::vector<float> values = make_logits(kind.kind, n_vocab, random);
    const std::vector<uint32_t> bits = make_mask(n_vocab, random);
    const double points[2] = {random.below(5) == 0 ? 0.99999999999999989 : static_cast<double>(random.bits() >> 11) * 0x1p-53,
                              static_cast<double>(random.bits() >> 11) * 0x1p-53};
    const Sequence sequence = make_sequence(group, n_vocab, random);
    const Placed<float> logits(values.data(), n_vocab, random.below(17));
    const Placed<uint32_t> mask(bits.data(), bits.size(), random.below(9));
    const Placed<double> uniforms(points, 2, 0);
    const bool is_masked = random.below(3) == 0, is_injected = random.below(3) == 0;
    const Input in{nullptr, logits.get(), n_vocab, is_masked ? mask.get() : nullptr, is_injected ? uniforms.get() : nullptr};
    for (Tally &tally : tallies) {
        std::snprintf(name, sizeof name, "%s %s, %zu logits of kind %s%s", tally.kernels->name, group.name, n_vocab,
                      kind.name, is_masked ? ", masked" : "");
        current_case() = name;
        run_case(tally, sequence, in, random);
    }
    require(std::memcmp(logits.get(), values.data(), n_vocab * sizeof(float)) == 0, "the logits stay as they are");
    require(std::memcmp(mask.get(), bits.data(), bits.size() * sizeof(uint32_t)) == 0, "the mask stays as it is");
}

void print(const std::vector<Tally> &tallies, const char *group) {
    for (const Tally &tally : tallies)
        std::printf("%s %s %016" PRIx64 " %zu %zu\n", tally.kernels->name, group, tally.digest.value(), tally.tokens,
                    tally.kept);
}

std::vector<Tally> fresh_tallies() {
    std::vector<Tally> tallies;
    for (const std::string &name : tier_names()) tallies.push_back({&kernels_named(name), {}, {}});
    return tallies;
}

struct Batch {
    std::vector<std::vector<float>> rows;
    std::vector<Sequence> sequences;
    size_t n_vocab;

    Batch(uint64_t seed, size_t size) : n_vocab(size) {
        Random random(seed);
        for (size_t i = 0; i < kBatchRows; ++i) {
            rows.push_back(make_logits(kLogits[i % 10].kind, n_vocab, random));
            sequences.push_back(make_sequence(kGroupsOfCases[(i * 5) % std::size(kGroupsOfCases)], n_vocab, random));
        }
    }

    uint64_t choose_with(const Kernels &kernels, unsigned threads, std::vector<Choice> &choices) const {
        std::vector<RowTask> tasks;
        for (size_t i = 0; i < rows.size(); ++i)
            tasks.push_back({&sequences[i], rows[i].data(), nullptr, nullptr, &choices[i]});
        choose_all(kernels, tasks, n_vocab, threads);
        Digest digest;
        for (const Choice &choice : choices) digest.add(choice);
        return digest.value();
    }
};

// Rows of a batch on any number of threads, from two callers at once, are those of one row after the other.
void run_batch(Tally &tally, const Batch &first, const Batch &second) {
    current_case() = "batch";
    std::vector<Choice> choices(kBatchRows), others(kBatchRows);
    const uint64_t alone = first.choose_with(*tally.kernels, 1, choices);
    const uint64_t other_alone = second.choose_with(*tally.kernels, 1, others);
    const char *const promise = "a row of a batch depends on nothing but the row";
    std::thread caller([&] { require(second.choose_with(*tally.kernels, 4, others) == other_alone, promise); });
    require(first.choose_with(*tally.kernels, 2, choices) == alone, promise);
    caller.join();
    tally.digest.add(alone);
    tally.digest.add(other_alone);
    tally.tokens += 2 * kBatchRows;
}

}  // namespace

int main(int argc, char **argv) {
    const uint64_t seed = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1;
    const size_t rounds = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 20;
    const size_t largest = argc > 3 ? std::strtoull(argv[3], nullptr, 10) : SIZE_MAX;
    size_t number = 0;
    for (const Group &group : kGroupsOfCases) {
        Random random(seed * 1000003u + ++number);
        std::vector<Tally> tallies = fresh_tallies();
        for (size_t round = 0; round < rounds; ++round) {
            const size_t size = kSizes[round % std::size(kSizes)];
            const NamedLogits &kind = kLogits[(round + round / std::size(kSizes) + number * 5) % std::size(kLogits)];
            if (size <= largest) run_round(tallies, group, size, kind, random);
        }
        print(tallies, group.name);
    }
    const Batch first(seed, std::min(largest, kBatchSize)), second(seed + 1, std::min(largest, kBatchSize));
    std::vector<Tally> tallies = fresh_tallies();
    for (Tally &tally : tallies) run_batch(tally, first, second);
    print(tallies, "batch");
    return 0;
}
