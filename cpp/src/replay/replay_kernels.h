#pragma once
/// CPU kernels of the replay buffer, one set per instruction level. Arguments are valid.

#include <omar/core/cpu_level.h>

#include <cstdint>

namespace omar::replay {

/// Rows of a minibatch: the first values of the permutation of [0, size) keyed by (seed, member, step).
struct Draw {
  std::int64_t size;
  std::uint64_t seed;
  std::uint32_t member;
  std::uint32_t step;
};

/// What the stored rows are made of; minibatches and columns are always float32.
enum class Stored { float32, bfloat16 };

/// Numbers of one field, in a table with a fixed distance between rows.
struct Segment {
  const char* source;         ///< row 0
  std::int64_t source_bytes;  ///< from row to row
  char* target;               ///< row 0
  std::int64_t target_bytes;  ///< from row to row
  std::int64_t count;         ///< numbers per row
};

/// Bytes of a row that a gather reads, to be fetched ahead.
struct Span {
  const char* source;
  std::int64_t source_bytes;  ///< from row to row
  std::int64_t bytes;
};

/// How far a gather may read past the numbers it needs.
enum class Slack { none, one_vector };
constexpr std::int64_t kSlackBytes = 64;

/// Rows that a gather fetches ahead: far enough for rows from memory, and few enough for the second-level cache.
constexpr std::int64_t kRowsAhead = 32;

struct Gather {
  const Segment* segments;  ///< dense targets: target_bytes = 4 * count
  std::int64_t segment_count;
  const Span* spans;  ///< cover what the segments read
  std::int64_t span_count;
  Stored stored;
  Slack slack;
};

struct Kernels {
  /// rows[i] = value first + i of the permutation, i in [0, n).
  void (*draw)(const Draw& draw, std::int64_t first, std::int64_t n, std::int64_t* rows);
  /// Float32 target row i of every segment = its stored source row rows[i], i in [0, n).
  void (*gather)(const Gather& gather, const std::int64_t* rows, std::int64_t n);
  /// Stored target row i of every segment = its float32 source row i, i in [0, n).
  void (*pack)(const Segment* segments, std::int64_t segment_count, Stored stored, std::int64_t n);
};

namespace base {
Kernels kernels();
}
namespace avx2 {
Kernels kernels();
}
namespace avx512 {
Kernels kernels();
}

/// The gather on a CUDA device.
namespace cuda {

constexpr int kMostFields = 16;    ///< of one launch
constexpr int kRowsPerBlock = 32;  ///< all of one member

/// Blocks of threads for `batch` rows of each member.
constexpr std::int64_t blocks_of(std::int64_t batch) { return (batch + kRowsPerBlock - 1) / kRowsPerBlock; }

/// Is this a grid that a GPU takes?
constexpr bool fits(std::int64_t members, std::int64_t batch) {
  constexpr std::int64_t kMostBlocks = (std::int64_t{1} << 31) - 1;
  return members <= kMostBlocks / blocks_of(batch);
}

struct TargetField {
  std::int64_t offset;  ///< first number in a stored row, for agent 0
  std::int64_t count;   ///< numbers per row of the minibatch
  float* target;        ///< [members, batch, count]
};

/// The minibatches of some members, all from one dataset.
struct MemberGather {
  const char* rows;  ///< stored row 0
  std::int64_t row_bytes;
  Stored stored;
  Draw draw;  ///< of the first member; the others have the numbers after its
  std::int64_t members;
  std::int64_t batch;
  std::int64_t agents;  ///< member m takes part m % agents of each field
  TargetField fields[kMostFields];
  int field_count;
};

/// Does this build have CUDA kernels?
bool built();
/// On `stream` (a cudaStream_t).
void gather(const MemberGather& gather, void* stream);

}  // namespace cuda

}  // namespace omar::replay
