// The smallest set of places with the highest keys whose weights reach a target, without sorting a vocabulary: each pass
// weighs everything above four pivots, until so few places are undecided that these can be sorted.
#pragma once

#include <cstddef>

#include "kernel_table.h"
#include "workspace.h"

namespace edgellm::sampling {

class PrefixSearch {
  public:
    // `blocks` whole blocks of keys and weights.
    PrefixSearch(const Kernels &kernels, Workspace &workspace, const float *keys, const float *weights, size_t blocks)
        : k_(kernels), w_(workspace), keys_(keys), weights_(weights), blocks_(blocks) {}

    // Finds the set whose weights add up to at least `target`, or to more than it where `passes`. Equal keys are taken in
    // the order of their places.
    void run(double target, bool passes);

    // True when a place whose key lies in [least, sure) belongs to the set.
    bool keeps(float key, size_t place) const;

    float sure = 0.0f;   // from this key on a place belongs to the set
    float least = 0.0f;  // below this key none does

  private:
    void narrow(double target, bool passes);
    void decide(double target, bool passes);

    const Kernels &k_;
    Workspace &w_;
    const float *keys_, *weights_;
    size_t blocks_;
    double mass_above_ = 0.0;  // weight of all places that are sure
    double undecided_ = 0.0;
    Key last_ = 0;  // of the undecided, the last that belongs to the set
};

}  // namespace edgellm::sampling
