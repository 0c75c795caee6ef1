// The compiled part of edgellm_runtimes: what Python is too slow for, or must not do while native code runs.
#include <nanobind/nanobind.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "abort_flag.h"
#include "bandwidth.h"
#include "cpu_features.h"
#include "graph_stop.h"

namespace nb = nanobind;

NB_MODULE(_native, m) {
    // An interpreter that ends while its decode thread still holds a flag is no leak worth words on a terminal.
    nb::set_leak_warnings(false);

    m.doc() = "Native kernels of edgellm_runtimes.";

    m.def("cpu_features", &edgellm::cpu_features,
          "Instruction-set extensions of this CPU that the kernels can use, by their Linux names, sorted.");

    m.def(
        "memory_bandwidth",
        [](std::size_t size_bytes, unsigned threads, unsigned repeats) {
            const edgellm::Bandwidth found = edgellm::memory_bandwidth(size_bytes, threads, repeats);
            return std::pair(found.read_gb_s, found.copy_gb_s);
        },
        nb::arg("size_bytes"), nb::arg("threads"), nb::arg("repeats"), nb::call_guard<nb::gil_scoped_release>(),
        "The best of `repeats` passes over `size_bytes` of new memory by `threads` threads together: GB/s read, and GB/s "
        "copied (bytes read plus bytes written).");

    nb::class_<edgellm::AbortFlag>(m, "AbortFlag",
                                   "A flag that native code polls without taking the interpreter lock.")
        .def(nb::init<>())
        .def("set", &edgellm::AbortFlag::set, "Ask the running native call to stop.")
        .def("clear", &edgellm::AbortFlag::clear, "Allow the next native call.")
        .def_prop_ro("is_set", &edgellm::AbortFlag::is_set, "True while set.")
        .def_prop_ro("callback", &edgellm::AbortFlag::callback_address,
                     "Address of the C function `bool (*)(void *)` that reads the flag.")
        .def_prop_ro("data", &edgellm::AbortFlag::data_address,
                     "The argument for `callback`; valid while this object lives.");

    nb::class_<edgellm::GraphStop>(m, "GraphStop",
                                   "While set, a graph ends after the tensor of this name: nothing behind it is computed.")
        .def(nb::init<std::string, std::uintptr_t>(), nb::arg("tensor"), nb::arg("get_name"))
        .def("set", &edgellm::GraphStop::set, "Stop the graphs that come.")
        .def("clear", &edgellm::GraphStop::clear, "Compute whole graphs again.")
        .def_prop_ro("callback", &edgellm::GraphStop::callback_address,
                     "Address of the C function `bool (*)(ggml_tensor *, bool ask, void *)`.")
        .def_prop_ro("data", &edgellm::GraphStop::data_address,
                     "The argument for `callback`; valid while this object lives.");
}
