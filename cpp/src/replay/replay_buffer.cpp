#include <omar/core/check.h>
#include <omar/replay/replay_buffer.h>

#include <ATen/Parallel.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/DeviceGuard.h>

#include <algorithm>
#include <limits>
#include <set>

#include "core/cuda_stream.h"
#include "core/dispatch.h"
#include "replay/replay_kernels.h"
#include "replay/storage.h"

namespace omar::replay {

/// Where a field (or one agent's part of it) lies in a row, and the shape it has outside.
struct ReplayBuffer::Slice {
  int64_t offset;
  int64_t count;
  std::vector<int64_t> shape;
};

/// What a gather reads for one member: a segment for each field, its target still open.
struct ReplayBuffer::Source {
  std::vector<Segment> segments;
  std::vector<Span> spans;
};

namespace {

constexpr int64_t kBlock = 512;  // rows of one task
constexpr int64_t kFloatBytes = sizeof(float);

const Kernels& kernels() {
  static const Kernels chosen = OMAR_FOR_CPU(kernels)();
  return chosen;
}

std::vector<int64_t> with_leading(std::initializer_list<int64_t> leading, c10::IntArrayRef shape) {
  std::vector<int64_t> sizes(leading);
  sizes.insert(sizes.end(), shape.begin(), shape.end());
  return sizes;
}

char* bytes_of(const at::Tensor& tensor) { return static_cast<char*>(tensor.data_ptr()); }

/// Numbers of a stored row: short rows fill a power of two of bytes, longer ones whole cache lines.
int64_t padded_count(int64_t count, int64_t element_bytes) {
  const int64_t line = 64 / element_bytes;
  if (count >= line) return (count + line - 1) / line * line;
  int64_t padded = 1;
  while (padded < count) padded *= 2;
  return padded;
}

std::string names_of(const std::vector<Field>& fields) {
  std::string names;
  for (const Field& field : fields) names += (names.empty() ? "" : ", ") + field.name;
  return names;
}

/// The columns of `fields` in their order: every field once and nothing else, float32, all of one length.
std::vector<at::Tensor> in_order(const char* op, const std::vector<Field>& fields, const Columns& columns) {
  for (const auto& [name, tensor] : columns) {
    const auto is_name = [&name = name](const Field& field) { return field.name == name; };
    TORCH_CHECK_VALUE(std::any_of(fields.begin(), fields.end(), is_name), "[", op, "] unknown field `", name,
                      "`: the fields are ", names_of(fields));
  }
  TORCH_CHECK_VALUE(columns.size() <= fields.size(), "[", op, "] a field is there twice");
  std::vector<at::Tensor> result;
  int64_t n = -1;
  for (const Field& field : fields) {
    const auto is_field = [&](const auto& column) { return column.first == field.name; };
    const auto found = std::find_if(columns.begin(), columns.end(), is_field);
    TORCH_CHECK_VALUE(found != columns.end(), "[", op, "] field `", field.name, "` is missing");
    const at::Tensor& column = found->second;
    TORCH_CHECK_TYPE(column.defined(), "[", op, "] `", field.name, "` must be a tensor, got an undefined one");
    check::dtype(op, field.name, column, at::kFloat);
    if (n < 0 && column.dim() > 0) n = column.size(0);
    check::shape(op, field.name, column, with_leading({n}, field.shape), "[n, ...]");
    result.push_back(column.detach());
  }
  return result;
}

Stored stored_as(at::ScalarType storage) { return storage == at::kFloat ? Stored::float32 : Stored::bfloat16; }

Draw draw_of(const SampleOptions& options, int64_t size, int64_t member) {
  return {size, options.seed, static_cast<std::uint32_t>(member), static_cast<std::uint32_t>(options.step)};
}

}  // namespace

void ReplayBuffer::lay_out() {
  TORCH_CHECK_VALUE(!fields_.empty(), "[replay] `fields` must name at least one field");
  std::set<std::string> seen;
  int64_t offset = 0;
  for (const Field& field : fields_) {
    TORCH_CHECK_VALUE(!field.name.empty(), "[replay] a field has no name");
    TORCH_CHECK_VALUE(seen.insert(field.name).second, "[replay] field `", field.name, "` is there twice");
    int64_t count = 1;
    for (const int64_t size : field.shape) {
      TORCH_CHECK_VALUE(size >= 1 && size <= (int64_t{1} << 31) / count, "[replay] field `", field.name,
                        "` must have sizes >= 1 and at most 2^31 numbers a row, got ", check::shape_text(field.shape));
      count *= size;
    }
    offsets_.push_back(offset);
    counts_.push_back(count);
    offset += count;
  }
}

ReplayBuffer::ReplayBuffer() : batch_memory_(std::make_shared<BatchMemory>()) {}

ReplayBuffer::ReplayBuffer(int64_t capacity, std::vector<Field> fields, at::Device device, int64_t datasets,
                           at::ScalarType storage)
    : capacity_(capacity), fields_(std::move(fields)), batch_memory_(std::make_shared<BatchMemory>()) {
  check::at_least("replay", "capacity", capacity, 1);
  check::at_least("replay", "datasets", datasets, 1);
  TORCH_CHECK_TYPE(storage == at::kFloat || storage == at::kBFloat16,
                   "[replay] `storage` must be float32 or bfloat16, got ", storage);
  lay_out();
  heads_.assign(static_cast<size_t>(datasets), 0);
  sizes_.assign(static_cast<size_t>(datasets), 0);
  const auto element_bytes = static_cast<int64_t>(c10::elementSize(storage));
  rows_ =
      allocate_rows(datasets, capacity, padded_count(offsets_.back() + counts_.back(), element_bytes), storage, device);
}

ReplayBuffer ReplayBuffer::view(std::vector<Columns> datasets) {
  constexpr const char* kOp = "replay::view";
  TORCH_CHECK_VALUE(!datasets.empty(), "[", kOp, "] needs the columns of at least one dataset");
  ReplayBuffer buffer;
  for (const auto& [name, column] : datasets.front()) {
    TORCH_CHECK_VALUE(column.defined() && column.dim() > 0, "[", kOp, "] `", name, "` must be [n, ...]");
    buffer.fields_.push_back({name, column.sizes().slice(1).vec()});
  }
  buffer.lay_out();
  for (const Columns& columns : datasets) {
    const std::vector<at::Tensor> ordered = in_order(kOp, buffer.fields_, columns);
    Columns named;
    for (size_t f = 0; f < ordered.size(); ++f) {
      check::device(kOp, buffer.fields_[f].name, ordered[f], at::kCPU);
      TORCH_CHECK_VALUE(ordered[f].is_contiguous(), "[", kOp, "] `", buffer.fields_[f].name,
                        "` must be contiguous, got strides ", check::shape_text(ordered[f].strides()));
      named.emplace_back(buffer.fields_[f].name, ordered[f]);
    }
    buffer.sizes_.push_back(ordered.front().size(0));
    buffer.heads_.push_back(0);
    buffer.views_.push_back(std::move(named));
  }
  buffer.capacity_ = *std::max_element(buffer.sizes_.begin(), buffer.sizes_.end());
  return buffer;
}

int64_t ReplayBuffer::capacity() const { return capacity_; }
int64_t ReplayBuffer::datasets() const { return static_cast<int64_t>(sizes_.size()); }
const std::vector<Field>& ReplayBuffer::fields() const { return fields_; }
bool ReplayBuffer::is_view() const { return !views_.empty(); }
at::Device ReplayBuffer::device() const { return is_view() ? at::Device(at::kCPU) : rows_.device(); }
at::ScalarType ReplayBuffer::storage() const { return is_view() ? at::kFloat : rows_.scalar_type(); }

int64_t ReplayBuffer::row_bytes() const {
  if (is_view()) return (offsets_.back() + counts_.back()) * kFloatBytes;
  return rows_.size(2) * static_cast<int64_t>(rows_.element_size());
}

int64_t ReplayBuffer::size(int64_t dataset) const {
  TORCH_CHECK_VALUE(dataset >= 0 && dataset < datasets(), "[replay] `dataset` must be in [0, ", datasets(), "), got ",
                    dataset);
  return sizes_[static_cast<size_t>(dataset)];
}

void ReplayBuffer::extend(const Columns& columns, int64_t dataset) {
  TORCH_CHECK_VALUE(!is_view(), "[replay::extend] this buffer is a view of its columns: nothing can be added");
  const int64_t size_before = size(dataset);
  const std::vector<at::Tensor> sources = in_order("replay::extend", fields_, columns);
  const int64_t n = sources.front().size(0);
  const int64_t kept = std::min(n, capacity_);
  int64_t& head = heads_[static_cast<size_t>(dataset)];
  const int64_t start = (head + n - kept) % capacity_;
  const int64_t before_wrap = std::min(kept, capacity_ - start);
  pack(sources, n - kept, dataset, start, before_wrap);
  pack(sources, n - kept + before_wrap, dataset, 0, kept - before_wrap);
  head = (head + n) % capacity_;
  sizes_[static_cast<size_t>(dataset)] = std::min(capacity_, size_before + n);
}

/// Rows [from, from + count) of the columns become stored rows [to, to + count).
void ReplayBuffer::pack(const std::vector<at::Tensor>& columns, int64_t from, int64_t dataset, int64_t to,
                        int64_t count) {
  if (count == 0) return;
  const at::Tensor rows = rows_.select(0, dataset).narrow(0, to, count);
  if (!device().is_cpu()) {
    for (size_t f = 0; f < columns.size(); ++f) {
      rows.narrow(1, offsets_[f], counts_[f]).copy_(columns[f].narrow(0, from, count).reshape({count, counts_[f]}));
    }
    return;
  }
  static constexpr float kZeros[32] = {};
  const auto element_bytes = static_cast<int64_t>(rows_.element_size());
  std::vector<Segment> segments;
  std::vector<at::Tensor> held;
  for (size_t f = 0; f < columns.size(); ++f) {
    held.push_back(columns[f].narrow(0, from, count).to(at::kCPU).contiguous());
    segments.push_back({bytes_of(held.back()), counts_[f] * kFloatBytes, bytes_of(rows) + offsets_[f] * element_bytes,
                        row_bytes(), counts_[f]});
  }
  const int64_t used = offsets_.back() + counts_.back();
  if (used < rows_.size(2)) {  // the padding too has a value: equal buffers make equal files
    segments.push_back({reinterpret_cast<const char*>(kZeros), 0, bytes_of(rows) + used * element_bytes, row_bytes(),
                        rows_.size(2) - used});
  }
  at::parallel_for(0, count, 4 * kBlock, [&](int64_t begin, int64_t end) {
    std::vector<Segment> part = segments;
    for (Segment& s : part) {
      s.source += begin * s.source_bytes;
      s.target += begin * s.target_bytes;
    }
    kernels().pack(part.data(), static_cast<int64_t>(part.size()), stored_as(storage()), end - begin);
  });
}

void ReplayBuffer::check_draw(const char* op, const SampleOptions& options) const {
  constexpr int64_t kWord = std::numeric_limits<std::uint32_t>::max();
  check::at_least(op, "batch_size", options.batch_size, 1);
  check::at_least(op, "members", options.members, 1);
  TORCH_CHECK_VALUE(options.members % datasets() == 0, "[", op, "] `members` must be a multiple of the ", datasets(),
                    " datasets, got ", options.members);
  TORCH_CHECK_VALUE(options.members <= kWord, "[", op, "] `members` must be below 2^32, got ", options.members);
  TORCH_CHECK_VALUE(options.step >= 0 && options.step <= kWord, "[", op, "] `step` must be in [0, 2^32), got ",
                    options.step);
  for (int64_t d = 0; d < datasets(); ++d) {
    TORCH_CHECK_VALUE(size(d) > 0, "[", op, "] dataset ", d, " is empty");
    TORCH_CHECK_VALUE(options.batch_size <= size(d), "[", op, "] `batch_size` must be at most the ", size(d),
                      " rows of dataset ", d, ", got ", options.batch_size);
  }
  if (!options.agents) return;
  check::at_least(op, "agents", *options.agents, 1);
  TORCH_CHECK_VALUE(options.members % *options.agents == 0, "[", op, "] `agents` must divide the ", options.members,
                    " members, got ", *options.agents);
  for (const Field& field : fields_) {
    TORCH_CHECK_VALUE(!field.shape.empty() && field.shape[0] == *options.agents, "[", op,
                      "] `agents` must be the first size of field `", field.name, "` ", check::shape_text(field.shape),
                      ", got ", *options.agents);
  }
}

ReplayBuffer::Slice ReplayBuffer::slice(size_t field, std::optional<int64_t> agents, int64_t member) const {
  const std::vector<int64_t>& shape = fields_[field].shape;
  if (!agents) return {offsets_[field], counts_[field], shape};
  const int64_t count = counts_[field] / *agents;
  return {offsets_[field] + member % *agents * count, count, {shape.begin() + 1, shape.end()}};
}

ReplayBuffer::Source ReplayBuffer::source(int64_t dataset, std::optional<int64_t> agents, int64_t member) const {
  Source source;
  for (size_t f = 0; f < fields_.size(); ++f) {
    const Slice part = slice(f, agents, member);
    const char* table = nullptr;
    int64_t stride = 0, element_bytes = kFloatBytes;
    if (is_view()) {
      table = bytes_of(views_[static_cast<size_t>(dataset)][f].second) + (part.offset - offsets_[f]) * kFloatBytes;
      stride = counts_[f] * kFloatBytes;
    } else {
      element_bytes = static_cast<int64_t>(rows_.element_size());
      table = bytes_of(rows_) + dataset * capacity_ * row_bytes() + part.offset * element_bytes;
      stride = row_bytes();
    }
    source.segments.push_back({table, stride, nullptr, part.count * kFloatBytes, part.count});
    source.spans.push_back({table, stride, part.count * element_bytes});
  }
  if (!is_view() && !agents) {
    source.spans = {{bytes_of(rows_) + dataset * capacity_ * row_bytes(), row_bytes(), row_bytes()}};
  }
  return source;
}

at::Tensor ReplayBuffer::sample_indices(const SampleOptions& options) const {
  check_draw("replay::sample", options);
  const int64_t batch = options.batch_size;
  const at::Tensor indices = at::empty({options.members, batch}, at::kLong);
  int64_t* const out = indices.mutable_data_ptr<int64_t>();
  const int64_t members_per_dataset = options.members / datasets();
  at::parallel_for(0, options.members, 1, [&](int64_t begin, int64_t end) {
    for (int64_t m = begin; m < end; ++m) {
      kernels().draw(draw_of(options, size(m / members_per_dataset), m), 0, batch, out + m * batch);
    }
  });
  return indices;
}

Columns ReplayBuffer::sample(const SampleOptions& options) const {
  check_draw("replay::sample", options);
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
Columns ReplayBuffer::make_batch(const SampleOptions& options) const {
  constexpr int64_t kLine = 64 / kFloatBytes;
  const int64_t rows = options.members * options.batch_size;
  const auto tensor_options = at::TensorOptions(at::kFloat).device(device());
  std::vector<Slice> slices;
  int64_t total = 0;
  for (size_t f = 0; f < fields_.size(); ++f) {
    slices.push_back(slice(f, options.agents, 0));
    total += (rows * slices.back().count + kLine - 1) / kLine * kLine;
  }
  std::shared_ptr<void> block;
  if (device().is_cpu()) block = batch_memory_->take(static_cast<size_t>(total * kFloatBytes));
  Columns batch;
  auto* next = static_cast<float*>(block.get());
  for (size_t f = 0; f < fields_.size(); ++f) {
    const std::vector<int64_t> sizes = with_leading({options.members, options.batch_size}, slices[f].shape);
    if (block == nullptr) {
      batch.emplace_back(fields_[f].name, at::empty(sizes, tensor_options));
      continue;
    }
    batch.emplace_back(fields_[f].name, at::from_blob(next, sizes, [block](void*) {}, tensor_options));
    next += (rows * slices[f].count + kLine - 1) / kLine * kLine;
  }
  return batch;
}

void ReplayBuffer::gather_cpu(const SampleOptions& options, const Columns& targets) const {
  const int64_t batch = options.batch_size;
  const int64_t blocks = (batch + kBlock - 1) / kBlock;
  const int64_t members_per_dataset = options.members / datasets();
  const Slack slack = is_view() ? Slack::none : Slack::one_vector;
  at::parallel_for(0, options.members * blocks, 1, [&](int64_t begin, int64_t end) {
    int64_t rows[kBlock];
    for (int64_t task = begin; task < end; ++task) {
      const int64_t m = task / blocks, first = task % blocks * kBlock;
      const int64_t n = std::min(kBlock, batch - first);
      const int64_t dataset = m / members_per_dataset;
      Source from = source(dataset, options.agents, m);
      for (size_t f = 0; f < targets.size(); ++f) {
        from.segments[f].target = bytes_of(targets[f].second) + (m * batch + first) * from.segments[f].target_bytes;
      }
      kernels().draw(draw_of(options, size(dataset), m), first, n, rows);
      kernels().gather({from.segments.data(), static_cast<int64_t>(from.segments.size()), from.spans.data(),
                        static_cast<int64_t>(from.spans.size()), stored_as(storage()), slack},
                       rows, n);
    }
  });
}

void ReplayBuffer::gather_cuda(const SampleOptions& options, const Columns& targets) const {
  const c10::DeviceGuard guard(device());
  const int64_t members = options.members / datasets();
  for (int64_t d = 0; d < datasets(); ++d) {
    cuda::MemberGather gather{};
    gather.rows = bytes_of(rows_) + d * capacity_ * row_bytes();
    gather.row_bytes = row_bytes();
    gather.stored = stored_as(storage());
    gather.draw = draw_of(options, size(d), d * members);
    gather.members = members;
    gather.batch = options.batch_size;
    gather.agents = options.agents.value_or(1);
    for (size_t f = 0; f < targets.size(); ++f) {
      const int64_t count = counts_[f] / gather.agents;
      float* const target = targets[f].second.data_ptr<float>() + d * members * options.batch_size * count;
      gather.fields[gather.field_count++] = {offsets_[f], count, target};
      if (gather.field_count < cuda::kMostFields && f + 1 < targets.size()) continue;
      cuda::gather(gather, current_cuda_stream(device()));
      gather.field_count = 0;
    }
  }
}

/// The same from LibTorch ops, for a CUDA device in a build without CUDA kernels.
void ReplayBuffer::gather_any(const SampleOptions& options, const Columns& targets) const {
  const at::Tensor indices = sample_indices(options).to(device());
  const int64_t members_per_dataset = options.members / datasets();
  for (int64_t m = 0; m < options.members; ++m) {
    const at::Tensor rows = rows_.select(0, m / members_per_dataset).index_select(0, indices.select(0, m));
    for (size_t f = 0; f < targets.size(); ++f) {
      const Slice part = slice(f, options.agents, m);
      const at::Tensor target = targets[f].second.select(0, m);
      target.copy_(rows.narrow(1, part.offset, part.count).reshape(target.sizes()));
    }
  }
}

Columns ReplayBuffer::columns(int64_t dataset) const {
  const int64_t n = size(dataset);
  if (is_view()) return views_[static_cast<size_t>(dataset)];
  const int64_t oldest = n < capacity_ ? 0 : heads_[static_cast<size_t>(dataset)];
  const at::Tensor rows = rows_.select(0, dataset);
  Columns result;
  for (size_t f = 0; f < fields_.size(); ++f) {
    const at::Tensor column = rows.narrow(1, offsets_[f], counts_[f]);
    const at::Tensor ordered = at::cat({column.narrow(0, oldest, n - oldest), column.narrow(0, 0, oldest)}, 0);
    result.emplace_back(fields_[f].name, ordered.reshape(with_leading({n}, fields_[f].shape)).to(at::kFloat));
  }
  return result;
}

}  // namespace omar::replay
