#pragma once
/// Arrays of counter-based random numbers (counter.h): the same on every device but for float32's last bits, whatever
/// the number of threads and the rest of the batch.

#include <omar/core/counter.h>
#include <omar/core/host_device.h>

#include <ATen/core/Tensor.h>
#include <c10/core/TensorOptions.h>

#include <cstdint>

namespace omar {

/// Counter of a draw: seed and step, 0 <= step < 2^32.
struct Draw {
  std::uint64_t seed = 0;
  std::int64_t step = 0;
  /// int64 scalar that holds the step instead, on the device of the numbers (or undefined). It is read when they are
  /// drawn, on CUDA by the kernel: a captured graph draws with the step that stands there when it is replayed. A step
  /// out of range gives NaN there, since a kernel cannot refuse it.
  at::Tensor step_at = {};
};

namespace draws {

/// Does this build draw on CUDA devices, or on the CPU with a copy?
OMAR_API bool on_cuda();

/// Uniform in [-1, 1), or standard normal: sizes [N, ...], float32 or float64 with float32's digits. Number j of row n
/// (j counts the other axes in order) is made of word j % 4 of the block (j / 4, step, n, stream); for normals the
/// words 0 and 1, 2 and 3 are paired by rng::normal_pair. So neither the other rows nor the numbers after j matter.
/// \throws c10::ValueError a size below 0, a step out of range, more numbers than the counter has;
///         c10::TypeError a dtype that is not floating point
OMAR_API at::Tensor uniform(c10::IntArrayRef sizes, const Draw& draw, Stream stream, const at::TensorOptions& options);
OMAR_API at::Tensor normal(c10::IntArrayRef sizes, const Draw& draw, Stream stream, const at::TensorOptions& options);

}  // namespace draws
}  // namespace omar
