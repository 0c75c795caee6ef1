// A stop flag with the signature of ggml_abort_callback. ggml calls it once per graph node (about 165 times per
// decode step), so it must not enter Python.
#pragma once

#include <atomic>
#include <cstdint>

namespace edgellm {

class AbortFlag {
public:
    void set() noexcept { flag_.store(true, std::memory_order_relaxed); }
    void clear() noexcept { flag_.store(false, std::memory_order_relaxed); }
    bool is_set() const noexcept { return flag_.load(std::memory_order_relaxed); }

    std::uintptr_t callback_address() const noexcept { return reinterpret_cast<std::uintptr_t>(&AbortFlag::read); }
    std::uintptr_t data_address() const noexcept { return reinterpret_cast<std::uintptr_t>(this); }

private:
    static bool read(void * data) { return static_cast<const AbortFlag *>(data)->is_set(); }

    std::atomic<bool> flag_{false};
};

}  // namespace edgellm
