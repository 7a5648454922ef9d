#pragma once
/// Counts what the test program allocates: allocations.cpp replaces operator new and wraps torch's CPU allocator.

#include <cstdint>

namespace omar::test {

/// Calls of operator new and of torch's CPU allocator so far, by all threads.
std::int64_t allocations();

}  // namespace omar::test
