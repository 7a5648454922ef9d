#pragma once
/// The kernels behind ParticleEnv. All assume valid arguments.

#include <cstdint>

#include "particle/world_args.h"

namespace omar::particle {

/// CPU kernels of one scenario and dtype. Ranges are blocks of kBlockWorlds worlds.
struct Kernels {
  ScenarioInfo info;
  bool single;  ///< float32, else float64

  /// One step: physics, rewards, truncation, auto-reset, observations.
  void (*step)(const WorldArgs& args, std::int64_t begin, std::int64_t end);
  /// Start state of the running episode in every world, steps 0.
  void (*start)(const WorldArgs& args, std::int64_t begin, std::int64_t end);
  /// Observations of the current state.
  void (*observe)(const WorldArgs& args, std::int64_t begin, std::int64_t end);
  /// Are `count` numbers all finite and at most `limit` in magnitude?
  bool (*all_within)(const void* numbers, std::int64_t count, double limit);
};

struct KernelTable {
  const Kernels* begin;
  const Kernels* end;
};

/// All scenarios in the order of scenarios.def, float32 and float64 of each.
namespace base {
KernelTable kernels();
}
namespace avx2 {
KernelTable kernels();
}
namespace avx512 {
KernelTable kernels();
}

/// CUDA kernels: one thread per world, on `stream` (a cudaStream_t). `scenario` is a line of scenarios.def.
namespace cuda {
/// A line of scenarios.def and the dtype.
struct ScenarioId {
  int line;
  bool single;
};
/// Does nothing where this build has CUDA kernels. \throws c10::ValueError where it has none
void require();
void step(ScenarioId scenario, const WorldArgs& args, void* stream);
void start(ScenarioId scenario, const WorldArgs& args, void* stream);
void observe(ScenarioId scenario, const WorldArgs& args, void* stream);
}  // namespace cuda

}  // namespace omar::particle
