// Calls the native parts of edgellm_runtimes, and the half-precision conversions, without Python.
// Prints the names of the CPU's features, one a line; exit status 1, with words on standard error, when a check fails.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "abort_flag.h"
#include "bandwidth.h"
#include "cpu_features.h"
#include "half.h"

namespace {

void check(bool holds, const char *what) {
    if (holds) return;
    std::fprintf(stderr, "%s\n", what);
    std::exit(1);
}

using Callback = bool (*)(void *);

void check_abort_flag() {
    edgellm::AbortFlag flag, other;
    const auto callback = reinterpret_cast<Callback>(flag.callback_address());
    auto *data = reinterpret_cast<void *>(flag.data_address());
    check(!callback(data) && !flag.is_set(), "a new flag is set");
    flag.set();
    check(callback(data) && flag.is_set(), "a flag that was set is not");
    check(!callback(reinterpret_cast<void *>(other.data_address())), "flags share their state");
    flag.clear();
    check(!callback(data) && !flag.is_set(), "a flag that was cleared is set");
}

// As when a decode thread polls and another thread asks it to stop.
void check_abort_flag_between_threads() {
    edgellm::AbortFlag flag;
    std::atomic<bool> polled{false};
    std::thread decoder([&] {
        const auto callback = reinterpret_cast<Callback>(flag.callback_address());
        auto *data = reinterpret_cast<void *>(flag.data_address());
        while (!callback(data)) polled.store(true);
    });
    while (!polled.load()) std::this_thread::yield();
    flag.set();
    decoder.join();
}

void check_halves_survive() {
    for (uint32_t bits = 0; bits < 0x10000u; ++bits) {
        const auto half = static_cast<uint16_t>(bits);
        const float value = float_from_half(half);
        if ((bits & 0x7fffu) > 0x7c00u) {
            check(std::isnan(value), "a half NaN became a number");
            check(half_from_float(value) == ((bits & 0x8000u) | 0x7e00u), "a NaN is not the quiet one of its sign");
        } else {
            check(half_from_float(value) == half, "a half does not survive the way to float and back");
        }
    }
}

// Between neighbours a < b among the halves, everything below the middle goes to a and everything above it to b; the
// middle goes to the even one. Holds for subnormals and for the step to infinity (whose place is 65536) too.
void check_rounding_to_half() {
    for (uint32_t low = 0; low < 0x7c00u; ++low) {
        const float a = float_from_half(static_cast<uint16_t>(low));
        const float b = low == 0x7bffu ? 65536.0f : float_from_half(static_cast<uint16_t>(low + 1));
        const float middle = a + (b - a) * 0.5f;
        const uint32_t even = low & 1u ? low + 1 : low;
        for (const uint32_t sign : {0u, 0x8000u}) {
            const auto rounds_to = [sign](float value, uint32_t half) {
                return half_from_float(sign ? -value : value) == (sign | half);
            };
            check(rounds_to(middle, even), "a tie does not go to the even half");
            check(rounds_to(std::nextafter(middle, 0.0f), low), "just below the middle does not go down");
            check(rounds_to(std::nextafter(middle, 1e9f), low + 1), "just above the middle does not go up");
        }
    }
    check(half_from_float(3.0e38f) == 0x7c00u && half_from_float(-3.0e38f) == 0xfc00u, "huge is not infinite");
    check(half_from_float(1e-45f) == 0 && half_from_float(-1e-45f) == 0x8000u, "tiny is not zero with its sign");
}

void check_cpu_features() {
    const std::vector<std::string> names = edgellm::cpu_features();
    check(std::is_sorted(names.begin(), names.end()), "the features are not sorted");
    check(std::adjacent_find(names.begin(), names.end()) == names.end(), "a feature is named twice");
    for (const std::string &name : names) std::printf("%s\n", name.c_str());
}

bool is_refused(std::size_t size_bytes, unsigned threads, unsigned repeats) {
    try {
        edgellm::memory_bandwidth(size_bytes, threads, repeats);
    } catch (const std::invalid_argument &) {
        return true;
    }
    return false;
}

// Sizes that the threads do not divide evenly: no word outside the memory may be touched.
void check_memory_bandwidth() {
    for (const std::size_t size_bytes : {std::size_t{1} << 20, (std::size_t{1} << 20) + 4099, std::size_t{12345 * 7}}) {
        for (const unsigned threads : {1u, 2u, 3u, 7u}) {
            const edgellm::Bandwidth found = edgellm::memory_bandwidth(size_bytes, threads, 2);
            check(found.read_gb_s > 0.0 && found.copy_gb_s > 0.0, "memory has no bandwidth");
            check(std::isfinite(found.read_gb_s) && std::isfinite(found.copy_gb_s), "a bandwidth is not finite");
        }
    }
    check(is_refused(1 << 20, 0, 1) && is_refused(1 << 20, 1, 0), "no threads or no repeats are not refused");
    check(is_refused(1 << 20, 1025, 1) && is_refused(4096, 2, 1), "too many threads are not refused");
}

}  // namespace

int main() {
    check_abort_flag();
    check_memory_bandwidth();
    check_abort_flag_between_threads();
    check_halves_survive();
    check_rounding_to_half();
    check_cpu_features();
    return 0;
}
