#include "replay/permutation.h"
#include "replay/replay_kernels.h"

#include <omar/core/pack.h>

namespace omar::replay::OMAR_LEVEL {
namespace {

#if defined(__AVX512F__)
constexpr int kWidth = 16;
#elif defined(__AVX2__)
constexpr int kWidth = 8;
#else
constexpr int kWidth = 4;
#endif
using Floats = Pack<float, kWidth>;

void draw(const Draw& draw, std::int64_t first, std::int64_t n, std::int64_t* rows) {
  const shuffle::Permutation p =
      shuffle::make_permutation(static_cast<std::uint64_t>(draw.size), draw.seed, draw.member, draw.step);
  constexpr std::int64_t kBlock = 128;
  std::uint32_t high[kBlock], low[kBlock];
  for (std::int64_t begin = 0; begin < n; begin += kBlock) {
    // Whole blocks in vectors, also past n: those values are not used.
    for (std::int64_t i = 0; i < kBlock; ++i) {
      const std::uint64_t x = static_cast<std::uint64_t>(first + begin + i);
      high[i] = static_cast<std::uint32_t>(x >> p.low_bits) & p.high_mask;
      low[i] = static_cast<std::uint32_t>(x) & p.low_mask;
    }
    for (int r = 0; r < p.rounds; r += 2) {
      for (std::int64_t i = 0; i < kBlock; ++i) {
        high[i] ^= shuffle::mix(low[i] ^ p.keys[r]) & p.high_mask;
        low[i] ^= shuffle::mix(high[i] ^ p.keys[r + 1]) & p.low_mask;
      }
    }
    const std::int64_t count = n - begin < kBlock ? n - begin : kBlock;
    for (std::int64_t i = 0; i < count; ++i) {
      const std::uint64_t x = (static_cast<std::uint64_t>(high[i]) << p.low_bits) | low[i];
      rows[begin + i] = static_cast<std::int64_t>(x < p.size ? x : shuffle::permute(p, x));
    }
  }
}

/// `floats` floats, in vectors of which the last may overlap the one before.
OMAR_INLINE void copy_floats(const char* source, char* target, std::int64_t floats) {
  const float* from = reinterpret_cast<const float*>(source);
  float* to = reinterpret_cast<float*>(target);
  if (floats >= kWidth) {
    std::int64_t i = 0;
    for (; i + kWidth <= floats; i += kWidth) Floats::load(from + i).store(to + i);
    if (i < floats) Floats::load(from + floats - kWidth).store(to + floats - kWidth);
  } else if (floats >= 4) {
    using Four = Pack<float, 4>;
    std::int64_t i = 0;
    for (; i + 4 <= floats; i += 4) Four::load(from + i).store(to + i);
    if (i < floats) Four::load(from + floats - 4).store(to + floats - 4);
  } else {
    for (std::int64_t i = 0; i < floats; ++i) to[i] = from[i];
  }
}

OMAR_INLINE void fetch(const Span& span, std::int64_t row) {
  constexpr std::uintptr_t kLine = 64;
  const auto first = reinterpret_cast<std::uintptr_t>(span.source + row * span.source_bytes);
  const std::uintptr_t end = first + static_cast<std::uintptr_t>(span.bytes);
  for (std::uintptr_t line = first & ~(kLine - 1); line < end; line += kLine) {
    __builtin_prefetch(reinterpret_cast<const void*>(line));
  }
}

void gather(const Segment* segments, std::int64_t segment_count, const Span* spans, std::int64_t span_count,
            const std::int64_t* rows, std::int64_t n) {
  // A few rows at a time stay in L1 while every segment takes its part of them.
  constexpr std::int64_t kRows = 16;
  const auto fetch_rows = [&](std::int64_t begin) {
    const std::int64_t end = begin + kRows < n ? begin + kRows : n;
    for (std::int64_t i = begin; i < end; ++i) {
      for (std::int64_t s = 0; s < span_count; ++s) fetch(spans[s], rows[i]);
    }
  };
  fetch_rows(0);
  for (std::int64_t begin = 0; begin < n; begin += kRows) {
    fetch_rows(begin + kRows);
    const std::int64_t end = begin + kRows < n ? begin + kRows : n;
    for (std::int64_t s = 0; s < segment_count; ++s) {
      const Segment& segment = segments[s];
      for (std::int64_t i = begin; i < end; ++i) {
        copy_floats(segment.source + rows[i] * segment.source_bytes, segment.target + i * segment.target_bytes,
                    segment.floats);
      }
    }
  }
}

void copy(const Segment* segments, std::int64_t segment_count, std::int64_t n) {
  constexpr std::int64_t kRows = 32;
  for (std::int64_t begin = 0; begin < n; begin += kRows) {
    const std::int64_t end = begin + kRows < n ? begin + kRows : n;
    for (std::int64_t s = 0; s < segment_count; ++s) {
      const Segment& segment = segments[s];
      for (std::int64_t i = begin; i < end; ++i) {
        copy_floats(segment.source + i * segment.source_bytes, segment.target + i * segment.target_bytes,
                    segment.floats);
      }
    }
  }
}

}  // namespace

Kernels kernels() { return Kernels{&draw, &gather, &copy}; }

}  // namespace omar::replay::OMAR_LEVEL
