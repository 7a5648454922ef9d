#include "core/memory.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace omar {

Memory allocate_memory(std::size_t bytes) {
  constexpr std::size_t kHugePage = std::size_t{2} << 20;
  const std::size_t alignment = bytes < kHugePage ? 64 : kHugePage;
  const std::size_t padded = (bytes + alignment - 1) / alignment * alignment;
  Memory memory(std::aligned_alloc(alignment, padded));
#if defined(__linux__)
  // A wish: without it random rows are only slower.
  if (memory != nullptr && alignment == kHugePage) madvise(memory.get(), padded, MADV_HUGEPAGE);
#endif
  return memory;
}

}  // namespace omar
