#pragma once
/// Replay storage for offline learning: one packed row per transition, S independent datasets, minibatches for M
/// members.

#include <omar/core/host_device.h>

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace omar::replay {

/// A column of a transition: its name and its shape per row (without the leading row axis).
struct Field {
  std::string name;
  std::vector<int64_t> shape;
};

/// Columns by name, in the order of the buffer's fields.
using Columns = std::vector<std::pair<std::string, at::Tensor>>;

struct SampleOptions {
  int64_t batch_size = 0;  ///< B rows for each member
  int64_t members = 1;     ///< M, a multiple of the number of datasets S; member m draws from dataset m / (M / S)
  std::uint64_t seed = 0;  ///< key of the draw
  std::int64_t step = 0;   ///< counter of the draw: the update's number
  std::optional<int64_t> agents;  ///< N: every field's first axis is N and member m receives only slice m % N
};

/// Packed ring buffer of float32 rows. All datasets have the same capacity; each fills and wraps on its own.
class OMAR_API ReplayBuffer {
 public:
  /// \throws c10::ValueError capacity < 1, no field, a field twice, a negative size, datasets < 1
  ReplayBuffer(int64_t capacity, std::vector<Field> fields, at::Device device = at::kCPU, int64_t datasets = 1);

  int64_t capacity() const;
  int64_t datasets() const;
  int64_t size(int64_t dataset = 0) const;  ///< valid rows
  const std::vector<Field>& fields() const;
  at::Device device() const;
  int64_t row_bytes()
      const;  ///< bytes of a packed row, padded to a multiple of 64 (a cache line) or less than one line

  /// Appends rows: every field once, [n, ...]; overwrites the oldest when full.
  /// \throws c10::ValueError missing or unknown field, wrong shape, n differs between fields, NaN is allowed
  /// \throws c10::TypeError not float32
  void extend(const Columns& columns, int64_t dataset = 0);

  /// M x B rows without replacement within a member, [M, B, ...] for each field. O(B) each: a keyed permutation of
  /// [0, size) of which the first B values are taken, so a draw is a function of (seed, step, member) alone.
  /// \throws c10::ValueError B < 1, B > size, empty dataset, M not a multiple of S
  Columns sample(const SampleOptions& options) const;

  /// The rows that `sample` takes, int64 [M, B].
  at::Tensor sample_indices(const SampleOptions& options) const;

  /// Rows in order of age, oldest first, [size, ...] for each field.
  Columns columns(int64_t dataset = 0) const;

  /// Writes all datasets to one file, atomically (a temporary beside it, then a rename). \throws std::runtime_error
  void save(const std::string& path) const;
  /// Reads what `save` wrote. \throws c10::ValueError a file that is not one, truncated or damaged
  static ReplayBuffer load(const std::string& path, at::Device device = at::kCPU);

 private:
  int64_t capacity_;
  std::vector<Field> fields_;
  std::vector<int64_t> offsets_;  // first float of each field in a row
  std::vector<int64_t> heads_;    // next row to write, per dataset
  std::vector<int64_t> sizes_;
  at::Tensor rows_;  // [S, capacity, row floats]
};

}  // namespace omar::replay
