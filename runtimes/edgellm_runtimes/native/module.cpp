// The compiled part of edgellm_runtimes: what Python is too slow for, or must not do while native code runs.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "abort_flag.h"
#include "cpu_features.h"

namespace nb = nanobind;

NB_MODULE(_native, m) {
    // An interpreter that ends while its decode thread still holds a flag is no leak worth words on a terminal.
    nb::set_leak_warnings(false);

    m.doc() = "Native kernels of edgellm_runtimes.";

    m.def("cpu_features", &edgellm::cpu_features,
          "Instruction-set extensions of this CPU that the kernels can use, by their Linux names, sorted.");

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
}
