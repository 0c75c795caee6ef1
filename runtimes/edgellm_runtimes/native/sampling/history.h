// The tokens of one sequence, and what they change about the next logits: penalties and DRY.
#pragma once

#include <cstdint>
#include <vector>

#include "parameters.h"
#include "workspace.h"

namespace edgellm::sampling {

struct History {
    std::vector<int32_t> tokens;  // prompt, then what was generated
    size_t prompt_length = 0;
};

// The logits that bias, penalties and DRY give other values: token and new value, into workspace.edits, ascending by
// token. `logits` are the values before. Tokens outside [0, n_vocab) are passed over.
void find_edits(const Parameters &p, const History &history, const float *logits, size_t n_vocab, Workspace &w);

// For each token that would continue a repetition: the length of it, into workspace.longest, ascending by token.
void find_repetitions(const Parameters &p, const History &history, Workspace &w);

}  // namespace edgellm::sampling
