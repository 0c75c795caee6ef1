// From one row of logits to one token.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "history.h"
#include "kernel_table.h"
#include "parameters.h"
#include "workspace.h"

namespace edgellm::sampling {

enum class Outcome : int { token = 0, not_a_number = 1, nothing_allowed = 2 };

// The state of one sequence.
struct Sequence {
    Parameters parameters;
    History history;
    double mirostat_mu = 0.0;

    uint64_t position() const { return history.tokens.size() - history.prompt_length; }  // tokens generated
};

struct Choice {
    Outcome outcome = Outcome::token;
    int32_t token = -1;
    double mirostat_mu = 0.0;
    double logprob = 0.0;                               // where log-probabilities are asked for
    std::vector<std::pair<int32_t, float>> top_logprobs;  // the highest first
};

// Chooses a token of `logits` (n_vocab values, left as they are) among those that `mask` allows (one bit each, nullptr for
// all). The sequence is not changed. `uniforms`, where given, replaces the draws: token, XTC.
void choose(const Kernels &kernels, Workspace &workspace, const Sequence &sequence, const float *logits, size_t n_vocab,
            const uint32_t *mask, const double *uniforms, Choice &choice);

// The tokens that the stages leave, with their probabilities, ascending by token: what `choose` draws from. For tests and
// for speculation, not for speed.
Outcome distribution(const Kernels &kernels, Workspace &workspace, const Sequence &sequence, const float *logits,
                     size_t n_vocab, const uint32_t *mask, const double *uniforms,
                     std::vector<std::pair<int32_t, double>> &kept);

}  // namespace edgellm::sampling
