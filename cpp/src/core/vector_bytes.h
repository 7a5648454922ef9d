#pragma once
/// Width of the vectors that the current instruction level works with.

#include <omar/core/host_device.h>

namespace omar {
inline namespace OMAR_LEVEL {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif

}  // namespace OMAR_LEVEL
}  // namespace omar
