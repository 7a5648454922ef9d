#include "core/draws.h"
#include "core/check.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <c10/core/DeviceGuard.h>

#include <algorithm>
#include <vector>

#include "core/check_step.h"
#include "core/cuda_stream.h"
#include "core/dispatch.h"

namespace omar::draws {

Kernels chosen_kernels() { return OMAR_FOR_CPU(kernels)(); }

bool on_cuda() { return cuda::built(); }

namespace {

void check_step_at(std::string_view op, const at::Tensor& step_at) {
  TORCH_CHECK_TYPE(step_at.scalar_type() == at::kLong, "[", op, "] a `step` in a tensor must be int64, got ",
                   step_at.scalar_type());
  TORCH_CHECK_VALUE(step_at.dim() == 0, "[", op, "] a `step` in a tensor must be a scalar, got ",
                    check::shape_text(step_at.sizes()));
}

/// The count of all numbers, of which double has 8 bytes each. \throws c10::ValueError a size below 0, or a product
/// that overflows
std::int64_t checked_count(std::string_view op, c10::IntArrayRef sizes) {
  std::vector<std::int64_t> factors = sizes.vec();
  for (const std::int64_t size : sizes) check::at_least(op, "sizes", size, 0);
  factors.push_back(sizeof(double));
  return check::product(op, "the bytes of the numbers", factors) / static_cast<std::int64_t>(sizeof(double));
}

bool draws_there(c10::Device device) { return device.is_cuda() && cuda::built(); }

ArrayKey key_on_cuda(std::string_view op, const Draw& draw, std::uint32_t stream, c10::Device device) {
  if (!draw.step_at.defined()) return {draw.seed, check::step(op, "step", draw.step), nullptr, stream};
  check_step_at(op, draw.step_at);
  check::device(op, "step", draw.step_at, device);
  return {draw.seed, 0, draw.step_at.const_data_ptr<std::int64_t>(), stream};
}

void fill_candidates(Distribution distribution, c10::IntArrayRef sizes, const Draw& draw, std::uint32_t stream,
                     float* out) {
  const Kernels kernels = chosen_kernels();
  const int64_t batch = sizes[1];
  const int64_t row = sizes[2] * sizes[3];
  constexpr int64_t states = 64;  // per piece of work
  const int64_t pieces = (batch + states - 1) / states;
  at::parallel_for(0, sizes[0] * pieces, 4, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t member = i / pieces;
      const int64_t first = i % pieces * states;
      const CandidateBlock block{draw.seed,
                                 static_cast<std::uint32_t>(draw.step),
                                 stream,
                                 static_cast<std::uint32_t>(member),
                                 static_cast<std::uint32_t>(first),
                                 std::min(states, batch - first),
                                 sizes[2],
                                 sizes[3]};
      kernels.candidates(distribution, block, {row, sizes[3], 1}, out + (member * batch + first) * row);
    }
  });
}

void fill_rows(Distribution distribution, int64_t rows, int64_t numbers, const Draw& draw, std::uint32_t stream,
               float* out) {
  const Kernels kernels = chosen_kernels();
  // Pieces of about as many numbers: some short rows, or a part of a long one. The cut changes no number.
  constexpr int64_t piece = 4096;
  const int64_t height = numbers < 64 ? (piece / numbers + 15) / 16 * 16 : std::max<int64_t>(1, piece / numbers);
  const int64_t width = std::min(numbers, piece);
  const int64_t down = (rows + height - 1) / height, across = (numbers + width - 1) / width;
  at::parallel_for(0, down * across, 4, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first = i / across * height, number = i % across * width;
      const RowBlock block{draw.seed,
                           static_cast<std::uint32_t>(draw.step),
                           stream,
                           static_cast<std::uint32_t>(first),
                           std::min(height, rows - first),
                           number,
                           std::min(number + width, numbers),
                           numbers};
      kernels.rows(distribution, block, out + first * numbers + number);
    }
  });
}

