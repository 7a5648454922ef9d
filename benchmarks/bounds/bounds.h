#pragma once
/// What this machine can do at most, measured: the figures that benchmarks put beside their own. All functions
/// \throws c10::ValueError an argument out of range.

#include <cstdint>

namespace omar::bounds {

/// Single-precision FLOP/s of independent fused multiply-adds in registers, at the current instruction level, summed
/// over torch's intra-op threads. Runs for about `seconds` > 0.
double fma_flops(double seconds);

/// World steps per second of a plain vectorised loop over structure-of-arrays particles: `agents` agents without
/// contacts (force, damping, integration, in simple_spread's numbers) and `outputs` floats per world written in the
/// order the loop makes them, no transposition, no random numbers, no reset. `worlds` worlds over torch's intra-op
/// threads; runs for about `seconds` > 0.
double particle_steps(std::int64_t worlds, std::int64_t agents, std::int64_t outputs, double seconds);

/// Rows per second of copying `batch` rows of `row_bytes` (a multiple of 64) at random places of a table of `rows` rows
/// into one buffer, with software prefetch, over torch's intra-op threads; runs for about `seconds` > 0.
double gather_rows(std::int64_t rows, std::int64_t row_bytes, std::int64_t batch, double seconds);

}  // namespace omar::bounds
