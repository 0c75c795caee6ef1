// Calls every kernel that this CPU can run as no Python caller can: buffers on the heap of exactly the size needed, odd
// counts, every alignment that is allowed, values of every kind. Run under the sanitizers it finds what goes astray; the
// digests it prints must not depend on the build, the instruction set or the machine.
//
// usage: kernels_driver [SEED [ROUNDS]]
// Prints "TIER TYPE KIND DIGEST WRITTEN LEFT" lines; exit status 1, with words on standard error, when a kernel breaks a
// promise of k_quants.h.
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "k_quants.h"
#include "values.h"

namespace {

using namespace edgellm_tests;

constexpr size_t kMostSuperBlocks = 19;  // no multiple of any kernel's step
constexpr uint8_t kUntouched = 0xa5;

struct Case {
    const char *tier, *type, *kind;
    edgellm::QuantizeBlocks function;
    size_t block_bytes;
};

struct Result {
    std::vector<uint8_t> blocks, left_over;
};

[[noreturn]] void fail(const Case &c, const char *what) {
    std::fprintf(stderr, "%s %s, values of kind %s: %s\n", c.tier, c.type, c.kind, what);
    std::exit(1);
}

// Runs the kernel on copies whose last byte is the last of their allocation; they begin `shift` elements into it.
Result run(const Case &c, const float *values, size_t super_blocks, size_t shift) {
    const size_t count = super_blocks * edgellm::kSuperBlock, bytes = super_blocks * c.block_bytes;
    const std::unique_ptr<float[]> x(new float[shift + count]);
    const std::unique_ptr<uint8_t[]> blocks(new uint8_t[shift + bytes]);
    const std::unique_ptr<uint8_t[]> left_over(new uint8_t[shift + super_blocks]);
    if (count != 0) std::memcpy(x.get() + shift, values, count * sizeof(float));
    std::memset(blocks.get(), kUntouched, shift + bytes);
    std::memset(left_over.get(), kUntouched, shift + super_blocks);
    c.function(x.get() + shift, blocks.get() + shift, super_blocks, left_over.get() + shift);
    for (size_t i = 0; i < shift; ++i) {
        if (blocks[i] != kUntouched || left_over[i] != kUntouched) fail(c, "wrote in front of its output");
    }
    if (count != 0 && std::memcmp(x.get() + shift, values, count * sizeof(float)) != 0) fail(c, "changed its input");
    return {{blocks.get() + shift, blocks.get() + shift + bytes},
            {left_over.get() + shift, left_over.get() + shift + super_blocks}};
}

void check_marks(const Case &c, const Result &result) {
    for (size_t b = 0; b < result.left_over.size(); ++b) {
        if (result.left_over[b] > 1) fail(c, "a mark is neither 0 nor 1");
        if (result.left_over[b] == 0) continue;
        for (size_t i = 0; i < c.block_bytes; ++i) {
            if (result.blocks[b * c.block_bytes + i] != kUntouched) fail(c, "wrote a super-block that it marks as left");
        }
    }
}

bool all_finite(const float *values) {
    for (int i = 0; i < edgellm::kSuperBlock; ++i) {
        if (!(values[i] - values[i] == 0.0f)) return false;
    }
    return true;
}

// A super-block's bytes depend on its own values only: not on its neighbours, its place or its address.
void check_alone(const Case &c, const std::vector<float> &values, const Result &together, Random &random) {
    for (size_t b = 0; b < together.left_over.size(); ++b) {
        const float *own = values.data() + b * edgellm::kSuperBlock;
        const Result alone = run(c, own, 1, random.below(17));
        if (alone.left_over[0] != together.left_over[b]) fail(c, "a super-block is left alone or not by its neighbours");
        if (std::memcmp(alone.blocks.data(), together.blocks.data() + b * c.block_bytes, c.block_bytes) != 0) {
            fail(c, "a super-block depends on its neighbours");
        }
        if (together.left_over[b] == 0 && !all_finite(own)) fail(c, "wrote values that are not finite");
    }
}

// FNV-1a, 64 bits.
uint64_t digest(uint64_t hash, const std::vector<uint8_t> &bytes) {
    for (const uint8_t byte : bytes) hash = (hash ^ byte) * 0x100000001b3u;
    return hash;
}

void run_case(const Case &c, Kind kind, uint64_t seed, size_t rounds) {
    Random random(seed * 1000003u + static_cast<uint64_t>(kind));
    uint64_t hash = 0xcbf29ce484222325u;
    size_t written = 0, left = 0;
    run(c, nullptr, 0, 0);
    for (size_t round = 0; round < rounds; ++round) {
        const size_t super_blocks = round == 0 ? kMostSuperBlocks : 1 + random.below(kMostSuperBlocks);
        const std::vector<float> values = make_values(kind, super_blocks * edgellm::kSuperBlock, random);
        const Result result = run(c, values.data(), super_blocks, random.below(17));
        check_marks(c, result);
        check_alone(c, values, result, random);
        hash = digest(digest(hash, result.left_over), result.blocks);
        for (const uint8_t mark : result.left_over) ++(mark == 0 ? written : left);
    }
    std::printf("%s %s %s %016" PRIx64 " %zu %zu\n", c.tier, c.type, c.kind, hash, written, left);
}

void run_tier(const edgellm::KernelSet &set, uint64_t seed, size_t rounds) {
    for (const NamedKind &kind : kKinds) {
        run_case({set.name, "Q4_K", kind.name, set.q4_k, edgellm::kQ4KBytes}, kind.kind, seed, rounds);
        run_case({set.name, "Q5_K", kind.name, set.q5_k, edgellm::kQ5KBytes}, kind.kind, seed, rounds);
        run_case({set.name, "Q6_K", kind.name, set.q6_k, edgellm::kQ6KBytes}, kind.kind, seed, rounds);
    }
}

}  // namespace

int main(int argc, char **argv) {
    const uint64_t seed = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1;
    const size_t rounds = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 10;
    run_tier(edgellm::baseline_kernels(), seed, rounds);
#if defined(EDGELLM_X86_KERNELS)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2")) run_tier(edgellm::avx2_kernels(), seed, rounds);
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl")) {
        run_tier(edgellm::avx512_kernels(), seed, rounds);
    }
#endif
    return 0;
}
