#include <cstdlib>
#include <stdexcept>

#include "tiers.h"

namespace edgellm::sampling {
namespace {

std::vector<const Kernels *> available() {  // the best first
    std::vector<const Kernels *> found;
#if defined(EDGELLM_X86_KERNELS)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq"))
        found.push_back(&avx512_kernels());
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) found.push_back(&avx2_kernels());
#endif
    found.push_back(&baseline_kernels());
    return found;
}

}  // namespace

std::vector<std::string> tier_names() {
    std::vector<std::string> names;
    for (const Kernels *set : available()) names.emplace_back(set->name);
    return names;
}

const Kernels &kernels_named(const std::string &name) {
    std::string names;
    for (const Kernels *set : available()) {
        if (name.empty() || name == set->name) return *set;
        names += (names.empty() ? "" : ", ") + std::string(set->name);
    }
    throw std::invalid_argument("the sampling kernels \"" + name + "\" are not available on this processor; it has " +
                                names);
}

const Kernels &kernels() {
    static const Kernels &set = [&]() -> const Kernels & {
        const char *name = std::getenv("EDGELLM_SAMPLING_TIER");
        return kernels_named(name ? name : "");
    }();
    return set;
}

}  // namespace edgellm::sampling
