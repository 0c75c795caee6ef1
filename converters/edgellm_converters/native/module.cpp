// The compiled part of edgellm_converters: quantization to the K types, and to blocks of integer levels.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

#include "k_quants.h"

namespace nb = nanobind;

namespace {

using Bytes = nb::ndarray<uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Floats = nb::ndarray<float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using ConstFloats = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

// The kernels this CPU can run, the fastest first.
const std::vector<const edgellm::KernelSet *> &usable_kernels() {
    static const std::vector<const edgellm::KernelSet *> usable = [] {
        std::vector<const edgellm::KernelSet *> sets;
#if defined(EDGELLM_X86_KERNELS)
        __builtin_cpu_init();
        if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
            __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
            sets.push_back(&edgellm::avx512_kernels());
        }
        if (__builtin_cpu_supports("avx2")) sets.push_back(&edgellm::avx2_kernels());
#endif
        sets.push_back(&edgellm::baseline_kernels());
        return sets;
    }();
    return usable;
}

const edgellm::KernelSet &find_kernels(const std::string &name) {
    for (const auto *set : usable_kernels()) {
        if (name == set->name) return *set;
    }
    throw std::invalid_argument("no kernels named " + name + " on this CPU");
}

std::vector<std::string> kernel_names() {
    std::vector<std::string> names;
    for (const auto *set : usable_kernels()) names.emplace_back(set->name);
    return names;
}

size_t quantize(const std::string &kernels, const std::string &type, ConstFloats values, Bytes blocks, Bytes left_over) {
    const edgellm::KernelSet &set = find_kernels(kernels);
    struct Entry {
        const char *name;
        edgellm::QuantizeBlocks function;
        size_t block_bytes;
    };
    const Entry entries[] = {{"Q4_K", set.q4_k, edgellm::kQ4KBytes},
                             {"Q5_K", set.q5_k, edgellm::kQ5KBytes},
                             {"Q6_K", set.q6_k, edgellm::kQ6KBytes}};
    const auto *entry = std::find_if(std::begin(entries), std::end(entries), [&](const Entry &e) { return type == e.name; });
    if (entry == std::end(entries)) throw std::invalid_argument("no kernel for the type " + type);
    const size_t count = values.shape(0) / edgellm::kSuperBlock;
    if (values.shape(0) % edgellm::kSuperBlock != 0) throw std::invalid_argument("values: not whole super-blocks of 256");
    if (reinterpret_cast<std::uintptr_t>(values.data()) % alignof(float) != 0) {
        throw std::invalid_argument("values: not aligned");
    }
    if (blocks.shape(0) != count * entry->block_bytes) throw std::invalid_argument("blocks: wrong size");
    if (left_over.shape(0) != count) throw std::invalid_argument("left_over: wrong size");
    const nb::gil_scoped_release unlocked;
    entry->function(values.data(), blocks.data(), count, left_over.data());
    return static_cast<size_t>(std::count(left_over.data(), left_over.data() + count, uint8_t{1}));
}

void quantize_int_blocks(const std::string &kernels, ConstFloats values, size_t row_length, size_t block_size, int bits,
                         bool symmetric, Bytes levels, Floats scales, Bytes zero_points) {
    const edgellm::KernelSet &set = find_kernels(kernels);
    if (row_length == 0 || values.shape(0) % row_length != 0) throw std::invalid_argument("values: not whole rows");
    if (block_size == 0 || block_size % 16 != 0 || block_size > edgellm::kLargestIntBlock) {
        throw std::invalid_argument("block_size: not a multiple of 16 up to 256");
    }
    if (!(bits == 4 || (bits == 8 && symmetric))) throw std::invalid_argument("bits: not 4, or symmetric 8");
    if (reinterpret_cast<std::uintptr_t>(values.data()) % alignof(float) != 0) {
        throw std::invalid_argument("values: not aligned");
    }
    const edgellm::IntBlockFormat format{row_length, block_size, bits, symmetric};
    const size_t rows = values.shape(0) / row_length;
    if (levels.shape(0) != rows * format.level_bytes()) throw std::invalid_argument("levels: wrong size");
    if (scales.shape(0) != rows * format.blocks()) throw std::invalid_argument("scales: wrong size");
    if (zero_points.shape(0) != rows * format.zero_bytes()) throw std::invalid_argument("zero_points: wrong size");
    const nb::gil_scoped_release unlocked;
    set.int_blocks(values.data(), rows, format, levels.data(), scales.data(), zero_points.data());
}

}  // namespace

NB_MODULE(_quantize, m) {
    m.doc() = "Native kernels of edgellm_converters.";

    m.def("kernel_names", &kernel_names, "Names of the kernel sets that this CPU can run, the fastest first.");

    m.def("quantize", &quantize, nb::arg("kernels"), nb::arg("type"), nb::arg("values").noconvert(),
          nb::arg("blocks").noconvert(), nb::arg("left_over").noconvert(),
          "Quantize whole super-blocks of 256 float32 values to Q4_K, Q5_K or Q6_K, without the interpreter lock.\n\n"
          "A super-block that the kernel does not cover is not written and marked 1 in `left_over` (others 0);\n"
          "returns how many there are. Raises ValueError for an unknown name, a wrong size or values at an odd address.");

    m.def("quantize_int_blocks", &quantize_int_blocks, nb::arg("kernels"), nb::arg("values").noconvert(),
          nb::arg("row_length"), nb::arg("block_size"), nb::arg("bits"), nb::arg("symmetric"),
          nb::arg("levels").noconvert(), nb::arg("scales").noconvert(), nb::arg("zero_points").noconvert(),
          "Quantize rows of finite float32 values to blocks of 4-bit or symmetric 8-bit levels, without the interpreter\n"
          "lock. A row has ceil(row_length / block_size) blocks, the last filled up with zeros. `levels`: block_size x bits\n"
          "/ 8 bytes a block; `scales`: one float a block; `zero_points`: 4 bits a block, whole bytes a row, empty if\n"
          "symmetric. Every kernel set writes the same. Raises ValueError for an unknown name or a wrong size.");
}
