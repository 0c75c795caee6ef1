// Which kernels this processor has, by name. Apart from kernel_table.h, which the vector units include: those see no
// standard library templates.
#pragma once

#include <string>
#include <vector>

#include "kernel_table.h"

namespace edgellm::sampling {

std::vector<std::string> tier_names();  // the best first

// The kernels of that name, or the best for an empty one. Throws std::invalid_argument that lists the names.
const Kernels &kernels_named(const std::string &name);

// The kernels in force: the best that this processor has, or those that EDGELLM_SAMPLING_TIER names.
const Kernels &kernels();

}  // namespace edgellm::sampling
