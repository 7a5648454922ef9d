/// The CUDA draws of a build without CUDA.

#include <c10/util/Exception.h>

#include "core/draws_kernels.h"

namespace omar::draws::cuda {
namespace {

constexpr const char* kMessage = "[draws] this build of omar has no CUDA kernels";

}  // namespace

bool built() { return false; }
void draw(Distribution, const CandidateArray&, void*) { TORCH_CHECK(false, kMessage); }
void draw(Distribution, const RowArray&, void*) { TORCH_CHECK(false, kMessage); }

}  // namespace omar::draws::cuda
