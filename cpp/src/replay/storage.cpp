#include "replay/storage.h"

#include <ATen/Context.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <c10/util/Exception.h>

#include <cstdlib>
#include <limits>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace omar::replay {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;

}  // namespace

at::Tensor allocate_rows(int64_t datasets, int64_t capacity, int64_t floats, at::Device device) {
  TORCH_CHECK_VALUE(device.is_cpu() || (device.is_cuda() && at::hasCUDA()), "[replay] device ", device,
                    device.is_cuda() ? " is not available: torch has no CUDA here" : " is not supported: cpu or cuda");
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max() / 8;
  TORCH_CHECK_VALUE(capacity <= kMost / datasets / floats, "[replay] ", datasets, " x ", capacity, " rows of ",
                    floats * 4, " bytes are more than a machine can address");
  const std::vector<int64_t> sizes{datasets, capacity, floats};
  const auto options = at::TensorOptions().dtype(at::kFloat).device(device);
  if (!device.is_cpu()) return at::empty(sizes, options);
  const std::size_t bytes = static_cast<std::size_t>(datasets * capacity * floats) * sizeof(float);
  const std::size_t alignment = bytes < kHugePage ? 64 : kHugePage;
  const std::size_t padded = (bytes + alignment - 1) / alignment * alignment;
  void* memory = std::aligned_alloc(alignment, padded);
  TORCH_CHECK_VALUE(memory != nullptr, "[replay] no memory for ", datasets, " x ", capacity, " rows: ", padded,
                    " bytes");
#if defined(__linux__)
  if (alignment == kHugePage) madvise(memory, padded, MADV_HUGEPAGE);  // a wish: without it the rows are only slower
#endif
  return at::from_blob(memory, sizes, [](void* p) { std::free(p); }, options);
}

}  // namespace omar::replay
