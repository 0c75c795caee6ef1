// SSE2 on x86-64, NEON on AArch64, one lane at a time elsewhere.
#include "kernels.inl"

namespace edgellm::sampling {

#if defined(__SSE2__)
const Kernels &baseline_kernels() { static const Kernels set = table("sse2"); return set; }
#elif defined(__ARM_NEON) && defined(__aarch64__)
const Kernels &baseline_kernels() { static const Kernels set = table("neon"); return set; }
#else
const Kernels &baseline_kernels() { static const Kernels set = table("scalar"); return set; }
#endif

}  // namespace edgellm::sampling
