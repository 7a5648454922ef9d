#include "cem/checks.h"
#include "core/check.h"

#include <cmath>
#include <limits>

#include "core/draws.h"

namespace omar::cem {
namespace {

void check_in(std::string_view name, std::int64_t value, std::int64_t most) {
  TORCH_CHECK_VALUE(value >= 1 && value <= most, "[cem::CemOptions] `", name, "` must be in 1..", most, ", got ",
                    value);
}

/// Finite as the float32 that a search may run in.
bool finite_float(double value) { return std::abs(value) <= std::numeric_limits<float>::max(); }

}  // namespace

void check(const CemOptions& options) {
  constexpr const char* op = "cem::CemOptions";
  check_in("rounds", options.rounds, counter::kRounds);
  check_in("samples", options.samples, counter::kSamples);
  TORCH_CHECK_VALUE(options.refit != Refit::elite || (options.elites >= 2 && options.elites <= options.samples), "[",
                    op, "] `elites` must be in 2..samples = 2..", options.samples, ", got ", options.elites);
  TORCH_CHECK_VALUE(finite_float(options.mu), "[", op, "] `mu` must be finite in float32, got ", options.mu);
  TORCH_CHECK_VALUE(finite_float(options.sigma) && options.sigma > 0, "[", op,
                    "] `sigma` must be positive and finite in float32, got ", options.sigma);
  TORCH_CHECK_VALUE(finite_float(options.beta) && options.beta >= 0, "[", op,
                    "] `beta` must be finite in float32 and not negative, got ", options.beta);
}

void check_distribution(std::string_view op, const Distribution& distribution) {
  const at::Tensor& mu = distribution.mu;
  check::shape(op, "mu", mu, {-1, -1, -1}, "[M, B, A]");
  draws::check_floating(op, "mu", mu.scalar_type());
  check::shape(op, "sigma", distribution.sigma, mu.sizes(), "[M, B, A]");
  check::dtype(op, "sigma", distribution.sigma, mu.scalar_type());
  check::device(op, "sigma", distribution.sigma, mu.device());
  check::at_least(op, "M", mu.size(0), 1);
  check::at_least(op, "B", mu.size(1), 1);
  check::at_least(op, "A", mu.size(2), 1);
}

void check_pool(std::string_view op, const Pool& pool) {
  const at::Tensor& actions = pool.actions;
  check::shape(op, "actions", actions, {-1, -1, -1, -1}, "[M, B, K, A]");
  draws::check_floating(op, "actions", actions.scalar_type());
  check::shape(op, "q", pool.q, actions.sizes().slice(0, 3), "[M, B, K]");
  check::dtype(op, "q", pool.q, actions.scalar_type());
  check::device(op, "q", pool.q, actions.device());
  check::at_least(op, "M", actions.size(0), 1);
  check::at_least(op, "B", actions.size(1), 1);
  check::at_least(op, "K", actions.size(2), 1);
  check::at_least(op, "A", actions.size(3), 1);
}

void check_count(std::string_view op, std::string_view name, int64_t count, const Pool& pool) {
  TORCH_CHECK_VALUE(count >= 1 && count <= pool.q.size(2), "[", op, "] `", name, "` must be in 1..K = 1..",
                    pool.q.size(2), ", got ", count);
}

}  // namespace omar::cem
