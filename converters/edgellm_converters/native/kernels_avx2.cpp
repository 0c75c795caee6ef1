// 8 lanes; compiled with -mavx2.
#define EDGELLM_KERNELS avx2_kernels
#define EDGELLM_KERNEL_NAME "avx2"
#define EDGELLM_AFFINE_GROUPS 1
#define EDGELLM_SYMMETRIC_GROUPS 2
#include "kernel_set.inl"
