/// Rollouts of the particle worlds at the vectors' width of this instruction level. Compiled once per level.

#include <omar/particle/detail/rollout.h>

#include "core/vector_bytes.h"
#include "particle/kernels.h"
#include "particle/scenarios/scenarios.h"

namespace omar::particle::cpu::OMAR_LEVEL {
namespace {

template <class S>
void run(const WorldArgs& args, const RolloutArgs& rollout, std::int64_t begin, std::int64_t end, float* scratch) {
  rollout_blocks<S, kVectorBytes>(args, rollout, begin, end, scratch);
}

constexpr Rollout kRollouts[] = {
#define OMAR_SCENARIO(...) run<__VA_ARGS__>,
#include "particle/scenarios/scenarios.def"
#undef OMAR_SCENARIO
};

}  // namespace

Rollout rollout(int scenario) { return kRollouts[scenario]; }

}  // namespace omar::particle::cpu::OMAR_LEVEL
