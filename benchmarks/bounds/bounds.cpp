#include "bounds.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <vector>

#include "bounds_kernels.h"
#include "core/check.h"
#include "core/dispatch.h"
#include "core/memory.h"

namespace omar::bounds {
namespace {

/// Sum over threads of `work` per second, where body(thread) does `work` units and is repeated for `seconds`.
template <class Body>
double rate(double seconds, double work, const Body& body) {
  using Clock = std::chrono::steady_clock;
  const int threads = at::get_num_threads();
  std::vector<double> rates(static_cast<std::size_t>(threads), 0.0);
  at::parallel_for(0, threads, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t thread = begin; thread < end; ++thread) {
      body(thread);  // warm-up
      const auto start = Clock::now();
      double elapsed = 0.0;
      std::int64_t runs = 0;
      while (elapsed < seconds) {
        body(thread);
        ++runs;
        elapsed = std::chrono::duration<double>(Clock::now() - start).count();
      }
      rates[static_cast<std::size_t>(thread)] = static_cast<double>(runs) * work / elapsed;
    }
  });
  double total = 0.0;
  for (const double r : rates) total += r;
  return total;
}

}  // namespace

double fma_flops(double seconds) {
  TORCH_CHECK_VALUE(seconds > 0.0, "[bounds::fma_flops] `seconds` must be positive, got ", seconds);
  const Kernels kernels = OMAR_FOR_CPU(kernels)();
  constexpr std::int64_t kRepeats = 1000;
  std::vector<float> sink(static_cast<std::size_t>(at::get_num_threads()));
  return rate(seconds, static_cast<double>(kRepeats * kernels.fma_flops_per_repeat),
              [&](std::int64_t thread) { sink[static_cast<std::size_t>(thread)] = kernels.fma(kRepeats); });
}

double particle_steps(std::int64_t worlds, std::int64_t agents, std::int64_t outputs, double seconds) {
  check::at_least("bounds::particle_steps", "worlds", worlds, 1);
  check::at_least("bounds::particle_steps", "agents", agents, 1);
  TORCH_CHECK_VALUE(agents <= 1024, "[bounds::particle_steps] `agents` must be at most 1024, got ", agents);
  check::at_least("bounds::particle_steps", "outputs", outputs, 1);
  TORCH_CHECK_VALUE(seconds > 0.0, "[bounds::particle_steps] `seconds` must be positive, got ", seconds);
  for (const std::int64_t numbers : {4 * agents, outputs}) {
    check::product("bounds::particle_steps", "the numbers of the worlds", {worlds, numbers, 4});
  }
  const Kernels kernels = OMAR_FOR_CPU(kernels)();
  // Groups of worlds whose state stays in the first-level cache; every thread owns a share of the groups.
  constexpr std::int64_t kGroup = 64;
  const std::int64_t threads = at::get_num_threads();
  const std::int64_t blocks = std::max<std::int64_t>(1, worlds / (kGroup * threads));
  struct Scratch {
    std::vector<float> state, actions, out;
  };
  std::vector<Scratch> memory(static_cast<std::size_t>(threads));
  for (Scratch& m : memory) {
    m.state.assign(static_cast<std::size_t>(4 * agents * kGroup * blocks), 0.5f);
    m.actions.assign(static_cast<std::size_t>(2 * agents * kGroup * blocks), 0.1f);
    m.out.assign(static_cast<std::size_t>(outputs * kGroup * blocks), 0.0f);
  }
  return rate(seconds, static_cast<double>(kGroup * blocks), [&](std::int64_t thread) {
    Scratch& m = memory[static_cast<std::size_t>(thread)];
    for (std::int64_t b = 0; b < blocks; ++b) {
      kernels.particle(m.state.data() + b * 4 * agents * kGroup, m.actions.data() + b * 2 * agents * kGroup,
                       m.out.data() + b * outputs * kGroup, kGroup, agents, outputs);
    }
  });
}

double gather_rows(std::int64_t rows, std::int64_t row_bytes, std::int64_t batch, double seconds) {
  check::at_least("bounds::gather_rows", "rows", rows, 1);
  check::at_least("bounds::gather_rows", "batch", batch, 1);
  TORCH_CHECK_VALUE(rows <= std::int64_t{1} << 32, "[bounds::gather_rows] `rows` must be at most 2^32, got ", rows);
  TORCH_CHECK_VALUE(row_bytes > 0 && row_bytes % 64 == 0,
                    "[bounds::gather_rows] `row_bytes` must be a positive multiple of 64, got ", row_bytes);
  TORCH_CHECK_VALUE(seconds > 0.0, "[bounds::gather_rows] `seconds` must be positive, got ", seconds);
  const Kernels kernels = OMAR_FOR_CPU(kernels)();
  const auto table_bytes = static_cast<std::size_t>(check::product("bounds::gather_rows", "rows", {rows, row_bytes}));
  check::product("bounds::gather_rows", "the rows of a minibatch", {batch, row_bytes, at::get_num_threads()});
  const Memory table = allocate_memory(table_bytes);  // as the replay buffer's rows
  TORCH_CHECK_VALUE(table != nullptr, "[bounds::gather_rows] no memory for ", rows, " rows of ", row_bytes, " bytes");
  std::memset(table.get(), 1, table_bytes);
  const std::int64_t threads = at::get_num_threads();
  struct Scratch {
    std::vector<std::int64_t> index;
    std::vector<char> out;
    std::uint32_t step = 0;
  };
  std::vector<Scratch> memory(static_cast<std::size_t>(threads));
  for (Scratch& m : memory) {
    m.index.resize(static_cast<std::size_t>(batch));
    m.out.resize(static_cast<std::size_t>(batch * row_bytes));
  }
  return rate(seconds, static_cast<double>(batch), [&](std::int64_t thread) {
    Scratch& m = memory[static_cast<std::size_t>(thread)];
    std::uint64_t x = 0x9E3779B97F4A7C15ull * (static_cast<std::uint64_t>(thread) + 1 + 131 * ++m.step);
    for (auto& i : m.index) {
      x = x * 6364136223846793005ull + 1442695040888963407ull;
      i = static_cast<std::int64_t>(((x >> 32) * static_cast<std::uint64_t>(rows)) >> 32);  // no division
    }
    kernels.gather(static_cast<const char*>(table.get()), m.index.data(), m.out.data(), batch, row_bytes);
  });
}

}  // namespace omar::bounds
