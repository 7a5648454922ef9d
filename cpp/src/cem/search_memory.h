#pragma once
/// Memory of the fused search. States are the fastest index of all arrays: the vector units take neighbours together.

#include <cstdint>

#include "cem/search_kernels.h"
#include "nn/critic_layout.h"

namespace omar::cem::OMAR_LEVEL {

using nn::OMAR_LEVEL::round_up;

inline constexpr std::int64_t kStride = round_up(kSearchStates, 16);  ///< from number to number of a state

/// Hands out parts of a block of memory, on cache lines.
template <class T>
struct Parts {
  T* const start;
  std::int64_t used = 0;

  T* take(std::int64_t numbers) {
    T* const at = start + used;
    used += round_up(numbers, 64 / static_cast<std::int64_t>(sizeof(T)));
    return at;
  }
};

/// Arrays of a range of states that stand between rounds: the distribution [A], candidates [K, A], and the elites
/// carried from round to round, in falling order.
template <class T>
struct Kept {
  T *mu, *sigma, *actions;
  T *elites, *elite_q;    ///< [S, E, A], [S, E]
  std::int64_t* carried;  ///< elites with a finite score
  std::int64_t size;

  Kept(std::int64_t samples, std::int64_t actions_size, std::int64_t elite_count, T* memory) {
    Parts<T> parts{memory};
    mu = parts.take(actions_size * kStride);
    sigma = parts.take(actions_size * kStride);
    actions = parts.take(samples * actions_size * kStride);
    elites = parts.take(kStride * elite_count * actions_size);
    elite_q = parts.take(kStride * elite_count);
    constexpr std::int64_t numbers = sizeof(std::int64_t) / sizeof(T);
    carried = reinterpret_cast<std::int64_t*>(parts.take(elite_count > 0 ? kStride * numbers : 0));
    size = parts.used;
  }
};

/// Arrays of a range of states within a round: normals [K, A], scores and weights [K], one state's elites.
template <class T>
struct Memory {
  float* z;
  T *q, *weights;
  T *fresh, *fresh_q;  ///< [K, A], [K]
  std::int64_t size;

  Memory(std::int64_t samples, std::int64_t actions_size, T* memory) {
    Parts<T> parts{memory};
    z = reinterpret_cast<float*>(parts.take(samples * actions_size * kStride));
    q = parts.take(samples * kStride);
    weights = parts.take(samples * kStride);
    fresh = parts.take(samples * actions_size);
    fresh_q = parts.take(samples);
    size = parts.used;
  }
};

/// A number for each state.
template <class T>
using PerState = T[kStride];

}  // namespace omar::cem::OMAR_LEVEL
