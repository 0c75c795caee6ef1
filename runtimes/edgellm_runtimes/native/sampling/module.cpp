// Python's view of the sampling kernels. Parameters were checked in edgellm_runtimes.sampling.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <stdexcept>

#include "batch.h"
#include "tiers.h"

namespace nb = nanobind;
using namespace edgellm::sampling;

namespace {

using Logits = nb::ndarray<const float, nb::ndim<2>, nb::device::cpu>;
using Masks = nb::ndarray<const uint32_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Uniforms = nb::ndarray<const double, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Tokens = nb::ndarray<const int32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

struct PySequence {
    Sequence sequence;
    Choice choice;
    std::vector<double> earlier_mu;  // Mirostat's bound before each generated token
    bool in_use = false;  // read and written under the interpreter's lock, which `sample` gives up
};

// A sequence that no running call works on.
PySequence &at_rest(PySequence &self) {
    if (self.in_use) throw std::invalid_argument("another call is using this sequence");
    return self;
}

const PySequence &at_rest(const PySequence &self) { return at_rest(const_cast<PySequence &>(self)); }

// The sequences of one call: referred to, and kept from other calls, for as long as it runs.
class SequencesInUse {
  public:
    SequencesInUse() = default;
    ~SequencesInUse() {
        for (PySequence *sequence : sequences_) sequence->in_use = false;
    }
    SequencesInUse(const SequencesInUse &) = delete;
    SequencesInUse &operator=(const SequencesInUse &) = delete;

    void take(const nb::sequence &given) {
        for (nb::handle object : given) {
            PySequence *sequence = nullptr;
            if (!nb::try_cast(object, sequence) || !sequence)
                throw nb::type_error("the sequences must be Sequence objects");
            if (sequence->in_use) throw std::invalid_argument("a sequence is there twice, or another call is using it");
            references_.push_back(nb::borrow(object));
            sequences_.push_back(sequence);
            sequence->in_use = true;
        }
    }

    size_t size() const { return sequences_.size(); }
    PySequence &operator[](size_t i) { return *sequences_[i]; }

