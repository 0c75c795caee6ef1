// 16 lanes; compiled with -mavx512f.
#define EDGELLM_KERNELS avx512_kernels
#define EDGELLM_KERNEL_NAME "avx512"
#define EDGELLM_AFFINE_GROUPS 2
#define EDGELLM_SYMMETRIC_GROUPS 2
#include "kernel_set.inl"
