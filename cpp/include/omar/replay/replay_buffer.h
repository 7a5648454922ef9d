#pragma once
/// Replay storage for offline learning: one packed row per transition, S independent datasets, minibatches for M
/// members.

#include <omar/core/host_device.h>

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <cstdint>
#include <memory>
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
  /// N: every field's first axis is N and member m receives only slice m % N.
  std::optional<int64_t> agents = std::nullopt;
};

/// Packed ring buffer of rows that come in and go out as float32. All datasets have the same capacity; each fills and
/// wraps on its own. Row i is the i-th that was written, until the ring wraps and the newest rows take the places of
/// the oldest. Safe from several threads: a minibatch holds the rows from before or from after an `extend`, never parts
/// of both (on CUDA as far as the threads use the same stream).
class OMAR_API ReplayBuffer {
 public:
  /// `storage` float32 or bfloat16: half the memory and traffic, numbers rounded to 8 bits of mantissa.
  /// \throws c10::ValueError capacity < 1, no field, a field twice or without a name, a size < 1, datasets outside
  /// [1, 2^20], no such device, more than there is memory for
  /// \throws c10::TypeError another storage
  ReplayBuffer(int64_t capacity, std::vector<Field> fields, at::Device device = at::kCPU, int64_t datasets = 1,
               at::ScalarType storage = at::kFloat);

  /// A buffer that samples straight from columns of the caller, such as memory maps: nothing is copied, nothing can be
  /// added. Columns of all S datasets are float32, contiguous, on the CPU. The buffer keeps their tensors, reads them
  /// and hands out copies alone: memory that may not be written is safe.
  /// \throws c10::ValueError no dataset, no field, different fields, lengths that differ, not contiguous, not on the
  /// CPU
  /// \throws c10::TypeError not float32
  static ReplayBuffer view(const std::vector<Columns>& datasets);

  ~ReplayBuffer();
  ReplayBuffer(ReplayBuffer&&) noexcept;
  ReplayBuffer& operator=(ReplayBuffer&&) noexcept;

  int64_t capacity() const;
  int64_t datasets() const;
  int64_t size(int64_t dataset = 0) const;  ///< valid rows
  const std::vector<Field>& fields() const;
  at::Device device() const;
  at::ScalarType storage() const;
  bool is_view() const;
  /// Bytes of a packed row: a multiple of 64 (a cache line), or a power of two below, so that no short row straddles a
  /// line; for a view the bytes of all its columns.
  int64_t row_bytes() const;

  /// Appends rows: every field once, [n, ...]; overwrites the oldest when full.
  /// \throws c10::ValueError missing, unknown or repeated field, wrong shape, n differs between fields, no such
  /// dataset, a view (NaN is data like any other)
  /// \throws c10::TypeError not float32
  void extend(const Columns& columns, int64_t dataset = 0);

  /// M x B rows without replacement within a member, [M, B, ...] for each field. O(B) each: a keyed permutation of
  /// [0, size) of which the first B values are taken, so a draw is a function of (seed, step, member) alone.
  /// \throws c10::ValueError B < 1, B > size, empty dataset, M not a multiple of S, step outside 0 .. 2^32 - 1,
  /// `agents` does not divide M or is not the first axis of every field, more than there is memory for
  Columns sample(const SampleOptions& options) const;

  /// The rows that `sample` takes, int64 [M, B] on the CPU.
  at::Tensor sample_indices(const SampleOptions& options) const;

  /// A copy of the rows in order of age, oldest first, [size, ...] for each field, on the buffer's device.
  Columns columns(int64_t dataset = 0) const;

  /// Writes all datasets to one file, atomically (a temporary beside it, fsync, then a rename).
  /// \throws std::system_error a file that cannot be written; c10::ValueError a view
  void save(const std::string& path) const;
  /// Reads what `save` wrote. \throws c10::ValueError a file that is not one, truncated or damaged;
  /// std::system_error one that cannot be read
  static ReplayBuffer load(const std::string& path, at::Device device = at::kCPU);

 private:
  struct Impl;
  explicit ReplayBuffer(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
};

}  // namespace omar::replay
