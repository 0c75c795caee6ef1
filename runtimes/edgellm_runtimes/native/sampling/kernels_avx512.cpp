#include "kernels.inl"

namespace edgellm::sampling {

const Kernels &avx512_kernels() { static const Kernels set = table("avx512"); return set; }

}  // namespace edgellm::sampling
