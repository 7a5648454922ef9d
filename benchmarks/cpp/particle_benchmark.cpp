/// World steps with random actions given as a tensor, all outputs written, auto-reset included.

#include <omar/particle/particle_env.h>

#include <ATen/ops/rand.h>
#include <benchmark/benchmark.h>

namespace {

void particle_step(benchmark::State& state, const char* scenario) {
  omar::particle::ParticleEnv env({.scenario = scenario, .num_envs = state.range(0)});
  const at::Tensor actions = at::rand({state.range(0), env.num_agents(), 2}).mul(2.0).sub(1.0);
  omar::particle::Step out = env.make_step();
  env.reset();
  for (auto _ : state) env.step_into(actions, out);
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK_CAPTURE(particle_step, simple_spread, "simple_spread")->Arg(64)->Arg(1024)->Arg(16384)->UseRealTime();
BENCHMARK_CAPTURE(particle_step, simple_tag, "simple_tag")->Arg(64)->Arg(1024)->Arg(16384)->UseRealTime();
BENCHMARK_CAPTURE(particle_step, simple_world, "simple_world")->Arg(64)->Arg(1024)->Arg(16384)->UseRealTime();

}  // namespace
