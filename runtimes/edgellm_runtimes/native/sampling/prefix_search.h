// The smallest set of places with the highest keys whose weights reach a target, without sorting a vocabulary: each pass
// weighs everything above four pivots, until so few places are undecided that these can be sorted.
#pragma once

#include <cstddef>

#include "kernel_table.h"
#include "workspace.h"

namespace edgellm::sampling {

class PrefixSearch {
  public:
    // `blocks` whole blocks of keys and weights, which may be one array; workspace.sums holds the sums of the weights.
    PrefixSearch(const Kernels &kernels, Workspace &workspace, const float *keys, float *weights, size_t blocks)
        : k_(kernels), w_(workspace), keys_(keys), weights_(weights), blocks_(blocks) {}

    // Finds the set whose weights add up to at least `target`, or to more than it where `passes`, and sets the weights of
    // all other places to 0; at least one place stays. Equal keys are taken in the order of their places. Returns the weight that is left;
    // workspace.sums follow.
    double run(double target, bool passes);

  private:
    void narrow(double target, bool passes);
    void decide(double target, bool passes);
    double cut();

    const Kernels &k_;
    Workspace &w_;
    const float *keys_;
    float *weights_;
    size_t blocks_;
    float sure_ = 0.0f;   // from this key on a place belongs to the set
    float least_ = 0.0f;  // below this key none does
    double mass_above_ = 0.0;  // weight of all places that are sure
};

}  // namespace edgellm::sampling
