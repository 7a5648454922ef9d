/// The stream of a build without CUDA.

#include "core/cuda_stream.h"

namespace omar {

void* current_cuda_stream(c10::Device) { return nullptr; }

}  // namespace omar
