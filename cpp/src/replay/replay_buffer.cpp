#include <omar/core/check.h>
#include <omar/replay/replay_buffer.h>

#include <ATen/Parallel.h>
#include <ATen/ops/cat.h>

#include <algorithm>
#include <mutex>
#include <utility>

#include "replay/buffer_impl.h"

namespace omar::replay {

ReplayBuffer::ReplayBuffer(int64_t capacity, std::vector<Field> fields, at::Device device, int64_t datasets,
                           at::ScalarType storage) {
  constexpr int64_t kMostDatasets = int64_t{1} << 20;
  check::at_least("replay", "capacity", capacity, 1);
  check::at_least("replay", "datasets", datasets, 1);
  TORCH_CHECK_VALUE(datasets <= kMostDatasets, "[replay] `datasets` must be at most 2^20, got ", datasets);
  TORCH_CHECK_TYPE(storage == at::kFloat || storage == at::kBFloat16,
                   "[replay] `storage` must be float32 or bfloat16, got ", storage);
  impl_ = std::make_unique<Impl>(Layout(std::move(fields)), capacity);
  const int64_t count = impl_->layout.padded_count(static_cast<int64_t>(c10::elementSize(storage)));
  impl_->rows = allocate_rows(datasets, capacity, count, storage, device);
  impl_->heads.assign(static_cast<size_t>(datasets), 0);
  impl_->sizes.assign(static_cast<size_t>(datasets), 0);
}

ReplayBuffer::ReplayBuffer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ReplayBuffer::~ReplayBuffer() = default;
ReplayBuffer::ReplayBuffer(ReplayBuffer&&) noexcept = default;
ReplayBuffer& ReplayBuffer::operator=(ReplayBuffer&&) noexcept = default;

ReplayBuffer ReplayBuffer::view(const std::vector<Columns>& datasets) {
  constexpr std::string_view kOp = "replay::view";
  TORCH_CHECK_VALUE(!datasets.empty(), "[", kOp, "] needs the columns of at least one dataset");
  std::vector<Field> fields;
  for (const auto& [name, column] : datasets.front()) {
    TORCH_CHECK_VALUE(column.defined() && column.layout() == c10::kStrided && column.dim() > 0, "[", kOp, "] `", name,
                      "` must be [n, ...]");
    fields.push_back({name, column.sizes().slice(1).vec()});
  }
  auto impl = std::make_unique<Impl>(Layout(std::move(fields)), 0);
  for (const Columns& columns : datasets) {
    const std::vector<at::Tensor> ordered = impl->layout.in_order(kOp, columns);
    Columns named;
    for (size_t f = 0; f < ordered.size(); ++f) {
      const std::string& name = impl->layout.name(f);
      check::device(kOp, name, ordered[f], at::kCPU);
      TORCH_CHECK_VALUE(ordered[f].is_contiguous(), "[", kOp, "] `", name, "` must be contiguous, got strides ",
                        check::shape_text(ordered[f].strides()));
      named.emplace_back(name, ordered[f]);
    }
    impl->sizes.push_back(ordered.front().size(0));
    impl->heads.push_back(0);
    impl->views.push_back(std::move(named));
  }
  impl->capacity = *std::max_element(impl->sizes.begin(), impl->sizes.end());
  return ReplayBuffer(std::move(impl));
}

// What no call changes needs no lock.
int64_t ReplayBuffer::capacity() const { return impl_->capacity; }
int64_t ReplayBuffer::datasets() const { return impl_->datasets(); }
const std::vector<Field>& ReplayBuffer::fields() const { return impl_->layout.fields(); }
bool ReplayBuffer::is_view() const { return impl_->is_view(); }
at::Device ReplayBuffer::device() const { return impl_->device(); }
at::ScalarType ReplayBuffer::storage() const { return impl_->storage(); }
int64_t ReplayBuffer::row_bytes() const { return impl_->row_bytes(); }

int64_t ReplayBuffer::size(int64_t dataset) const {
  impl_->check_dataset(dataset);
  const std::shared_lock lock(impl_->mutex);
  return impl_->size(dataset);
}

void ReplayBuffer::extend(const Columns& columns, int64_t dataset) {
  TORCH_CHECK_VALUE(!is_view(), "[replay::extend] this buffer is a view of its columns: nothing can be added");
  impl_->check_dataset(dataset);
  const std::vector<at::Tensor> ordered = impl_->layout.in_order("replay::extend", columns);
  const std::lock_guard lock(impl_->mutex);
  impl_->extend(ordered, dataset);
}

Columns ReplayBuffer::columns(int64_t dataset) const {
  impl_->check_dataset(dataset);
  const std::shared_lock lock(impl_->mutex);
  return impl_->columns(dataset);
}

at::Tensor ReplayBuffer::sample_indices(const SampleOptions& options) const {
  const std::shared_lock lock(impl_->mutex);
  return impl_->sample_indices(options);
}

Columns ReplayBuffer::sample(const SampleOptions& options) const {
  const std::shared_lock lock(impl_->mutex);
  return impl_->sample(options);
}

int64_t ReplayBuffer::Impl::row_bytes() const {
  if (is_view()) return layout.row_count() * kFloatBytes;
  return rows.size(2) * static_cast<int64_t>(rows.element_size());
}

void ReplayBuffer::Impl::check_memory(std::string_view op) const {
  for (const Columns& columns : views) {
    for (const auto& [name, column] : columns) {
      const auto end = static_cast<size_t>((column.storage_offset() + column.numel()) * kFloatBytes);
      TORCH_CHECK_VALUE(column.storage().nbytes() >= end, "[", op, "] the memory of column `", name,
                        "` was taken away after the view was made");
    }
  }
}

void ReplayBuffer::Impl::check_dataset(int64_t dataset) const {
  TORCH_CHECK_VALUE(dataset >= 0 && dataset < datasets(), "[replay] `dataset` must be in [0, ", datasets(), "), got ",
                    dataset);
}

void ReplayBuffer::Impl::extend(const std::vector<at::Tensor>& columns, int64_t dataset) {
  const int64_t n = columns.front().size(0);
  const int64_t kept = std::min(n, capacity);
  int64_t& head = heads[static_cast<size_t>(dataset)];
  int64_t& size = sizes[static_cast<size_t>(dataset)];
  const int64_t start = (head + (n - kept) % capacity) % capacity;
  const int64_t before_wrap = std::min(kept, capacity - start);
  pack(columns, n - kept, dataset, start, before_wrap);
  pack(columns, n - kept + before_wrap, dataset, 0, kept - before_wrap);
  head = (start + kept) % capacity;
  size = std::min(capacity, size + kept);
}

/// Rows [from, from + count) of the columns become stored rows [to, to + count).
void ReplayBuffer::Impl::pack(const std::vector<at::Tensor>& columns, int64_t from, int64_t dataset, int64_t to,
                              int64_t count) {
  if (count == 0) return;
  const at::Tensor target = rows.select(0, dataset).narrow(0, to, count);
  if (device().is_cpu()) {
    pack_cpu(columns, from, target);
    return;
  }
  for (size_t f = 0; f < columns.size(); ++f) {
    const at::Tensor part = target.narrow(1, layout.offset(f), layout.count(f));
    part.copy_(columns[f].narrow(0, from, count).reshape({count, layout.count(f)}));
  }
}

void ReplayBuffer::Impl::pack_cpu(const std::vector<at::Tensor>& columns, int64_t from, const at::Tensor& target) {
  static constexpr float kZeros[32] = {};
  const int64_t count = target.size(0);
  const auto element_bytes = static_cast<int64_t>(target.element_size());
  std::vector<Segment> segments;
  std::vector<at::Tensor> held;
  for (size_t f = 0; f < columns.size(); ++f) {
    held.push_back(columns[f].narrow(0, from, count).to(at::kCPU).contiguous());
    segments.push_back({const_bytes_of(held.back()), layout.count(f) * kFloatBytes,
                        bytes_of(target) + layout.offset(f) * element_bytes, row_bytes(), layout.count(f)});
  }
  const int64_t used = layout.row_count();
  if (used < target.size(1)) {  // the padding too has a value: equal buffers make equal files
    segments.push_back({reinterpret_cast<const char*>(kZeros), 0, bytes_of(target) + used * element_bytes, row_bytes(),
                        target.size(1) - used});
  }
  at::parallel_for(0, count, 4 * kTaskRows, [&](int64_t begin, int64_t end) {
    std::vector<Segment> part = segments;
    for (Segment& s : part) {
      s.source += begin * s.source_bytes;
      s.target += begin * s.target_bytes;
    }
    kernels().pack(part.data(), static_cast<int64_t>(part.size()), stored(), end - begin);
  });
}

Columns ReplayBuffer::Impl::columns(int64_t dataset) const {
  Columns result;
  if (is_view()) {
    check_memory("replay::columns");
    for (const auto& [name, column] : views[static_cast<size_t>(dataset)]) result.emplace_back(name, column.clone());
    return result;
  }
  const int64_t n = size(dataset);
  const int64_t oldest = n < capacity ? 0 : heads[static_cast<size_t>(dataset)];
  const at::Tensor stored_rows = rows.select(0, dataset);
  for (size_t f = 0; f < layout.size(); ++f) {
    const at::Tensor column = stored_rows.narrow(1, layout.offset(f), layout.count(f));
    const at::Tensor ordered = at::cat({column.narrow(0, oldest, n - oldest), column.narrow(0, 0, oldest)}, 0);
    const std::vector<int64_t> sizes_of_field = with_leading({n}, layout.fields()[f].shape);
    result.emplace_back(layout.name(f), ordered.reshape(sizes_of_field).to(at::kFloat));
  }
  return result;
}

}  // namespace omar::replay
