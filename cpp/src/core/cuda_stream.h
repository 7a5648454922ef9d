#pragma once
/// torch's CUDA stream as a plain pointer, so that only cuda_stream.cpp needs torch's CUDA headers.

#include <c10/core/Device.h>

namespace omar {

/// The cudaStream_t that torch currently uses on `device`; null in a build without CUDA.
void* current_cuda_stream(c10::Device device);

}  // namespace omar
