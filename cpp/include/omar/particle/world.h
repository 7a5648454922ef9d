#pragma once
/// The particle worlds in numbers: reward variants, constants of the physics, limits. No torch header, so that kernels
/// can include it.

namespace omar::particle {

/// Reward variants: `omar` is the paper's; `lowe` the one of the original simple_spread (simple_spread only).
enum class Reward { omar, lowe };

inline constexpr double kTimeStep = 0.1;
inline constexpr double kDamping = 0.25;
inline constexpr double kContactForce = 100.0;
inline constexpr double kContactMargin = 1e-3;

/// Largest magnitudes of an action and of a state that is set. From there no number of a world, nor the square of one,
/// leaves float32 within an episode.
inline constexpr double kMostAction = 1e6;
inline constexpr double kMostState = 1e12;

}  // namespace omar::particle
