#include "replay/storage.h"

#include <omar/core/check.h>

#include <ATen/Context.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <vector>

#include "replay/replay_kernels.h"

namespace omar::replay {

at::Tensor allocate_rows(int64_t datasets, int64_t capacity, int64_t count, at::ScalarType storage, at::Device device) {
  TORCH_CHECK_VALUE(device.is_cpu() || (device.is_cuda() && at::hasCUDA()), "[replay] device ", device,
                    device.is_cuda() ? " is not available: torch has no CUDA here" : " is not supported: cpu or cuda");
  const auto element_bytes = static_cast<int64_t>(c10::elementSize(storage));
  const int64_t data = check::product("replay", "the rows", {datasets, capacity, count, element_bytes});
  const std::vector<int64_t> sizes{datasets, capacity, count};
  const auto options = at::TensorOptions().dtype(storage).device(device);
  if (!device.is_cpu()) return at::empty(sizes, options);
  const std::size_t bytes = static_cast<std::size_t>(data) + kSlackBytes;
  Memory memory = allocate_memory(bytes);
  TORCH_CHECK_VALUE(memory != nullptr, "[replay] no memory for ", datasets, " x ", capacity, " rows: ", bytes,
                    " bytes");
  return at::from_blob(memory.release(), sizes, FreeMemory(), options);
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
  if (block.memory == nullptr) block.memory = allocate_memory(bytes);
  TORCH_CHECK_VALUE(block.memory != nullptr, "[replay::sample] no memory for a minibatch of ", bytes, " bytes");
  // The tensors may outlive the buffer: they keep this object alive.
  return {block.memory.release(),
          [self = shared_from_this(), bytes](void* memory) { self->give_back(Block{bytes, Memory(memory)}); }};
}

void BatchMemory::give_back(Block block) {
  const std::lock_guard lock(mutex_);
  if (kept_.size() == kKept) kept_.erase(kept_.begin());
  kept_.push_back(std::move(block));
}

}  // namespace omar::replay
