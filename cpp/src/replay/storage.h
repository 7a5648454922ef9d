#pragma once
/// Memory of the replay buffer's rows.

#include <ATen/core/Tensor.h>

#include <c10/core/Device.h>

namespace omar::replay {

/// Uninitialised float32 [S, capacity, floats]. On the CPU it starts at a cache line and asks the operating system for
/// huge pages: a random row then costs one page-table step instead of a walk.
at::Tensor allocate_rows(int64_t datasets, int64_t capacity, int64_t floats, at::Device device);

}  // namespace omar::replay
