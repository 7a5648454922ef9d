/// Minibatches of the replay buffer.

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/DeviceGuard.h>

#include <algorithm>

#include "core/allocate.h"
#include "core/check.h"
#include "core/check_step.h"
#include "core/cuda_stream.h"
#include "replay/buffer_impl.h"

namespace omar::replay {
namespace {

constexpr std::string_view kOp = "replay::sample";

Draw draw_of(const SampleOptions& options, int64_t size, int64_t member) {
  return {size, options.seed, static_cast<std::uint32_t>(member), static_cast<std::uint32_t>(options.step)};
}

}  // namespace

void ReplayBuffer::Impl::check_draw(std::string_view op, const SampleOptions& options) const {
  check::at_least(op, "batch_size", options.batch_size, 1);
  check::at_least(op, "members", options.members, 1);
  TORCH_CHECK_VALUE(options.members % datasets() == 0, "[", op, "] `members` must be a multiple of the ", datasets(),
                    " datasets, got ", options.members);
  TORCH_CHECK_VALUE(options.members <= counter::kIndices, "[", op, "] `members` must be at most 2^32, got ",
                    options.members);
  check::step(op, "step", options.step);
  for (int64_t d = 0; d < datasets(); ++d) {
    TORCH_CHECK_VALUE(size(d) > 0, "[", op, "] dataset ", d, " is empty");
    TORCH_CHECK_VALUE(options.batch_size <= size(d), "[", op, "] `batch_size` must be at most the ", size(d),
                      " rows of dataset ", d, ", got ", options.batch_size);
  }
  check_memory(op);
  if (!options.agents) return;
  check::at_least(op, "agents", *options.agents, 1);
  TORCH_CHECK_VALUE(options.members % *options.agents == 0, "[", op, "] `agents` must divide the ", options.members,
                    " members, got ", *options.agents);
  for (const Field& field : layout.fields()) {
    TORCH_CHECK_VALUE(!field.shape.empty() && field.shape[0] == *options.agents, "[", op,
                      "] `agents` must be the first size of field `", field.name, "` ", check::shape_text(field.shape),
                      ", got ", *options.agents);
  }
}

at::Tensor ReplayBuffer::Impl::sample_indices(const SampleOptions& options) const {
  check_draw(kOp, options);
  const int64_t batch = options.batch_size;
  const at::Tensor indices = allocate(kOp, "indices", {options.members, batch}, at::TensorOptions(at::kLong));
  int64_t* const out = indices.mutable_data_ptr<int64_t>();
  const int64_t members_per_dataset = options.members / datasets();
  at::parallel_for(0, options.members, 1, [&](int64_t begin, int64_t end) {
    for (int64_t m = begin; m < end; ++m) {
      kernels().draw(draw_of(options, size(m / members_per_dataset), m), 0, batch, out + m * batch);
    }
  });
  return indices;
}

Columns ReplayBuffer::Impl::sample(const SampleOptions& options) const {
  check_draw(kOp, options);
  Columns batch = make_batch(options);
  if (device().is_cpu()) {
    gather_cpu(options, batch);
  } else if (cuda::built()) {
    gather_cuda(options, batch);
  } else {
    gather_any(options, batch);
  }
  return batch;
}

/// Uninitialised [M, B, ...] of every field; on the CPU all in one block, each at a cache line.
Columns ReplayBuffer::Impl::make_batch(const SampleOptions& options) const {
  constexpr int64_t kLine = 64 / kFloatBytes;
  // With a line of padding for each field, so that the sums below hold too.
  const int64_t padded_row = layout.row_count() + kLine * static_cast<int64_t>(layout.size());
  check::product(kOp, "the minibatches", {options.members, options.batch_size, padded_row, kFloatBytes});
  const int64_t rows_of_batch = options.members * options.batch_size;
  const auto tensor_options = at::TensorOptions(at::kFloat).device(device());
  std::vector<Slice> slices;
  int64_t total = 0;
  for (size_t f = 0; f < layout.size(); ++f) {
    slices.push_back(layout.slice(f, options.agents, 0));
    total += (rows_of_batch * slices.back().count + kLine - 1) / kLine * kLine;
  }
  Columns batch;
  std::shared_ptr<void> block;
  if (device().is_cpu()) block = batch_memory->take(static_cast<size_t>(total * kFloatBytes));
  auto* next = static_cast<float*>(block.get());
  for (size_t f = 0; f < layout.size(); ++f) {
    const std::vector<int64_t> sizes_of_field = with_leading({options.members, options.batch_size}, slices[f].shape);
    if (block == nullptr) {
      batch.emplace_back(layout.name(f), at::empty(sizes_of_field, tensor_options));
      continue;
    }
    batch.emplace_back(layout.name(f), at::from_blob(next, sizes_of_field, [block](void*) {}, tensor_options));
    next += (rows_of_batch * slices[f].count + kLine - 1) / kLine * kLine;
  }
  return batch;
}

Source ReplayBuffer::Impl::source(int64_t dataset, std::optional<int64_t> agents, int64_t member) const {
  Source source;
  for (size_t f = 0; f < layout.size(); ++f) {
    const Slice part = layout.slice(f, agents, member);
    const char* table = nullptr;
    int64_t stride = 0, element_bytes = kFloatBytes;
    if (is_view()) {
      table = const_bytes_of(views[static_cast<size_t>(dataset)][f].second) +
              (part.offset - layout.offset(f)) * kFloatBytes;
      stride = layout.count(f) * kFloatBytes;
    } else {
      element_bytes = static_cast<int64_t>(rows.element_size());
      table = const_bytes_of(rows) + dataset * capacity * row_bytes() + part.offset * element_bytes;
      stride = row_bytes();
    }
    source.segments.push_back({table, stride, nullptr, part.count * kFloatBytes, part.count});
    source.spans.push_back({table, stride, part.count * element_bytes});
  }
  if (!is_view() && !agents) {
    source.spans = {{const_bytes_of(rows) + dataset * capacity * row_bytes(), row_bytes(), row_bytes()}};
  }
  return source;
}

void ReplayBuffer::Impl::gather_cpu(const SampleOptions& options, const Columns& targets) const {
  const int64_t batch = options.batch_size;
  const int64_t blocks = (batch + kTaskRows - 1) / kTaskRows;
  const int64_t members_per_dataset = options.members / datasets();
  const Slack slack = is_view() ? Slack::none : Slack::one_vector;
  at::parallel_for(0, options.members * blocks, 1, [&](int64_t begin, int64_t end) {
    int64_t drawn[kTaskRows];
    for (int64_t task = begin; task < end; ++task) {
      const int64_t m = task / blocks, first = task % blocks * kTaskRows;
      const int64_t n = std::min(kTaskRows, batch - first);
      const int64_t dataset = m / members_per_dataset;
      Source from = source(dataset, options.agents, m);
      for (size_t f = 0; f < targets.size(); ++f) {
        from.segments[f].target = bytes_of(targets[f].second) + (m * batch + first) * from.segments[f].target_bytes;
      }
      kernels().draw(draw_of(options, size(dataset), m), first, n, drawn);
      kernels().gather({from.segments.data(), static_cast<int64_t>(from.segments.size()), from.spans.data(),
                        static_cast<int64_t>(from.spans.size()), stored(), slack},
                       drawn, n);
    }
  });
}

void ReplayBuffer::Impl::gather_cuda(const SampleOptions& options, const Columns& targets) const {
  const c10::DeviceGuard guard(device());
  const int64_t members = options.members / datasets();
  TORCH_CHECK_VALUE(cuda::fits(members, options.batch_size), "[", kOp, "] ", members, " x ", options.batch_size,
                    " rows are more than one launch of a GPU takes");
  for (int64_t d = 0; d < datasets(); ++d) {
    cuda::MemberGather gather{};
    gather.rows = const_bytes_of(rows) + d * capacity * row_bytes();
    gather.row_bytes = row_bytes();
    gather.stored = stored();
    gather.draw = draw_of(options, size(d), d * members);
    gather.members = members;
    gather.batch = options.batch_size;
    gather.agents = options.agents.value_or(1);
    for (size_t f = 0; f < targets.size(); ++f) {
      const int64_t count = layout.count(f) / gather.agents;
      float* const target = targets[f].second.data_ptr<float>() + d * members * options.batch_size * count;
      gather.fields[gather.field_count++] = {layout.offset(f), count, target};
      if (gather.field_count < cuda::kMostFields && f + 1 < targets.size()) continue;
      cuda::gather(gather, current_cuda_stream(device()));
      gather.field_count = 0;
    }
  }
}

/// The same from LibTorch ops, for a CUDA device in a build without CUDA kernels.
void ReplayBuffer::Impl::gather_any(const SampleOptions& options, const Columns& targets) const {
  const at::Tensor indices = sample_indices(options).to(device());
  const int64_t members_per_dataset = options.members / datasets();
  for (int64_t m = 0; m < options.members; ++m) {
    const at::Tensor drawn = rows.select(0, m / members_per_dataset).index_select(0, indices.select(0, m));
    for (size_t f = 0; f < targets.size(); ++f) {
      const Slice part = layout.slice(f, options.agents, m);
      const at::Tensor target = targets[f].second.select(0, m);
      target.copy_(drawn.narrow(1, part.offset, part.count).reshape(target.sizes()));
    }
  }
}

}  // namespace omar::replay