  private:
    std::vector<nb::object> references_;
    std::vector<PySequence *> sequences_;
};

Stage stage_named(const std::string &name) {
    const std::pair<const char *, Stage> names[] = {
        {"temperature", Stage::temperature}, {"top_n_sigma", Stage::top_n_sigma}, {"top_k", Stage::top_k},
        {"typical_p", Stage::typical},       {"top_p", Stage::top_p},             {"min_p", Stage::min_p},
        {"xtc", Stage::xtc}};
    for (const auto &entry : names)
        if (name == entry.first) return entry.second;
    throw std::invalid_argument("there is no sampling stage " + name);
}

template <class T>
void read(const nb::dict &from, const char *name, T &to) {
    if (from.contains(name)) to = nb::cast<T>(from[name]);
}

Parameters read_parameters(const nb::dict &values) {
    Parameters p;
    for (const std::string &name : nb::cast<std::vector<std::string>>(values["order"]))
        p.order.push_back(stage_named(name));
    read(values, "keep_ties", p.keep_ties);
    read(values, "typical_reaches", p.typical_reaches);
    read(values, "logit_bias", p.bias);
    std::stable_sort(p.bias.begin(), p.bias.end(), [](const auto &a, const auto &b) { return a.first < b.first; });
    read(values, "repetition_penalty", p.repetition_penalty);
    read(values, "frequency_penalty", p.frequency_penalty);
    read(values, "presence_penalty", p.presence_penalty);
    read(values, "penalty_window", p.penalty_window);
    read(values, "penalize_prompt", p.penalize_prompt);
    read(values, "dry_multiplier", p.dry_multiplier);
    read(values, "dry_base", p.dry_base);
    read(values, "dry_allowed_length", p.dry_allowed_length);
    read(values, "dry_window", p.dry_window);
    std::vector<std::vector<int32_t>> breakers;
    read(values, "dry_breakers", breakers);
    for (const auto &breaker : breakers)
        if (!breaker.empty()) p.dry_breakers.push_back({breaker[0], {breaker.begin() + 1, breaker.end()}});
    read(values, "temperature", p.temperature);
    read(values, "dynamic_range", p.dynamic_range);
    read(values, "dynamic_exponent", p.dynamic_exponent);
    read(values, "top_k", p.top_k);
    read(values, "top_p", p.top_p);
    read(values, "min_p", p.min_p);
    read(values, "typical_p", p.typical_p);
    read(values, "top_n_sigma", p.top_n_sigma);
    read(values, "xtc_probability", p.xtc_probability);
    read(values, "xtc_threshold", p.xtc_threshold);
    read(values, "mirostat", p.mirostat);
    read(values, "mirostat_tau", p.mirostat_tau);
    read(values, "mirostat_eta", p.mirostat_eta);
    read(values, "seed", p.seed);
    read(values, "top_logprobs", p.top_logprobs);
    std::string scope = "raw";
    read(values, "logprob_scope", scope);
    p.logprob_scope = scope == "processed" ? Scope::processed : Scope::raw;
    return p;
}

void begin(PySequence &self) {
    self.sequence.mirostat_mu = 2.0 * static_cast<double>(self.sequence.parameters.mirostat_tau);
    self.earlier_mu.clear();
}

void append(PySequence &self, int32_t token, double mirostat_mu) {
    self.sequence.history.tokens.push_back(token);
    if (!self.sequence.parameters.mirostat) return;
    self.earlier_mu.push_back(self.sequence.mirostat_mu);
    self.sequence.mirostat_mu = mirostat_mu;
}

void truncate(PySequence &self, size_t position) {
    if (position > self.sequence.position()) throw std::invalid_argument("cannot truncate to the future");
    History &history = self.sequence.history;
    history.tokens.resize(history.prompt_length + position);
    if (position >= self.earlier_mu.size()) return;
    self.sequence.mirostat_mu = self.earlier_mu[position];
    self.earlier_mu.resize(position);
}

void check_shapes(size_t count, const Logits &logits, const std::optional<Masks> &masks,
                  const std::optional<Uniforms> &uniforms) {
    const size_t n_vocab = logits.shape(1);
    if (count == 0 && logits.shape(0) == 0) return;
    if (logits.shape(0) != count) throw std::invalid_argument("there must be one row of logits for each sequence");
    if (n_vocab == 0 || n_vocab > INT32_MAX) throw std::invalid_argument("a row has no logits, or too many");
    if (n_vocab > 1 && logits.stride(1) != 1) throw std::invalid_argument("the logits of a row must lie side by side");
    if (masks && (masks->shape(0) != count || masks->shape(1) != (n_vocab + 31) / 32))
        throw std::invalid_argument("masks must be uint32 [rows, ceil(n_vocab / 32)]");
    if (uniforms && (uniforms->shape(0) != count || uniforms->shape(1) < 2))
        throw std::invalid_argument("uniforms must be float64 [rows, 2]");
}

RowTask task_of(PySequence &sequence, size_t row, const Logits &logits, const std::optional<Masks> &masks,
                const std::optional<Uniforms> &uniforms) {
    return {&sequence.sequence, logits.data() + static_cast<int64_t>(row) * logits.stride(0),
            masks ? masks->data() + row * masks->shape(1) : nullptr,
            uniforms ? uniforms->data() + row * uniforms->shape(1) : nullptr, &sequence.choice};
}

std::vector<int32_t> sample(const nb::sequence &given, const Logits &logits, const std::optional<Masks> &masks,
                            unsigned threads, const std::optional<Uniforms> &uniforms, bool accept,
                            const std::string &tier) {
    SequencesInUse sequences;
    sequences.take(given);
    check_shapes(sequences.size(), logits, masks, uniforms);
    const Kernels &set = tier.empty() ? kernels() : kernels_named(tier);
    std::vector<RowTask> tasks(sequences.size());
    std::vector<int32_t> tokens(sequences.size());
    for (size_t i = 0; i < tasks.size(); ++i) tasks[i] = task_of(sequences[i], i, logits, masks, uniforms);
    {
        nb::gil_scoped_release unlocked;
        choose_all(set, tasks, logits.shape(1), threads);
    }
    for (size_t i = 0; i < tasks.size(); ++i) {
        const Choice &choice = sequences[i].choice;
        tokens[i] = choice.outcome == Outcome::token ? choice.token : -static_cast<int32_t>(choice.outcome);
        if (!accept || choice.outcome != Outcome::token) continue;
        append(sequences[i], choice.token, choice.mirostat_mu);
    }
    return tokens;
}

std::pair<std::vector<int32_t>, std::vector<double>> kept_tokens(PySequence &sequence, const Logits &logits,
                                                                 const std::optional<Masks> &masks,
                                                                 const std::optional<Uniforms> &uniforms,
                                                                 const std::string &tier) {
    at_rest(sequence);
    check_shapes(1, logits, masks, uniforms);
    static thread_local Workspace workspace;
    const RowTask task = task_of(sequence, 0, logits, masks, uniforms);
    std::vector<std::pair<int32_t, double>> kept;
    const Outcome outcome = distribution(tier.empty() ? kernels() : kernels_named(tier), workspace, sequence.sequence,
                                         task.logits, logits.shape(1), task.mask, task.uniforms, kept);
    if (outcome != Outcome::token) throw std::invalid_argument("the logits have no distribution");
    std::pair<std::vector<int32_t>, std::vector<double>> result;
    for (const auto &entry : kept) {
        result.first.push_back(entry.first);
        result.second.push_back(entry.second);
    }
    return result;
}

}  // namespace

