#pragma once
/// Version of omar, the one place that names it: CMake and the Python package read it here.
///
/// Semantic versioning (https://semver.org). Before 1.0 a minor version may change the public headers, so the shared
/// library's soname holds it: libomar.so.0.1. A patch version changes neither headers nor results. Headers in
/// `omar/particle/detail` are no part of the contract, but for what a compiled scenario hands to the library.

#include <omar/core/host_device.h>

#include <string>

#define OMAR_VERSION_MAJOR 0
#define OMAR_VERSION_MINOR 1
#define OMAR_VERSION_PATCH 0

namespace omar {

/// Of the library that runs, such as "0.1.0"; the macros are of the headers that were compiled.
OMAR_API std::string version();

}  // namespace omar
