#pragma once
/// The fused search: all rounds of a block of states without leaving cache; and its refit alone. Compiled per
/// instruction level; arguments are valid and contiguous.

#include <omar/cem/options.h>

#include <cstdint>

#include "cem/refit_kernels.h"
#include "core/draws_kernels.h"
#include "nn/critic_kernels.h"

namespace omar::cem {

/// Most states that a call searches together. A state's result does not depend on the states around it.
constexpr std::int64_t kSearchStates = 120;

/// States [first, first + count) of one member, count <= kSearchStates.
template <class T>
struct SearchStates {
  const T* obs;     ///< [count, O]
  const T* policy;  ///< [count, A]
  T* actions;       ///< out [count, A]
  T* values;        ///< out [count]
  std::int64_t count;
};

template <class T>
struct SearchPass {
  nn::CriticPass<T> critic;    ///< of the member's first critic; samples = K; scratch: memory_size, 64-byte aligned
  T* kept;                     ///< kept_size, 64-byte aligned: what stands between two steps
  std::int64_t critics;        ///< T, of which options.reduction makes one score; 1 for Reduction::first
  std::int64_t critic_stride;  ///< numbers between the packed parameters of the member's critics
  CemOptions options;
  draws::Kernels kernels;
  draws::CandidateBlock draws;  ///< of these states, round 0
};

/// Of one number of the action, over the candidates of a range of states.
struct CandidateSums {
  double numbers, squares;
};

template <class T>
struct SearchKernels {
  std::int64_t (*memory_size)(const nn::CriticShape& shape);
  std::int64_t (*kept_size)(const nn::CriticShape& shape, std::int64_t elites);
  void (*search)(const SearchPass<T>& pass, const SearchStates<T>& states);
  /// The same in steps 0 .. J + 1, between which the critic's first layer may change: step j scores the candidates of
  /// round j - 1 and draws those of round j, of which it writes the sums [A]; the last one scores the policy's.
  void (*step)(const SearchPass<T>& pass, const SearchStates<T>& states, std::int64_t step, CandidateSums* sums);
  std::int64_t (*refit_memory_size)(std::int64_t samples, std::int64_t actions);
  /// The softmax refit of states [first, first + count), count <= kSearchStates, outside the fused search.
  void (*refit_softmax)(const RefitArgs<T>& args, std::int64_t first, std::int64_t count, T* memory);
};

/// Those of the running CPU.
template <class T>
SearchKernels<T> chosen_search_kernels();
template <>
SearchKernels<float> chosen_search_kernels();
template <>
SearchKernels<double> chosen_search_kernels();

namespace base {
SearchKernels<float> search_kernels_float();
SearchKernels<double> search_kernels_double();
}  // namespace base
namespace avx2 {
SearchKernels<float> search_kernels_float();
SearchKernels<double> search_kernels_double();
}  // namespace avx2
namespace avx512 {
SearchKernels<float> search_kernels_float();
SearchKernels<double> search_kernels_double();
}  // namespace avx512
namespace bf16 {
SearchKernels<float> search_kernels_float();
SearchKernels<double> search_kernels_double();
}  // namespace bf16
namespace amx {
SearchKernels<float> search_kernels_float();
SearchKernels<double> search_kernels_double();
}  // namespace amx

}  // namespace omar::cem
