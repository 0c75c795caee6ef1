// 4 lanes: what every machine can do.
#define EDGELLM_KERNELS baseline_kernels
#define EDGELLM_KERNEL_NAME "baseline"
#define EDGELLM_AFFINE_GROUPS 2
#define EDGELLM_SYMMETRIC_GROUPS 4
#include "kernel_set.inl"
