#pragma once
/// Where the numbers of a row lie.

#include <omar/replay/replay_buffer.h>

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace omar::replay {

/// A field (or one agent's part of it) in a row, and the shape it has outside.
struct Slice {
  int64_t offset;  ///< first number
  int64_t count;   ///< numbers
  std::vector<int64_t> shape;
};

/// The fields of a row, one after another.
class Layout {
 public:
  /// \throws c10::ValueError no field, one twice or without a name, a size below 1, more than 2^31 numbers in a field
  explicit Layout(std::vector<Field> fields);

  const std::vector<Field>& fields() const { return fields_; }
  size_t size() const { return fields_.size(); }
  const std::string& name(size_t field) const { return fields_[field].name; }
  int64_t offset(size_t field) const { return offsets_[field]; }
  int64_t count(size_t field) const { return offsets_[field + 1] - offsets_[field]; }
  int64_t row_count() const { return offsets_.back(); }
  /// Numbers of a stored row: short rows fill a power of two of bytes, longer ones whole cache lines.
  int64_t padded_count(int64_t element_bytes) const;

  /// The whole field; with `agents` the part of member `member`, without the agents' axis.
  Slice slice(size_t field, std::optional<int64_t> agents, int64_t member) const;

  /// Columns in the order of the fields: every field once and nothing else, dense, float32, all of one length.
  /// \throws c10::ValueError, c10::TypeError
  std::vector<at::Tensor> in_order(std::string_view op, const Columns& columns) const;

 private:
  std::vector<Field> fields_;
  std::vector<int64_t> offsets_;  ///< first number of each field, and one past the last
};

/// `leading` followed by `shape`.
std::vector<int64_t> with_leading(std::initializer_list<int64_t> leading, c10::IntArrayRef shape);

}  // namespace omar::replay
