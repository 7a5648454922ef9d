#include "core/memory.h"

#include <limits>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace omar {

Memory allocate_memory(std::size_t bytes) {
  constexpr std::size_t kHugePage = std::size_t{2} << 20;
  if (bytes > std::numeric_limits<std::size_t>::max() - kHugePage) return nullptr;
  const std::size_t alignment = bytes < kHugePage ? 64 : kHugePage;
  const std::size_t padded = (bytes + alignment - 1) / alignment * alignment;
  Memory memory(std::aligned_alloc(alignment, padded));
#if defined(__linux__)
  // Advice: a system that does not take it only makes random rows slower.
  if (memory != nullptr && alignment == kHugePage) madvise(memory.get(), padded, MADV_HUGEPAGE);
#endif
  return memory;
}

}  // namespace omar
