// How often a program has allocated memory.
#pragma once

#include <atomic>
#include <cstddef>

namespace edgellm_tests {

extern std::atomic<size_t> allocations;

}  // namespace edgellm_tests
