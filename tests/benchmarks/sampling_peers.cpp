// Two things to compare with, compiled by the benchmark: llama_sampler_sample's way to fill and run a chain, and a plain
// maximum of a row for each instruction set.
#include <chrono>
#include <cstddef>
#include <cstdint>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace {

// llama_token_data and llama_token_data_array of llama.h.
struct Candidate {
    int32_t id;
    float logit;
    float p;
};

struct Candidates {
    Candidate *data;
    size_t size;
    int64_t selected;
    bool sorted;
};

int64_t now_ns() {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

}  // namespace

// What llama_sampler_sample does with the logits of a context, and the time of the chain without the fill.
extern "C" int32_t llama_sample(void (*apply)(void *, void *), void *chain, const float *logits, int32_t n_vocab,
                                void *buffer, int64_t *chain_ns) {
    Candidate *candidates = static_cast<Candidate *>(buffer);
    for (int32_t id = 0; id < n_vocab; ++id) candidates[id] = Candidate{id, logits[id], 0.0f};
    Candidates array = {candidates, static_cast<size_t>(n_vocab), -1, false};
    const int64_t before = now_ns();
    apply(chain, &array);
    *chain_ns = now_ns() - before;
    return array.data[array.selected].id;
}

// The ids that a chain leaves; returns how many.
extern "C" int32_t llama_kept(void (*apply)(void *, void *), void *chain, const float *logits, int32_t n_vocab,
                              void *buffer, int32_t *ids) {
    Candidate *candidates = static_cast<Candidate *>(buffer);
    for (int32_t id = 0; id < n_vocab; ++id) candidates[id] = Candidate{id, logits[id], 0.0f};
    Candidates array = {candidates, static_cast<size_t>(n_vocab), -1, false};
    apply(chain, &array);
    for (size_t i = 0; i < array.size; ++i) ids[i] = array.data[i].id;
    return static_cast<int32_t>(array.size);
}

// Eight accumulators: enough to hide the latency of a maximum at two loads a cycle.
#define PLAIN_MAXIMUM(NAME, TARGET, REGISTER, WIDTH, LOAD, MAXIMUM, STORE)                                      \
    TARGET static float NAME(const float *x, int64_t n) {                                                       \
        REGISTER best[8];                                                                                       \
        for (int i = 0; i < 8; ++i) best[i] = LOAD(x);                                                          \
        int64_t at = 0;                                                                                         \
        for (; at + 8 * WIDTH <= n; at += 8 * WIDTH)                                                            \
            for (int i = 0; i < 8; ++i) best[i] = MAXIMUM(best[i], LOAD(x + at + i * WIDTH));                   \
        for (int i = 1; i < 8; ++i) best[0] = MAXIMUM(best[0], best[i]);                                        \
        float lanes[WIDTH];                                                                                     \
        STORE(lanes, best[0]);                                                                                  \
        float largest = lanes[0];                                                                               \
        for (int i = 1; i < WIDTH; ++i) largest = lanes[i] > largest ? lanes[i] : largest;                      \
        for (; at < n; ++at) largest = x[at] > largest ? x[at] : largest;                                       \
        return largest;                                                                                         \
    }

#if defined(__x86_64__)
PLAIN_MAXIMUM(maximum_baseline, __attribute__((target("sse2"))), __m128, 4, _mm_loadu_ps, _mm_max_ps, _mm_storeu_ps)
PLAIN_MAXIMUM(maximum_avx2, __attribute__((target("avx2"))), __m256, 8, _mm256_loadu_ps, _mm256_max_ps, _mm256_storeu_ps)
PLAIN_MAXIMUM(maximum_avx512, __attribute__((target("avx512f"))), __m512, 16, _mm512_loadu_ps, _mm512_max_ps,
              _mm512_storeu_ps)
#elif defined(__aarch64__)
PLAIN_MAXIMUM(maximum_baseline, , float32x4_t, 4, vld1q_f32, vmaxq_f32, vst1q_f32)
#endif

// The maxima of `rows` rows that lie `stride` floats apart. `tier`: 0 the baseline, 1 AVX2, 2 AVX-512.
extern "C" void plain_maxima(int32_t tier, const float *x, int64_t n, int64_t stride, int32_t rows, float *largest) {
    for (int32_t row = 0; row < rows; ++row) {
        const float *from = x + row * stride;
#if defined(__x86_64__)
        largest[row] = tier == 2   ? maximum_avx512(from, n)
                       : tier == 1 ? maximum_avx2(from, n)
                                   : maximum_baseline(from, n);
#else
        largest[row] = maximum_baseline(from, n);
#endif
        asm volatile("" : : : "memory");
    }
}
