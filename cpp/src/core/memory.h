#pragma once
/// Large blocks of memory.

#include <cstddef>
#include <cstdlib>
#include <memory>

namespace omar {

struct FreeMemory {
  void operator()(void* memory) const { std::free(memory); }
};
using Memory = std::unique_ptr<void, FreeMemory>;

/// Uninitialised memory at a cache line, in huge pages where that pays and the system has them; null when there is
/// none.
Memory allocate_memory(std::size_t bytes);

}  // namespace omar