at::Tensor rows(std::string_view op, Distribution distribution, c10::IntArrayRef sizes, const Draw& counter,
                Stream purpose, const at::TensorOptions& options) {
  check_floating(op, "dtype", options.dtype().toScalarType());
  TORCH_CHECK_VALUE(!sizes.empty(), "[", op, "] `sizes` must be [N, ...], got []");
  const int64_t count = checked_count(op, sizes);
  const int64_t rows = sizes[0];
  const int64_t numbers = rows == 0 ? 0 : count / rows;
  TORCH_CHECK_VALUE(rows <= counter::kIndices && numbers <= counter::kNumbers, "[", op,
                    "] `sizes` must have at most 2^32 rows of 2^34 numbers, got ", check::shape_text(sizes));
  const c10::Device device = options.device();
  const auto stream = static_cast<std::uint32_t>(purpose);
  at::Tensor out = at::empty(sizes, at::TensorOptions(draws_there(device) ? device : at::kCPU).dtype(at::kFloat));
  if (draws_there(device)) {
    const c10::DeviceGuard guard(out.device());
    cuda::draw(distribution,
               RowArray{key_on_cuda(op, counter, stream, out.device()), rows, numbers, out.mutable_data_ptr<float>()},
               current_cuda_stream(out.device()));
    return out.to(options);
  }
  const Draw draw = on_host(op, counter);
  if (count > 0) fill_rows(distribution, rows, numbers, draw, stream, out.mutable_data_ptr<float>());
  return out.to(options);
}

}  // namespace

void check_floating(std::string_view op, std::string_view name, at::ScalarType dtype) {
  TORCH_CHECK_TYPE(dtype == at::kFloat || dtype == at::kDouble, "[", op, "] `", name,
                   "` must be float32 or float64, got ", dtype);
}

Draw on_host(std::string_view op, const Draw& draw) {
  std::int64_t step = draw.step;
  if (draw.step_at.defined()) {
    check_step_at(op, draw.step_at);
    step = draw.step_at.item<std::int64_t>();
  }
  return {draw.seed, check::step(op, "step", step)};
}

void check_candidate_sizes(std::string_view op, c10::IntArrayRef sizes) {
  TORCH_CHECK_VALUE(sizes.size() == 4, "[", op, "] `sizes` must be [M, B, K, A], got ", check::shape_text(sizes));
  checked_count(op, sizes);
  const auto at_most = [&](std::string_view letter, int64_t size, int64_t most, std::string_view text) {
    TORCH_CHECK_VALUE(size <= most, "[", op, "] ", letter, " must be at most ", text, ", got ", size);
  };
  at_most("M", sizes[0], counter::kIndices, "2^32");
  at_most("B", sizes[1], counter::kStates, "2^24");
  at_most("K", sizes[2], counter::kSamples, "1024");
  at_most("A", sizes[3], counter::kDimensions, "2^24");
}

at::Tensor candidates(std::string_view op, Distribution distribution, c10::IntArrayRef sizes, const Draw& counter,
                      std::uint32_t stream, c10::Device device) {
  check_candidate_sizes(op, sizes);
  if (draws_there(device)) {
    at::Tensor out = at::empty(sizes, at::TensorOptions(device).dtype(at::kFloat));
    const c10::DeviceGuard guard(out.device());
    cuda::draw(distribution,
               CandidateArray{key_on_cuda(op, counter, stream, out.device()), sizes[0], sizes[1], sizes[2], sizes[3],
                              out.mutable_data_ptr<float>()},
               current_cuda_stream(out.device()));
    return out;
  }
  const Draw draw = on_host(op, counter);
  at::Tensor out = at::empty(sizes, at::kFloat);
  fill_candidates(distribution, sizes, draw, stream, out.mutable_data_ptr<float>());
  return out.to(device);
}

at::Tensor uniform(c10::IntArrayRef sizes, const Draw& draw, Stream stream, const at::TensorOptions& options) {
  return rows("draws::uniform", Distribution::uniform, sizes, draw, stream, options);
}

at::Tensor normal(c10::IntArrayRef sizes, const Draw& draw, Stream stream, const at::TensorOptions& options) {
  return rows("draws::normal", Distribution::normal, sizes, draw, stream, options);
}

}  // namespace omar::draws
