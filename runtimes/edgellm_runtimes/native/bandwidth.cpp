#include "bandwidth.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <thread>
#include <vector>

namespace edgellm {

namespace {

constexpr std::size_t kPageWords = 512;
constexpr unsigned kMostThreads = 1024;

std::atomic<std::uint64_t> sink{0};  // what was read goes somewhere, so that it must be read

// Eight chains of additions: one would wait for itself, not for memory.
void read_words(const std::uint64_t *words, std::size_t count) {
    std::uint64_t sums[8] = {};
    std::size_t i = 0;
    for (; i + 8 <= count; i += 8) {
        for (std::size_t lane = 0; lane < 8; ++lane) sums[lane] += words[i + lane];
    }
    for (; i < count; ++i) sums[0] += words[i];
    std::uint64_t total = 0;
    for (const std::uint64_t sum : sums) total += sum;
    sink.fetch_add(total, std::memory_order_relaxed);
}

void copy_words(std::uint64_t *words, std::size_t count) {
    std::memcpy(words, words + count / 2, count / 2 * sizeof(std::uint64_t));
}

// Joins what was started, also when starting the next thread fails.
class Team {
public:
    Team() = default;
    Team(const Team &) = delete;
    Team &operator=(const Team &) = delete;
    ~Team() { join(); }

    template <typename Work>
    void start(Work work) {
        threads_.emplace_back(work);
    }

    void join() {
        for (std::thread &thread : threads_) {
            if (thread.joinable()) thread.join();
        }
    }

private:
    std::vector<std::thread> threads_;
};

// Seconds that `work(words, count)` takes when every thread does it on its part.
template <typename Work>
double pass_seconds(std::vector<std::uint64_t> &words, unsigned threads, Work work) {
    const std::size_t share = words.size() / threads;
    const auto started = std::chrono::steady_clock::now();
    Team team;
    for (unsigned i = 1; i < threads; ++i) {
        team.start([part = words.data() + i * share, share, work] { work(part, share); });
    }
    work(words.data(), share);
    team.join();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
}

template <typename Work>
double best_gb_s(std::vector<std::uint64_t> &words, unsigned threads, unsigned repeats, Work work) {
    double best = 1e300;
    for (unsigned i = 0; i < repeats; ++i) best = std::min(best, pass_seconds(words, threads, work));
    const std::size_t share = words.size() / threads;
    return static_cast<double>(share * threads * sizeof(std::uint64_t)) / std::max(best, 1e-9) / 1e9;
}

}  // namespace

Bandwidth memory_bandwidth(std::size_t size_bytes, unsigned threads, unsigned repeats) {
    if (threads == 0 || threads > kMostThreads || repeats == 0) {
        throw std::invalid_argument("threads must be 1 to 1024, repeats at least 1");
    }
    const std::size_t count = size_bytes / sizeof(std::uint64_t);
    if (count / threads < kPageWords) throw std::invalid_argument("at least one page per thread is needed");
    std::vector<std::uint64_t> words(count, 1);
    const double read = best_gb_s(words, threads, repeats, read_words);
    const double copy = best_gb_s(words, threads, repeats, copy_words);
    return {read, copy};
}

}  // namespace edgellm
