#include "core/cuda_stream.h"

#include <c10/cuda/CUDAStream.h>

namespace omar {

void* current_cuda_stream(c10::Device device) { return c10::cuda::getCurrentCUDAStream(device.index()).stream(); }

}  // namespace omar
