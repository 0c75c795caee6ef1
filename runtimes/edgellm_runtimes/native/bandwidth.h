// How fast the threads of this process can read and copy memory together.
#pragma once

#include <cstddef>

namespace edgellm {

struct Bandwidth {
    double read_gb_s;  // bytes read per nanosecond
    double copy_gb_s;  // bytes read plus bytes written per nanosecond
};

// The best of `repeats` passes over `size_bytes` (at least one page per thread), divided among `threads` threads.
// Takes size_bytes of memory. Throws std::invalid_argument, std::bad_alloc, std::system_error.
Bandwidth memory_bandwidth(std::size_t size_bytes, unsigned threads, unsigned repeats);

}  // namespace edgellm
