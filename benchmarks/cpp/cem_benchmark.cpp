/// The whole search at the two settings of the paper: particle tasks (softmax) and HalfCheetah (elites).

#include <omar/cem/cem.h>
#include <omar/nn/stacked_mlp.h>

#include <ATen/ops/rand.h>
#include <benchmark/benchmark.h>

namespace {

struct Setting {
  int64_t batch, obs, actions, hidden;
  omar::cem::CemOptions options;
};

void cem_maximize(benchmark::State& state, const Setting& s) {
  const int64_t members = state.range(0);
  const omar::nn::StackedMlp critic =
      omar::nn::init({.sizes = {s.obs + s.actions, s.hidden, s.hidden, 1},
                      .seeds = std::vector<std::uint64_t>(static_cast<size_t>(members), 1)});
  const at::Tensor obs = at::rand({members, s.batch, s.obs});
  const at::Tensor actions = at::rand({members, s.batch, s.actions}).mul(2.0).sub(1.0);
  std::int64_t step = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(omar::cem::maximize(critic, obs, actions, s.options, {.seed = 1, .step = ++step}));
  }
  state.SetItemsProcessed(state.iterations() * members * s.batch);
}
BENCHMARK_CAPTURE(cem_maximize, particle, Setting{1024, 18, 2, 64, {.rounds = 3, .samples = 10}})
    ->Arg(1)
    ->Arg(15)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();
BENCHMARK_CAPTURE(cem_maximize, half_cheetah,
                  Setting{256, 6, 3, 256, {.rounds = 2, .samples = 20, .refit = omar::cem::Refit::elite, .elites = 5}})
    ->Arg(1)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

}  // namespace
