#include "kernels.inl"

namespace edgellm::sampling {

const Kernels &avx2_kernels() { static const Kernels set = table("avx2"); return set; }

}  // namespace edgellm::sampling
