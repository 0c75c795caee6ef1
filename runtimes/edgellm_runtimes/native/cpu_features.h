// Which instruction-set extensions this CPU has.
#pragma once

#include <string>
#include <vector>

namespace edgellm {

// Sorted names in the spelling of /proc/cpuinfo.
std::vector<std::string> cpu_features();

}  // namespace edgellm
