
#include <omar/core/pack.h>

#include <cstring>

#include "core/prefetch.h"
#include "replay/permutation.h"
#include "replay/replay_kernels.h"
#include "replay/stored.h"

namespace omar::replay::OMAR_LEVEL {
namespace {

constexpr int kWidth = 8;
using Floats = Pack<float, kWidth>;

OMAR_INLINE Floats load(const float* p) { return Floats::load(p); }

OMAR_INLINE Floats load(const Bfloat16* p) {
  typedef std::uint16_t Halves __attribute__((vector_size(2 * kWidth)));
  typedef std::uint32_t Words __attribute__((vector_size(4 * kWidth)));
  Halves halves;
  std::memcpy(&halves, p, sizeof(halves));
  const Words words = __builtin_convertvector(halves, Words) << 16;
  Floats x;
  std::memcpy(&x.v, &words, sizeof(words));
  return x;
}

void draw(const Draw& draw, std::int64_t first, std::int64_t n, std::int64_t* rows) {
  const shuffle::Permutation p =
      shuffle::make_permutation(static_cast<std::uint64_t>(draw.size), draw.seed, draw.member, draw.step);
  constexpr std::int64_t kDrawn = 128;  // at a time
  std::uint32_t high[kDrawn], low[kDrawn];
  for (std::int64_t begin = 0; begin < n; begin += kDrawn) {
    // Whole blocks in vectors, also past n: those values are not used.
    for (std::int64_t i = 0; i < kDrawn; ++i) {
      const std::uint64_t x = static_cast<std::uint64_t>(first + begin + i);
      high[i] = static_cast<std::uint32_t>(x >> p.low_bits) & p.high_mask;
      low[i] = static_cast<std::uint32_t>(x) & p.low_mask;
    }
    for (int r = 0; r < p.rounds; r += 2) {
      for (std::int64_t i = 0; i < kDrawn; ++i) {
        high[i] ^= shuffle::mix(low[i] ^ p.keys[r]) & p.high_mask;
        low[i] ^= shuffle::mix(high[i] ^ p.keys[r + 1]) & p.low_mask;
      }
    }
    const std::int64_t count = n - begin < kDrawn ? n - begin : kDrawn;
    for (std::int64_t i = 0; i < count; ++i) {
      const std::uint64_t x = (static_cast<std::uint64_t>(high[i]) << p.low_bits) | low[i];
      rows[begin + i] = static_cast<std::int64_t>(x < p.size ? x : shuffle::permute(p, x));
    }
  }
}

OMAR_INLINE void fetch_row(const Gather& gather, std::int64_t row) {
  for (std::int64_t s = 0; s < gather.span_count; ++s) {
    const Span& span = gather.spans[s];
    prefetch(span.source + row * span.source_bytes, span.bytes);
  }
}

/// Exactly `count` numbers; the last vector may overlap the one before.
template <class T>
OMAR_INLINE void copy_exactly(const T* from, float* to, std::int64_t count) {
  if (count < kWidth) {
    for (std::int64_t i = 0; i < count; ++i) to[i] = widen(from[i]);
    return;
  }
  std::int64_t i = 0;
  for (; i + kWidth <= count; i += kWidth) load(from + i).store(to + i);
  if (i < count) load(from + count - kWidth).store(to + count - kWidth);
}

/// V whole vectors, of which the last may reach past the numbers wanted on both sides.
template <int V, class T>
OMAR_INLINE void copy_vectors(const T* from, float* to) {
  load(from).store(to);
  if constexpr (V > 1) copy_vectors<V - 1>(from + kWidth, to + kWidth);
}

template <int V, class T>
OMAR_INLINE void copy_pair(const T* from0, const T* from1, float* to, std::int64_t count) {
  copy_vectors<V>(from0, to);
  copy_vectors<V>(from1, to + count);
}

/// Two rows of one segment; the second row's first numbers overwrite what the first row's last vector spilled.
template <class T>
OMAR_INLINE void copy_two_rows(const T* from0, const T* from1, float* to, std::int64_t count) {
  switch ((count + kWidth - 1) / kWidth) {
    case 1: return copy_pair<1>(from0, from1, to, count);
    case 2: return copy_pair<2>(from0, from1, to, count);
    case 3: return copy_pair<3>(from0, from1, to, count);
    case 4: return copy_pair<4>(from0, from1, to, count);
    case 5: return copy_pair<5>(from0, from1, to, count);
    case 6: return copy_pair<6>(from0, from1, to, count);
    case 7: return copy_pair<7>(from0, from1, to, count);
    case 8: return copy_pair<8>(from0, from1, to, count);
    default: copy_exactly(from0, to, count); copy_exactly(from1, to + count, count);
  }
}

template <class T>
void gather_as(const Gather& gather, const std::int64_t* rows, std::int64_t n) {
  const auto source = [&](const Segment& segment, std::int64_t i) {
    return reinterpret_cast<const T*>(segment.source + rows[i] * segment.source_bytes);
  };
  const auto target = [&](const Segment& segment, std::int64_t i) {
    return reinterpret_cast<float*>(segment.target) + i * segment.count;
  };
  for (std::int64_t i = 0; i < kRowsAhead && i < n; ++i) fetch_row(gather, rows[i]);
  std::int64_t i = 0;
  // Rows written in whole vectors spill into at most kWidth - 1 later rows, so the last ones are written exactly.
  if (gather.slack == Slack::one_vector) {
    const auto copy_two = [&]() __attribute__((always_inline)) {
      for (std::int64_t s = 0; s < gather.segment_count; ++s) {
        const Segment& segment = gather.segments[s];
        copy_two_rows(source(segment, i), source(segment, i + 1), target(segment, i), segment.count);
      }
    };
    // Without a test for the last rows: with one, the loop took a third longer.
    for (; i + 2 + kRowsAhead <= n; i += 2) {
      fetch_row(gather, rows[i + kRowsAhead]);
      fetch_row(gather, rows[i + kRowsAhead + 1]);
      copy_two();
    }
    for (; i + kRowsAhead < n && i + 2 + kWidth <= n; i += 2) {
      fetch_row(gather, rows[i + kRowsAhead]);
      copy_two();
    }
    for (; i + 2 + kWidth <= n; i += 2) copy_two();
  }
  for (; i < n; ++i) {
    if (i + kRowsAhead < n) fetch_row(gather, rows[i + kRowsAhead]);
    for (std::int64_t s = 0; s < gather.segment_count; ++s) {
      const Segment& segment = gather.segments[s];
      copy_exactly(source(segment, i), target(segment, i), segment.count);
    }
  }
}

void gather(const Gather& gather, const std::int64_t* rows, std::int64_t n) {
  if (gather.stored == Stored::bfloat16) return gather_as<Bfloat16>(gather, rows, n);
  gather_as<float>(gather, rows, n);
}

template <class T>
void pack_as(const Segment* segments, std::int64_t segment_count, std::int64_t n) {
  constexpr std::int64_t kRows = 32;  // stay in cache while every segment fills its part
  for (std::int64_t begin = 0; begin < n; begin += kRows) {
    const std::int64_t end = begin + kRows < n ? begin + kRows : n;
    for (std::int64_t s = 0; s < segment_count; ++s) {
      const Segment& segment = segments[s];
      for (std::int64_t i = begin; i < end; ++i) {
        const auto* from = reinterpret_cast<const float*>(segment.source + i * segment.source_bytes);
        auto* to = reinterpret_cast<T*>(segment.target + i * segment.target_bytes);
        for (std::int64_t k = 0; k < segment.count; ++k) narrow(from[k], to[k]);
      }
    }
  }
}

void pack(const Segment* segments, std::int64_t segment_count, Stored stored, std::int64_t n) {
  if (stored == Stored::bfloat16) return pack_as<Bfloat16>(segments, segment_count, n);
  pack_as<float>(segments, segment_count, n);
}

}  // namespace

Kernels kernels() { return Kernels{&draw, &gather, &pack}; }

}  // namespace omar::replay::OMAR_LEVEL
