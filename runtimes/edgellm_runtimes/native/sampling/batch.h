// Many rows in one call, on as many threads as are worth it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "chain.h"

namespace edgellm::sampling {

struct RowTask {
    const Sequence *sequence;
    const float *logits;
    const uint32_t *mask;     // nullptr allows all
    const double *uniforms;   // nullptr draws
    Choice *choice;
};

// Chooses for every row. The result of a row depends on nothing but the row. `threads` is the most that are used; the
// calling one is among them, the others are kept for the next call.
void choose_all(const Kernels &kernels, const std::vector<RowTask> &tasks, size_t n_vocab, unsigned threads);

}  // namespace edgellm::sampling
