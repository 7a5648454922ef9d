#pragma once
/// Memory of the replay buffer's rows.

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <cstddef>
#include <memory>
#include <mutex>
#include <vector>

#include "core/memory.h"

namespace omar::replay {

/// Uninitialised [S, capacity, count]. On the CPU it starts at a cache line, has kSlackBytes of readable memory after
/// its end and asks the operating system for huge pages: a random row then rarely misses the page-table cache.
at::Tensor allocate_rows(int64_t datasets, int64_t capacity, int64_t count, at::ScalarType storage, at::Device device);

/// Memory of minibatches, kept for the next one when its tensors die: fresh memory of this size would cost a page fault
/// every 4 KiB, about as much time as the gather itself. Holds at most kKept blocks. Safe from several threads.
class BatchMemory : public std::enable_shared_from_this<BatchMemory> {
 public:
  /// One block for several tensors; it returns here when the last copy of the pointer is gone.
  std::shared_ptr<void> take(std::size_t bytes);

 private:
  static constexpr std::size_t kKept = 3;
  struct Block {
    std::size_t bytes;
    Memory memory;
  };
  void give_back(Block block);

  std::mutex mutex_;
  std::vector<Block> kept_;
};

}  // namespace omar::replay
