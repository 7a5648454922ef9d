#pragma once
/// Options of the search, without tensors.

#include <omar/nn/precision.h>

#include <cstdint>

namespace omar::cem {

using nn::Kernels;
using nn::Precision;

enum class Refit {
  softmax,  ///< the paper: mu = softmax(beta Q) . a, sigma = root mean square distance to the new mu
  elite,    ///< cross-entropy method: mean and unbiased std of the best, which stay in the pool
};

/// The score of a member with T critics.
enum class Reduction {
  first,  ///< Q^1 alone, as the paper
  mean,   ///< mean over the T critics
  min,    ///< the least of the T critics
};

/// Numbers are finite in float32.
struct CemOptions {
  std::int64_t rounds = 3;    ///< J in 1..48
  std::int64_t samples = 10;  ///< K in 1..1024
  Refit refit = Refit::softmax;
  std::int64_t elites = 5;                   ///< elite refit only: 2..K
  double mu = 0.0;                           ///< first mean
  double sigma = 2.0;                        ///< first standard deviation, > 0
  double beta = 1.0;                         ///< softmax refit only: inverse temperature, >= 0
  Precision precision = Precision::float32;  ///< of a StackedMlp critic's products
  Reduction reduction = Reduction::first;    ///< of a StackedMlp with several critics for a member
};

}  // namespace omar::cem
