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

/// Floats of one field, in a table with a fixed distance between rows.
struct Segment {
  const char* source;         ///< row 0
  std::int64_t source_bytes;  ///< from row to row
  char* target;               ///< row 0
  std::int64_t target_bytes;  ///< from row to row
  std::int64_t floats;        ///< per row
};

/// Bytes of a row that a gather reads, to be fetched ahead.
struct Span {
  const char* source;
  std::int64_t source_bytes;  ///< from row to row
  std::int64_t bytes;
};

struct Kernels {
  /// rows[i] = value first + i of the permutation, i in [0, n).
  void (*draw)(const Draw& draw, std::int64_t first, std::int64_t n, std::int64_t* rows);
  /// Target row i of every segment = its source row rows[i], i in [0, n). `spans` cover what the segments read.
  void (*gather)(const Segment* segments, std::int64_t segment_count, const Span* spans, std::int64_t span_count,
                 const std::int64_t* rows, std::int64_t n);
  /// Target row i of every segment = its source row i, i in [0, n).
  void (*copy)(const Segment* segments, std::int64_t segment_count, std::int64_t n);
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

}  // namespace omar::replay
