/// The CUDA kernels of a build without CUDA.

#include <c10/util/Exception.h>

#include "particle/kernels.h"

namespace omar::particle::cuda {
namespace {
constexpr const char* kMessage = "[particle] this build of omar has no CUDA kernels; use device \"cpu\"";
}  // namespace

void require() { TORCH_CHECK_VALUE(false, kMessage); }
void step(ScenarioId, const WorldArgs&, void*) { require(); }
void start(ScenarioId, const WorldArgs&, void*) { require(); }
void observe(ScenarioId, const WorldArgs&, void*) { require(); }

}  // namespace omar::particle::cuda
