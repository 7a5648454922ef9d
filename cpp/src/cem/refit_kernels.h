#pragma once
/// Arguments of the refit, and its CUDA kernel.

#include <omar/cem/options.h>

#include <cstdint>

namespace omar::cem {

/// N = M B states with K candidates of A numbers; contiguous.
template <class T>
struct RefitArgs {
  const T* mu;       ///< [N, A], the previous distribution
  const T* sigma;    ///< [N, A]
  const T* actions;  ///< [N, K, A]
  const T* q;        ///< [N, K]
  T* next_mu;        ///< out [N, A]
  T* next_sigma;     ///< out [N, A]
  std::int64_t states;
  std::int64_t samples;
  std::int64_t size;  ///< A
  Refit refit;
  std::int64_t elites;
  T beta;
};

namespace cuda {

/// Does this build have CUDA kernels?
bool built();
/// On `stream` (a cudaStream_t).
void refit(const RefitArgs<float>& args, void* stream);
void refit(const RefitArgs<double>& args, void* stream);

}  // namespace cuda

}  // namespace omar::cem
