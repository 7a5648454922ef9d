#include "replay/layout.h"

#include <omar/core/check.h>

#include <algorithm>
#include <set>
#include <string>
#include <utility>

namespace omar::replay {
namespace {

std::string names_of(const std::vector<Field>& fields) {
  std::string names;
  for (const Field& field : fields) names += (names.empty() ? "" : ", ") + field.name;
  return names;
}

}  // namespace

std::vector<int64_t> with_leading(std::initializer_list<int64_t> leading, c10::IntArrayRef shape) {
  std::vector<int64_t> sizes(leading);
  sizes.insert(sizes.end(), shape.begin(), shape.end());
  return sizes;
}

Layout::Layout(std::vector<Field> fields) : fields_(std::move(fields)), offsets_{0} {
  TORCH_CHECK_VALUE(!fields_.empty(), "[replay] `fields` must name at least one field");
  std::set<std::string> seen;
  for (const Field& field : fields_) {
    TORCH_CHECK_VALUE(!field.name.empty(), "[replay] a field has no name");
    TORCH_CHECK_VALUE(seen.insert(field.name).second, "[replay] field `", field.name, "` is there twice");
    int64_t count = 1;
    for (const int64_t size : field.shape) {
      TORCH_CHECK_VALUE(size >= 1 && size <= (int64_t{1} << 31) / count, "[replay] field `", field.name,
                        "` must have sizes >= 1 and at most 2^31 numbers a row, got ", check::shape_text(field.shape));
      count *= size;
    }
    offsets_.push_back(offsets_.back() + count);
  }
}

int64_t Layout::padded_count(int64_t element_bytes) const {
  const int64_t line = 64 / element_bytes;
  if (row_count() >= line) return (row_count() + line - 1) / line * line;
  int64_t padded = 1;
  while (padded < row_count()) padded *= 2;
  return padded;
}

Slice Layout::slice(size_t field, std::optional<int64_t> agents, int64_t member) const {
  const std::vector<int64_t>& shape = fields_[field].shape;
  if (!agents) return {offset(field), count(field), shape};
  const int64_t part = count(field) / *agents;
  return {offset(field) + member % *agents * part, part, {shape.begin() + 1, shape.end()}};
}

std::vector<at::Tensor> Layout::in_order(std::string_view op, const Columns& columns) const {
  for (const auto& [name, tensor] : columns) {
    const auto is_name = [&name = name](const Field& field) { return field.name == name; };
    TORCH_CHECK_VALUE(std::any_of(fields_.begin(), fields_.end(), is_name), "[", op, "] unknown field `", name,
                      "`: the fields are ", names_of(fields_));
  }
  TORCH_CHECK_VALUE(columns.size() <= fields_.size(), "[", op, "] a field is there twice");
  std::vector<at::Tensor> result;
  int64_t n = -1;
  for (const Field& field : fields_) {
    const auto is_field = [&](const auto& column) { return column.first == field.name; };
    const auto found = std::find_if(columns.begin(), columns.end(), is_field);
    TORCH_CHECK_VALUE(found != columns.end(), "[", op, "] field `", field.name, "` is missing");
    const at::Tensor& column = found->second;
    TORCH_CHECK_TYPE(column.defined(), "[", op, "] `", field.name, "` must be a tensor, got an undefined one");
    check::dtype(op, field.name, column, at::kFloat);
    if (n < 0 && column.layout() == c10::kStrided && column.dim() > 0) n = column.size(0);
    check::shape(op, field.name, column, with_leading({n}, field.shape), "[n, ...]");
    TORCH_CHECK_VALUE(column.is_cpu() || column.is_cuda(), "[", op, "] `", field.name, "` must be on cpu or cuda, got ",
                      column.device());
    result.push_back(column.detach().resolve_neg());
  }
  return result;
}

}  // namespace omar::replay
