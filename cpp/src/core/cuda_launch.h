#pragma once
/// What the .cu files share on the host side.

#include <cuda_runtime_api.h>

#include <stdexcept>
#include <string>

namespace omar {

/// \throws std::runtime_error when the kernel launched last did not start
inline void check_launch(const char* op) {
  const cudaError_t error = cudaGetLastError();
  if (error != cudaSuccess) {
    throw std::runtime_error(std::string("[") + op + "] CUDA kernel did not start: " + cudaGetErrorString(error));
  }
}

}  // namespace omar
