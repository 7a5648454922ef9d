/// The CUDA draws of a build without CUDA.

#include <c10/util/Exception.h>

#include "nn/draw_kernels.h"

namespace omar::nn::cuda {

bool built() { return false; }
void draw(Law, const DrawArgs&, void*) {
  TORCH_CHECK(false, "[nn::draw_candidates] this build of omar has no CUDA kernels");
}

}  // namespace omar::nn::cuda
