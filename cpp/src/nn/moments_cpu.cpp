#include <omar/core/host_device.h>

#include "nn/moments_kernels.h"

namespace omar::nn::OMAR_LEVEL {
namespace {

/// Whole rows, at least 64 numbers of them: the vector units take neighbours together.
constexpr std::int64_t line_size(std::int64_t columns) { return columns * ((63 + columns) / columns); }

/// totals[c] = sum of term(x, c) over column c; `terms` [line] is scratch. `at` [line] is what a term knows of a
/// column.
template <class T, class Term>
void sum_columns(const ColumnRows<T>& rows, const double* at, const Term& term, double* terms, double* totals) {
  const std::int64_t columns = rows.columns, line = line_size(columns), size = rows.rows * columns;
  for (std::int64_t j = 0; j < line; ++j) terms[j] = 0.0;
  const T* x = rows.x;
  std::int64_t left = size;
  for (; left >= line; left -= line, x += line) {
    for (std::int64_t j = 0; j < line; ++j) terms[j] += term(static_cast<double>(x[j]), at[j]);
  }
  for (std::int64_t j = 0; j < left; ++j) terms[j] += term(static_cast<double>(x[j]), at[j]);
  for (std::int64_t c = 0; c < columns; ++c) {
    totals[c] = 0.0;
    for (std::int64_t j = c; j < line; j += columns) totals[c] += terms[j];
  }
}

template <class T>
void moments(const ColumnRows<T>& rows, double* memory, T* mean, T* variance) {
  const std::int64_t columns = rows.columns, line = line_size(columns);
  const double count = static_cast<double>(rows.rows);
  double *const terms = memory, *const center = memory + line, *const totals = memory + 2 * line;
  for (std::int64_t j = 0; j < line; ++j) center[j] = 0.0;
  sum_columns(rows, center, [](double x, double) { return x; }, terms, totals);
  for (std::int64_t j = 0; j < line; ++j) center[j] = totals[j % columns] / count;
  sum_columns(rows, center, [](double x, double c) { return (x - c) * (x - c); }, terms, totals);
  for (std::int64_t c = 0; c < columns; ++c) {
    mean[c] = static_cast<T>(center[c]);
    variance[c] = static_cast<T>(totals[c] / count);
  }
}

}  // namespace

MomentsKernels moments_kernels() {
  return {[](std::int64_t columns) { return 3 * line_size(columns); }, &moments<float>, &moments<double>};
}

}  // namespace omar::nn::OMAR_LEVEL
