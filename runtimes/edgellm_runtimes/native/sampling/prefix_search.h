// The smallest set of places with the highest keys whose weights reach a target, without sorting a vocabulary.
//
// A sample of the keys says between which two keys the border most likely lies. One pass over all keys sums up what lies
// above both and lists what lies between them; the list, much shorter, is searched in the same way until it can be
// sorted. Where the sample was wrong, passes that weigh everything above four pivots find the two keys.
#pragma once

#include <cstddef>

#include "candidate_key.h"
#include "kernel_table.h"
#include "workspace.h"

namespace edgellm::sampling {

class PrefixSearch {
  public:
    PrefixSearch(const Kernels &kernels, Workspace &workspace) : k_(kernels), w_(workspace) {}

    // Finds, among `blocks` whole blocks of keys, the set whose weights add up to at least `target`, or to more than it
    // where `passes`; at least one place stays. Equal keys are taken in the order of their places. Keys and weights may be
    // one array; `total` is the sum of the weights. Returns the weight of the set.
    double run(const float *keys, float *weights, size_t blocks, double total, double target, bool passes);

    // The place of the set where the running sum of its weights passes `target`, with its weight.
    size_t find(double target, double &weight) const;

    // Sets all other places of `weights`, which may be others than those of the search, to 0; workspace.sums follow.
    // Returns their sum.
    double apply(float *weights) const;

  private:
    struct Level {  // keys and weights that are searched
        const float *keys, *weights;
        size_t blocks, count;
        double above;  // weight of the places that are known to be in the set
    };
    struct Bracket {
        float least, sure;  // below the one nothing belongs to the set, from the other on everything does
    };

    size_t find_sure(double target, double &weight) const;
    Bracket guess(const Level &level, double total) const;
    Bracket bisect(const Level &level) const;
    double list(const Level &level, Bracket bracket, double *sums, BorderList &border) const;
    bool holds(double above, const BorderList &border) const;
    bool reached(double mass) const { return passes_ ? mass > target_ : mass >= target_; }
    bool is_in(float key, int32_t place) const { return candidate_key(key, place) <= last_; }

    const Kernels &k_;
    Workspace &w_;
    const float *keys_ = nullptr;
    float *weights_ = nullptr;
    size_t blocks_ = 0;
    double target_ = 0.0;
    bool passes_ = false;
    Bracket bracket_ = {0.0f, 0.0f};
    double sure_mass_ = 0.0;
    Key last_ = 0;  // the last place of the set
};

}  // namespace edgellm::sampling
