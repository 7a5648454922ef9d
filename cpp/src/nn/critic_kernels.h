#pragma once
/// The fused candidate critic: any number of hidden layers, K candidate actions per state. A plain network is the case
/// A = 0, K = 1, where the observations are all its inputs. Compiled per instruction level; arguments are valid and,
/// except where said, contiguous. Padded arrays are laid out by the kernels themselves: the front end only allocates
/// them (`packed`, `scratch`, `sums`; 64-byte aligned).

#include <omar/nn/activation.h>
#include <omar/nn/precision.h>

#include <cstdint>

namespace omar::nn {

/// Sizes of one network and its candidates, all at least 1 except where said.
struct CriticShape {
  std::int64_t obs;            ///< O
  std::int64_t actions;        ///< A, may be 0
  std::int64_t samples;        ///< K
  std::int64_t outputs;        ///< of the network
  const std::int64_t* hidden;  ///< [layers] widths, owned by the caller
  std::int64_t layers;         ///< hidden ones
  ActivationSpec activation;
};

/// One network's parameters, the output layer's last: layers + 1 weights [in, out] and biases [out]; with layer norm,
/// `layers` scales and shifts [out].
template <class T>
struct CriticWeights {
  T* const* weights;
  T* const* biases;
  T* const* norm_scales;
  T* const* norm_shifts;
};

/// Some columns of the observations: row s at data + s * stride.
template <class T>
struct ObservationPart {
  const T* data;
  std::int64_t columns, stride;
};

/// Some states of one network.
template <class T>
struct CriticStates {
  const ObservationPart<T>* obs;  ///< [parts] of [count, O], side by side
  std::int64_t parts;
  const T* actions;  ///< [count, K, A]
  std::int64_t count;
};

enum class Wanted {
  all,     ///< gradients of parameters and of the inputs that are asked for
  inputs,  ///< those of the inputs alone
};

/// Gradients with respect to inputs, and values beside them; null where they are not wanted.
template <class T>
struct InputGradients {
  Wanted wanted;
  T* obs;          ///< [count, O]
  T* actions;      ///< [count, K, A]
  T* q = nullptr;  ///< [count, K, outputs]
};

/// What a pass over states works with.
template <class T>
struct CriticPass {
  CriticShape shape;
  Precision precision;
  const T* packed;
  T* scratch;
};

template <class T>
struct CriticKernels {
  std::int64_t (*packed_size)(const CriticShape& shape);
  std::int64_t (*scratch_size)(const CriticShape& shape);
  std::int64_t (*sums_size)(const CriticShape& shape);

  /// Rearranges one network's parameters.
  void (*pack)(const CriticShape& shape, const CriticWeights<const T>& weights, Precision precision, T* packed);
  /// Replaces the first layer of packed parameters: weight [in, out], bias [out].
  void (*pack_first)(const CriticShape& shape, const T* weight, const T* bias, T* packed);
  /// q [count, K, outputs].
  void (*values)(const CriticPass<T>& pass, const CriticStates<T>& states, T* q);
  /// Adds the parameters' gradients under upstream gradients dq [count, K, outputs] to `sums`; writes those of the
  /// inputs.
  void (*gradients)(const CriticPass<T>& pass, const CriticStates<T>& states, const T* dq, T* sums,
                    const InputGradients<T>& inputs);
  /// One output: out[s] = log sum_k exp(q[s, k] - log_density[s, k]); adds `scale` times the gradient of their sum to
  /// `sums`. A state whose candidates all have the density +inf gets -inf, and no gradient.
  void (*logsumexp)(const CriticPass<T>& pass, const CriticStates<T>& states, const T* log_density, T scale, T* out,
                    T* sums);
  /// Parameters' gradients as the sum of `chunks` arrays of sums_size, in their order.
  void (*reduce_gradients)(const CriticShape& shape, const T* sums, std::int64_t chunks,
                           const CriticWeights<T>& gradients);
};

namespace base {
CriticKernels<float> critic_kernels_float();
CriticKernels<double> critic_kernels_double();
}  // namespace base
namespace avx2 {
CriticKernels<float> critic_kernels_float();
CriticKernels<double> critic_kernels_double();
}  // namespace avx2
namespace avx512 {
CriticKernels<float> critic_kernels_float();
CriticKernels<double> critic_kernels_double();
}  // namespace avx512
namespace bf16 {
CriticKernels<float> critic_kernels_float();
CriticKernels<double> critic_kernels_double();
}  // namespace bf16
namespace amx {
CriticKernels<float> critic_kernels_float();
CriticKernels<double> critic_kernels_double();
}  // namespace amx

}  // namespace omar::nn
