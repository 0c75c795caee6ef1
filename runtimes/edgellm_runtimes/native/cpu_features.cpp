#include "cpu_features.h"

#include <algorithm>

#if defined(__aarch64__) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace edgellm {

std::vector<std::string> cpu_features() {
    std::vector<std::string> names;
    [[maybe_unused]] const auto add = [&names](bool present, const char * name) {
        if (present) names.emplace_back(name);
    };
#if defined(__x86_64__) || defined(__i386__)
    __builtin_cpu_init();
    add(__builtin_cpu_supports("sse2"), "sse2");
    add(__builtin_cpu_supports("avx"), "avx");
    add(__builtin_cpu_supports("avx2"), "avx2");
    add(__builtin_cpu_supports("fma"), "fma");
    add(__builtin_cpu_supports("avx512f"), "avx512f");
    add(__builtin_cpu_supports("avx512bw"), "avx512bw");
    add(__builtin_cpu_supports("avx512vl"), "avx512vl");
    add(__builtin_cpu_supports("avx512dq"), "avx512dq");
#elif defined(__aarch64__)
    add(true, "asimd");
#if defined(__linux__)
    const unsigned long caps = getauxval(AT_HWCAP);
    add(caps & HWCAP_ASIMDHP, "asimdhp");
    add(caps & HWCAP_ASIMDDP, "asimddp");
    add(caps & HWCAP_SVE, "sve");
#if defined(HWCAP2_I8MM)
    add(getauxval(AT_HWCAP2) & HWCAP2_I8MM, "i8mm");
#endif
#elif defined(__APPLE__)
    add(true, "asimdhp");
    add(true, "asimddp");
#endif
#endif
    std::sort(names.begin(), names.end());
    return names;
}

}  // namespace edgellm