NB_MODULE(_sampling, m) {
    nb::set_leak_warnings(false);
    m.doc() = "Sampling kernels: rows of logits in, tokens out.";

    m.def("tiers", &tier_names, "The instruction sets that this processor has kernels for, the best first.");
    m.def("tier", [] { return std::string(kernels().name); }, "The kernels in force; see EDGELLM_SAMPLING_TIER.");

    nb::class_<PySequence>(m, "Sequence", "Parameters, history and random state of one sequence.")
        .def("__init__",
             [](PySequence *self, const nb::dict &parameters) {
                 new (self) PySequence{};
                 self->sequence.parameters = read_parameters(parameters);
                 begin(*self);
             })
        .def(
            "prompt",
            [](PySequence &self, const Tokens &tokens) {
                History &history = at_rest(self).sequence.history;
                history.tokens.assign(tokens.data(), tokens.data() + tokens.shape(0));
                history.prompt_length = tokens.shape(0);
                begin(self);
            },
            nb::arg("tokens").noconvert(), "Begin after these tokens.")
        .def(
            "accept",
            [](PySequence &self, int32_t token) { append(at_rest(self), token, self.sequence.mirostat_mu); },
            nb::arg("token"), "Append a token that was chosen elsewhere.")
        .def(
            "truncate",
            [](PySequence &self, size_t position) { truncate(at_rest(self), position); },
            nb::arg("position"), "Forget the generated tokens from `position` on.")
        .def_prop_ro("position", [](const PySequence &self) { return at_rest(self).sequence.position(); },
                     "Number of tokens generated.")
        .def_prop_rw(
            "mirostat_mu", [](const PySequence &self) { return at_rest(self).sequence.mirostat_mu; },
            [](PySequence &self, double mu) { at_rest(self).sequence.mirostat_mu = mu; }, "Mirostat's running bound, in bits.")
        .def_prop_ro("logprob", [](const PySequence &self) { return at_rest(self).choice.logprob; },
                     "Natural logarithm of the chosen token's probability.")
        .def_prop_ro("top_logprobs", [](const PySequence &self) { return at_rest(self).choice.top_logprobs; },
                     "The likeliest tokens and their log-probabilities.");

    m.def("sample", &sample, nb::arg("sequences"), nb::arg("logits").noconvert(),
          nb::arg("masks").noconvert() = nb::none(), nb::arg("threads") = 1,
          nb::arg("uniforms").noconvert() = nb::none(), nb::arg("accept") = true, nb::arg("tier") = "",
          "One token for each row; -1 where a logit is NaN, -2 where nothing is allowed.");
    m.def("distribution", &kept_tokens, nb::arg("sequence"), nb::arg("logits").noconvert(),
          nb::arg("masks").noconvert() = nb::none(), nb::arg("uniforms").noconvert() = nb::none(), nb::arg("tier") = "",
          "The tokens that are left for the draw, ascending, and their probabilities.");
}
