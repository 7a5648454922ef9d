/// The CUDA gather of a build without CUDA.

#include <c10/util/Exception.h>

#include "replay/replay_kernels.h"

namespace omar::replay::cuda {

bool built() { return false; }
void gather(const MemberGather&, void*) { TORCH_CHECK(false, "[replay] this build of omar has no CUDA kernels"); }

}  // namespace omar::replay::cuda
