/// The CUDA refit of a build without CUDA.

#include <c10/util/Exception.h>

#include "cem/refit_kernels.h"

namespace omar::cem::cuda {
namespace {

constexpr const char* kMessage = "[cem::refit] this build of omar has no CUDA kernels";

}  // namespace

bool built() { return false; }
void refit(const RefitArgs<float>&, void*) { TORCH_CHECK(false, kMessage); }
void refit(const RefitArgs<double>&, void*) { TORCH_CHECK(false, kMessage); }

}  // namespace omar::cem::cuda
