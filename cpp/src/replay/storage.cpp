#include "replay/storage.h"

#include <ATen/Context.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <vector>

#include "replay/replay_kernels.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace omar::replay {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;

/// Memory at a cache line, in huge pages where that pays and the system has them; null when there is none.
void* allocate(std::size_t bytes) {
  const std::size_t alignment = bytes < kHugePage ? 64 : kHugePage;
  const std::size_t padded = (bytes + alignment - 1) / alignment * alignment;
  void* memory = std::aligned_alloc(alignment, padded);
#if defined(__linux__)
  // A wish: without it the rows are only slower.
  if (memory != nullptr && alignment == kHugePage) madvise(memory, padded, MADV_HUGEPAGE);
#endif
  return memory;
}

}  // namespace

at::Tensor allocate_rows(int64_t datasets, int64_t capacity, int64_t count, at::ScalarType storage, at::Device device) {
  TORCH_CHECK_VALUE(device.is_cpu() || (device.is_cuda() && at::hasCUDA()), "[replay] device ", device,
                    device.is_cuda() ? " is not available: torch has no CUDA here" : " is not supported: cpu or cuda");
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max() / 8;
  TORCH_CHECK_VALUE(capacity <= kMost / datasets / count, "[replay] ", datasets, " x ", capacity, " rows of ", count,
                    " numbers are more than a machine can address");
  const std::vector<int64_t> sizes{datasets, capacity, count};
  const auto options = at::TensorOptions().dtype(storage).device(device);
  if (!device.is_cpu()) return at::empty(sizes, options);
  const std::size_t bytes =
      static_cast<std::size_t>(datasets * capacity * count) * c10::elementSize(storage) + kSlackBytes;
  void* memory = allocate(bytes);
  TORCH_CHECK_VALUE(memory != nullptr, "[replay] no memory for ", datasets, " x ", capacity, " rows: ", bytes,
                    " bytes");
  return at::from_blob(memory, sizes, [](void* p) { std::free(p); }, options);
}

std::shared_ptr<void> BatchMemory::take(std::size_t bytes) {
  Block block{bytes, nullptr};
  {
    const std::lock_guard lock(mutex_);
    const auto fits = [bytes](const Block& kept) { return kept.bytes == bytes; };
    const auto found = std::find_if(kept_.begin(), kept_.end(), fits);
    if (found != kept_.end()) {
      block = std::move(*found);
      kept_.erase(found);
    }
  }
  if (block.memory == nullptr) block.memory.reset(allocate(bytes));
  TORCH_CHECK_VALUE(block.memory != nullptr, "[replay::sample] no memory for a minibatch of ", bytes, " bytes");
  // The tensors may outlive the buffer: they keep this object alive.
  return {block.memory.release(), [self = shared_from_this(), bytes](void* memory) {
            self->give_back(Block{bytes, std::unique_ptr<void, Free>(memory)});
          }};
}

void BatchMemory::give_back(Block block) {
  const std::lock_guard lock(mutex_);
  if (kept_.size() == kKept) kept_.erase(kept_.begin());
  kept_.push_back(std::move(block));
}

}  // namespace omar::replay
