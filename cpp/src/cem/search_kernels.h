#pragma once
/// The fused search: all rounds of a block of states without leaving cache. Compiled per instruction level; arguments
/// are valid and contiguous.

#include <omar/cem/options.h>

#include <cstdint>

#include "core/draws_kernels.h"
#include "nn/critic_kernels.h"

namespace omar::cem {

/// Most states that a call searches together: whole blocks of most sizes.
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
  nn::CriticPass<T> critic;  ///< samples = K; scratch: memory_size, 64-byte aligned
  CemOptions options;
  draws::Kernels random;
  draws::CandidateBlock draws;  ///< of these states, round 0
};

template <class T>
struct SearchKernels {
  std::int64_t (*memory_size)(const nn::CriticShape& shape, std::int64_t elites);
  void (*search)(const SearchPass<T>& pass, const SearchStates<T>& states);
};

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
