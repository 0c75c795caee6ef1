// Ends a graph early, with the signature of ggml_backend_sched_eval_callback: where only the hidden states are wanted,
// the output matrix after them need not be computed. ggml calls it once per graph node, so it must not enter Python.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <utility>

namespace edgellm {

class GraphStop {
public:
    // `tensor` is the last one to compute; `get_name` is the address of ggml_get_name, so that no layout is assumed here.
    GraphStop(std::string tensor, std::uintptr_t get_name)
        : tensor_(std::move(tensor)), get_name_(reinterpret_cast<const char * (*)(const void *)>(get_name)) {}

    void set() noexcept { active_.store(true, std::memory_order_relaxed); }
    void clear() noexcept { active_.store(false, std::memory_order_relaxed); }

    std::uintptr_t callback_address() const noexcept { return reinterpret_cast<std::uintptr_t>(&GraphStop::ask); }
    std::uintptr_t data_address() const noexcept { return reinterpret_cast<std::uintptr_t>(this); }

private:
    // Before a node: whether it is to be shown. After it, whether to go on: only the last one is ever shown.
    static bool ask(const void * tensor, bool before, void * data) {
        const auto * self = static_cast<const GraphStop *>(data);
        return before && self->active_.load(std::memory_order_relaxed) && self->tensor_ == self->get_name_(tensor);
    }

    std::string tensor_;
    const char * (*get_name_)(const void *);
    std::atomic<bool> active_{false};
};

}  // namespace edgellm
