/// Minibatches of 480-byte rows, beside LibTorch's index_select of the same rows from one tensor.

#include <omar/replay/replay_buffer.h>

#include <ATen/ops/index_select.h>
#include <ATen/ops/zeros.h>
#include <benchmark/benchmark.h>

namespace {

constexpr int64_t kRows = 1'000'000, kBatch = 1024;

omar::replay::ReplayBuffer filled(at::ScalarType storage) {
  omar::replay::ReplayBuffer buffer(
      kRows,
      {{"observations", {3, 18}}, {"actions", {3, 2}}, {"rewards", {3}}, {"next_observations", {3, 18}}, {"done", {3}}},
      at::kCPU, 1, storage);
  constexpr int64_t kPart = 10'000;
  omar::replay::Columns columns;
  for (const auto& field : buffer.fields()) {
    std::vector<int64_t> sizes{kPart};
    sizes.insert(sizes.end(), field.shape.begin(), field.shape.end());
    columns.emplace_back(field.name, at::zeros(sizes));
  }
  for (int64_t i = 0; i < kRows / kPart; ++i) buffer.extend(columns);
  return buffer;
}

void replay_sample(benchmark::State& state, at::ScalarType storage) {
  const omar::replay::ReplayBuffer buffer = filled(storage);
  int64_t step = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        buffer.sample({.batch_size = kBatch, .members = state.range(0), .seed = 1, .step = ++step}));
  }
  state.SetItemsProcessed(state.iterations() * kBatch * state.range(0));
}
BENCHMARK_CAPTURE(replay_sample, float32, at::kFloat)->Arg(1)->Arg(15)->Unit(benchmark::kMicrosecond)->UseRealTime();
BENCHMARK_CAPTURE(replay_sample, bfloat16, at::kBFloat16)
    ->Arg(1)
    ->Arg(15)
    ->Unit(benchmark::kMicrosecond)
    ->UseRealTime();

void replay_indices(benchmark::State& state) {
  const omar::replay::ReplayBuffer buffer = filled(at::kBFloat16);
  int64_t step = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(buffer.sample_indices({.batch_size = kBatch, .seed = 1, .step = ++step}));
  }
  state.SetItemsProcessed(state.iterations() * kBatch);
}
BENCHMARK(replay_indices)->Unit(benchmark::kMicrosecond)->UseRealTime();

void replay_peer_index_select(benchmark::State& state) {
  const at::Tensor table = at::zeros({kRows, 120});
  omar::replay::ReplayBuffer rows(kRows, {{"x", {}}});
  rows.extend({{"x", at::zeros({kRows})}});
  int64_t step = 0;
  for (auto _ : state) {
    const at::Tensor indices = rows.sample_indices({.batch_size = kBatch, .seed = 1, .step = ++step});
    benchmark::DoNotOptimize(at::index_select(table, 0, indices[0]));
  }
  state.SetItemsProcessed(state.iterations() * kBatch);
}
BENCHMARK(replay_peer_index_select)->Unit(benchmark::kMicrosecond)->UseRealTime();

}  // namespace
