#pragma once
/// The inside of ReplayBuffer, shared by its parts.

#include <omar/replay/replay_buffer.h>

#include <ATen/core/Tensor.h>

#include <memory>
#include <shared_mutex>
#include <string_view>
#include <utility>
#include <vector>

#include "core/dispatch.h"
#include "replay/layout.h"
#include "replay/replay_kernels.h"
#include "replay/storage.h"

namespace omar::replay {

inline constexpr int64_t kFloatBytes = sizeof(float);
inline constexpr int64_t kTaskRows = 512;  ///< rows that one thread gathers at a time

/// What a gather reads for one member: a segment for each field, its target still open.
struct Source {
  std::vector<Segment> segments;
  std::vector<Span> spans;
};

/// Members assume that the mutex is held: shared by those that read, alone by those that write.
struct ReplayBuffer::Impl {
  Layout layout;
  int64_t capacity;
  std::vector<int64_t> heads;  ///< next row to write, per dataset
  std::vector<int64_t> sizes;
  at::Tensor rows;             ///< [S, capacity, row]; undefined for a view
  std::vector<Columns> views;  ///< per dataset, in the order of the fields; empty unless a view
  std::shared_ptr<BatchMemory> batch_memory = std::make_shared<BatchMemory>();
  mutable std::shared_mutex mutex;

  Impl(Layout l, int64_t c) : layout(std::move(l)), capacity(c) {}

  bool is_view() const { return !views.empty(); }
  int64_t datasets() const { return static_cast<int64_t>(sizes.size()); }
  at::Device device() const { return is_view() ? at::Device(at::kCPU) : rows.device(); }
  at::ScalarType storage() const { return is_view() ? at::kFloat : rows.scalar_type(); }
  Stored stored() const { return storage() == at::kFloat ? Stored::float32 : Stored::bfloat16; }
  int64_t row_bytes() const;

  /// \throws c10::ValueError a column of a view whose tensor lost its memory since
  void check_memory(std::string_view op) const;
  /// \throws c10::ValueError no such dataset
  void check_dataset(int64_t dataset) const;
  int64_t size(int64_t dataset) const { return sizes[static_cast<size_t>(dataset)]; }

  void extend(const std::vector<at::Tensor>& columns, int64_t dataset);
  Columns columns(int64_t dataset) const;

  void check_draw(std::string_view op, const SampleOptions& options) const;
  at::Tensor sample_indices(const SampleOptions& options) const;
  Columns sample(const SampleOptions& options) const;

 private:
  void pack(const std::vector<at::Tensor>& columns, int64_t from, int64_t dataset, int64_t to, int64_t count);
  void pack_cpu(const std::vector<at::Tensor>& columns, int64_t from, const at::Tensor& target);

  Source source(int64_t dataset, std::optional<int64_t> agents, int64_t member) const;
  Columns make_batch(const SampleOptions& options) const;
  void gather_cpu(const SampleOptions& options, const Columns& targets) const;
  void gather_cuda(const SampleOptions& options, const Columns& targets) const;
  void gather_any(const SampleOptions& options, const Columns& targets) const;
};

/// The kernels of this CPU.
inline const Kernels& kernels() {
  static const Kernels chosen = OMAR_FOR_CPU(kernels)();
  return chosen;
}

inline char* bytes_of(const at::Tensor& tensor) { return static_cast<char*>(tensor.data_ptr()); }
inline const char* const_bytes_of(const at::Tensor& tensor) {
  return static_cast<const char*>(tensor.const_data_ptr());
}

}  // namespace omar::replay
