#pragma once
/// The kernels behind ParticleEnv that the library brings. All assume valid arguments.

#include <omar/core/cpu_level.h>
#include <omar/particle/detail/kernel_table.h>

#include <cstdint>

namespace omar::particle {

using namespace detail;

namespace cpu {

struct KernelTable {
  const Kernels* begin;  ///< all scenarios in the order of scenarios.def, float32 and float64 of each
  const Kernels* end;
  /// Are `count` numbers of float32 (of float64) all finite and at most `limit` in magnitude?
  bool (*floats_within)(const void* numbers, std::int64_t count, double limit);
  bool (*doubles_within)(const void* numbers, std::int64_t count, double limit);
  DrawUnits draw_floats;  ///< for vectors of float32 of this level
  DrawUnits draw_doubles;
};

/// The functions of one instruction level.
#define OMAR_DECLARE_LEVEL(level)  \
  namespace level {                \
  KernelTable kernels();           \
  Rollout rollout(int scenario);   \
  Forward policy_forward();        \
  DrawNumbers uniform_actions();   \
  DrawNumbers exploration_noise(); \
  }
OMAR_DECLARE_LEVEL(base)
OMAR_DECLARE_LEVEL(avx2)
OMAR_DECLARE_LEVEL(avx512)
#undef OMAR_DECLARE_LEVEL

/// The same of a level that this CPU has.
KernelTable kernels(CpuLevel level);
Rollout rollout(CpuLevel level, int scenario);
Forward policy_forward(CpuLevel level);
DrawNumbers uniform_actions(CpuLevel level);
DrawNumbers exploration_noise(CpuLevel level);

}  // namespace cpu

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
