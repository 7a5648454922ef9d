#include <omar/core/check.h>
#include <omar/replay/replay_buffer.h>

#include <ATen/Parallel.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <limits>
#include <set>

#include "replay/replay_kernels.h"
#include "replay/storage.h"

namespace omar::replay {

/// Where the floats of a field (or of one agent's part of it) lie in a row, and the shape they have outside.
struct ReplayBuffer::Slice {
  int64_t offset;
  int64_t floats;
  std::vector<int64_t> shape;
};

namespace {

constexpr int64_t kBlock = 256;  // rows of one task

const Kernels& kernels() {
  static const Kernels chosen = [] {
#if defined(__x86_64__)
    if (cpu_level() >= CpuLevel::avx512) return avx512::kernels();
    if (cpu_level() >= CpuLevel::avx2) return avx2::kernels();
#endif
    return base::kernels();
  }();
  return chosen;
}

std::vector<int64_t> with_leading(std::initializer_list<int64_t> leading, const std::vector<int64_t>& shape) {
  std::vector<int64_t> sizes(leading);
  sizes.insert(sizes.end(), shape.begin(), shape.end());
  return sizes;
}

char* bytes_of(const at::Tensor& tensor) { return static_cast<char*>(tensor.data_ptr()); }

/// Floats of a stored row: short ones fill a power of two, longer ones whole cache lines.
int64_t padded_floats(int64_t floats) {
  if (floats >= 16) return (floats + 15) / 16 * 16;
  int64_t padded = 1;
  while (padded < floats) padded *= 2;
  return padded;
}

std::string names_of(const std::vector<Field>& fields) {
  std::string names;
  for (const Field& field : fields) names += (names.empty() ? "" : ", ") + field.name;
  return names;
}

/// The column of `field`; `columns` must hold every field once and nothing else.
const at::Tensor& find_column(const Columns& columns, const Field& field) {
  const auto is_field = [&](const auto& column) { return column.first == field.name; };
  const auto found = std::find_if(columns.begin(), columns.end(), is_field);
  TORCH_CHECK_VALUE(found != columns.end(), "[replay::extend] field `", field.name, "` is missing");
  return found->second;
}

}  // namespace

ReplayBuffer::ReplayBuffer(int64_t capacity, std::vector<Field> fields, at::Device device, int64_t datasets)
    : capacity_(capacity), fields_(std::move(fields)) {
  check::at_least("replay", "capacity", capacity, 1);
  check::at_least("replay", "datasets", datasets, 1);
  TORCH_CHECK_VALUE(!fields_.empty(), "[replay] `fields` must name at least one field");
  std::set<std::string> seen;
  int64_t floats = 0;
  for (const Field& field : fields_) {
    TORCH_CHECK_VALUE(!field.name.empty(), "[replay] a field has no name");
    TORCH_CHECK_VALUE(seen.insert(field.name).second, "[replay] field `", field.name, "` is there twice");
    int64_t count = 1;
    for (const int64_t size : field.shape) {
      TORCH_CHECK_VALUE(size >= 1 && size <= (int64_t{1} << 31) / count, "[replay] field `", field.name,
                        "` must have sizes >= 1 and at most 2^31 floats a row, got ", check::shape_text(field.shape));
      count *= size;
    }
    offsets_.push_back(floats);
    counts_.push_back(count);
    floats += count;
  }
  heads_.assign(static_cast<size_t>(datasets), 0);
  sizes_.assign(static_cast<size_t>(datasets), 0);
  rows_ = allocate_rows(datasets, capacity, padded_floats(floats), device);
}

int64_t ReplayBuffer::capacity() const { return capacity_; }
int64_t ReplayBuffer::datasets() const { return static_cast<int64_t>(sizes_.size()); }
const std::vector<Field>& ReplayBuffer::fields() const { return fields_; }
at::Device ReplayBuffer::device() const { return rows_.device(); }
int64_t ReplayBuffer::row_bytes() const { return rows_.size(2) * static_cast<int64_t>(sizeof(float)); }

int64_t ReplayBuffer::size(int64_t dataset) const {
  TORCH_CHECK_VALUE(dataset >= 0 && dataset < datasets(), "[replay] `dataset` must be in [0, ", datasets(), "), got ",
                    dataset);
  return sizes_[static_cast<size_t>(dataset)];
}

void ReplayBuffer::extend(const Columns& columns, int64_t dataset) {
  size(dataset);
  for (const auto& [name, tensor] : columns) {
    const auto is_name = [&name = name](const Field& field) { return field.name == name; };
    TORCH_CHECK_VALUE(std::any_of(fields_.begin(), fields_.end(), is_name), "[replay::extend] unknown field `", name,
                      "`: the fields are ", names_of(fields_));
  }
  TORCH_CHECK_VALUE(columns.size() <= fields_.size(), "[replay::extend] a field is there twice");
  std::vector<at::Tensor> sources;
  int64_t n = -1;
  for (const Field& field : fields_) {
    const at::Tensor& column = find_column(columns, field);
    TORCH_CHECK_TYPE(column.defined(), "[replay::extend] `", field.name, "` must be a tensor, got an undefined one");
    check::dtype("replay::extend", field.name, column, at::kFloat);
    if (n < 0 && column.dim() > 0) n = column.size(0);
    check::shape("replay::extend", field.name, column, with_leading({n}, field.shape), "[n, ...]");
    sources.push_back(column.detach());
  }
  const int64_t kept = std::min(n, capacity_);
  int64_t& head = heads_[static_cast<size_t>(dataset)];
  const int64_t start = (head + n - kept) % capacity_;
  const at::Tensor rows = rows_.select(0, dataset);
  const int64_t before_wrap = std::min(kept, capacity_ - start);
  // [first source row, first stored row, rows], at most two runs
  const int64_t runs[2][3] = {{n - kept, start, before_wrap}, {n - kept + before_wrap, 0, kept - before_wrap}};
  for (const auto& [from, to, count] : runs) {
    if (count == 0) continue;
    if (!device().is_cpu()) {
      for (size_t f = 0; f < sources.size(); ++f) {
        rows.narrow(0, to, count)
            .narrow(1, offsets_[f], counts_[f])
            .copy_(sources[f].narrow(0, from, count).reshape({count, counts_[f]}));
      }
      continue;
    }
    static constexpr float kZeros[16] = {};
    const int64_t used = offsets_.back() + counts_.back();
    std::vector<Segment> segments;
    std::vector<at::Tensor> held;
    for (size_t f = 0; f < sources.size(); ++f) {
      held.push_back(sources[f].to(at::kCPU).contiguous());
      const int64_t bytes = counts_[f] * static_cast<int64_t>(sizeof(float));
      segments.push_back({bytes_of(held.back()) + from * bytes, bytes,
                          bytes_of(rows) + to * row_bytes() + offsets_[f] * static_cast<int64_t>(sizeof(float)),
                          row_bytes(), counts_[f]});
    }
    if (used < rows_.size(2)) {  // the padding too has a value: equal buffers make equal files
      segments.push_back({reinterpret_cast<const char*>(kZeros), 0,
                          bytes_of(rows) + to * row_bytes() + used * static_cast<int64_t>(sizeof(float)), row_bytes(),
                          rows_.size(2) - used});
    }
    at::parallel_for(0, count, 4 * kBlock, [&](int64_t begin, int64_t end) {
      std::vector<Segment> part = segments;
      for (Segment& s : part) {
        s.source += begin * s.source_bytes;
        s.target += begin * s.target_bytes;
      }
      kernels().copy(part.data(), static_cast<int64_t>(part.size()), end - begin);
    });
  }
  head = (head + n) % capacity_;
  int64_t& size = sizes_[static_cast<size_t>(dataset)];
  size = std::min(capacity_, size + n);
}

void ReplayBuffer::check_draw(const char* op, const SampleOptions& options) const {
  check::at_least(op, "batch_size", options.batch_size, 1);
  check::at_least(op, "members", options.members, 1);
  TORCH_CHECK_VALUE(options.members % datasets() == 0, "[", op, "] `members` must be a multiple of the ", datasets(),
                    " datasets, got ", options.members);
  TORCH_CHECK_VALUE(options.members <= std::numeric_limits<std::uint32_t>::max(), "[", op,
                    "] `members` must be below 2^32, got ", options.members);
  TORCH_CHECK_VALUE(options.step >= 0 && options.step <= std::numeric_limits<std::uint32_t>::max(), "[", op,
                    "] `step` must be in [0, 2^32), got ", options.step);
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

std::vector<ReplayBuffer::Slice> ReplayBuffer::slices(std::optional<int64_t> agents, int64_t member) const {
  std::vector<Slice> result;
  for (size_t f = 0; f < fields_.size(); ++f) {
    if (!agents) {
      result.push_back({offsets_[f], counts_[f], fields_[f].shape});
      continue;
    }
    const int64_t floats = counts_[f] / *agents;
    result.push_back(
        {offsets_[f] + member % *agents * floats, floats, {fields_[f].shape.begin() + 1, fields_[f].shape.end()}});
  }
  return result;
}

at::Tensor ReplayBuffer::sample_indices(const SampleOptions& options) const {
  check_draw("replay::sample", options);
  const int64_t batch = options.batch_size;
  const at::Tensor indices = at::empty({options.members, batch}, at::kLong);
  int64_t* const out = indices.mutable_data_ptr<int64_t>();
  const int64_t members_per_dataset = options.members / datasets();
  at::parallel_for(0, options.members, 1, [&](int64_t begin, int64_t end) {
    for (int64_t m = begin; m < end; ++m) {
      const Draw draw{size(m / members_per_dataset), options.seed, static_cast<std::uint32_t>(m),
                      static_cast<std::uint32_t>(options.step)};
      kernels().draw(draw, 0, batch, out + m * batch);
    }
  });
  return indices;
}

Columns ReplayBuffer::sample(const SampleOptions& options) const {
  check_draw("replay::sample", options);
  const int64_t members = options.members, batch = options.batch_size;
  const int64_t members_per_dataset = members / datasets();
  Columns result;
  for (size_t f = 0; f < fields_.size(); ++f) {
    result.emplace_back(fields_[f].name,
                        at::empty(with_leading({members, batch}, slices(options.agents, 0)[f].shape), rows_.options()));
  }
  if (!device().is_cpu()) {
    const at::Tensor indices = sample_indices(options).to(device());
    for (int64_t m = 0; m < members; ++m) {
      const at::Tensor rows = rows_.select(0, m / members_per_dataset).index_select(0, indices.select(0, m));
      const std::vector<Slice> parts = slices(options.agents, m);
      for (size_t f = 0; f < parts.size(); ++f) {
        const at::Tensor target = result[f].second.select(0, m);
        target.copy_(rows.narrow(1, parts[f].offset, parts[f].floats).reshape(target.sizes()));
      }
    }
    return result;
  }
  const int64_t blocks = (batch + kBlock - 1) / kBlock;
  at::parallel_for(0, members * blocks, 1, [&](int64_t begin, int64_t end) {
    int64_t rows[kBlock];
    std::vector<Segment> segments;
    std::vector<Span> spans;
    for (int64_t task = begin; task < end; ++task) {
      const int64_t m = task / blocks, first = task % blocks * kBlock;
      const int64_t n = std::min(kBlock, batch - first);
      const int64_t dataset = m / members_per_dataset;
      const char* const table = bytes_of(rows_) + dataset * capacity_ * row_bytes();
      const std::vector<Slice> parts = slices(options.agents, m);
      segments.clear();
      spans.clear();
      for (size_t f = 0; f < parts.size(); ++f) {
        const int64_t bytes = parts[f].floats * static_cast<int64_t>(sizeof(float));
        const char* const source = table + parts[f].offset * static_cast<int64_t>(sizeof(float));
        segments.push_back(
            {source, row_bytes(), bytes_of(result[f].second) + (m * batch + first) * bytes, bytes, parts[f].floats});
        if (options.agents) spans.push_back({source, row_bytes(), bytes});
      }
      if (!options.agents) spans.push_back({table, row_bytes(), row_bytes()});
      const Draw draw{size(dataset), options.seed, static_cast<std::uint32_t>(m),
                      static_cast<std::uint32_t>(options.step)};
      kernels().draw(draw, first, n, rows);
      kernels().gather(segments.data(), static_cast<int64_t>(segments.size()), spans.data(),
                       static_cast<int64_t>(spans.size()), rows, n);
    }
  });
  return result;
}

Columns ReplayBuffer::columns(int64_t dataset) const {
  const int64_t n = size(dataset);
  const int64_t oldest = n < capacity_ ? 0 : heads_[static_cast<size_t>(dataset)];
  const at::Tensor rows = rows_.select(0, dataset);
  Columns result;
  for (size_t f = 0; f < fields_.size(); ++f) {
    const at::Tensor column = rows.narrow(1, offsets_[f], counts_[f]);
    const at::Tensor ordered = at::cat({column.narrow(0, oldest, n - oldest), column.narrow(0, 0, oldest)}, 0);
    result.emplace_back(fields_[f].name, ordered.reshape(with_leading({n}, fields_[f].shape)));
  }
  return result;
}

}  // namespace omar::replay
