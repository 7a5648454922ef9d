/// CUDA kernels of the particle worlds: the same scenario functions as on the CPU, one thread per world.

#define OMAR_LEVEL gpu

#include <omar/particle/detail/step_world.h>

#include "core/cuda_launch.h"
#include "particle/kernels.h"
#include "particle/scenarios/scenarios.h"

namespace omar::particle {

namespace {

constexpr int kThreads = 128;

__device__ std::int64_t this_world() { return static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x; }

template <class S, class T>
__global__ void start_kernel(WorldArgs args) {
  const std::int64_t world = this_world();
  if (world >= args.num_envs) return;
  args.steps[world] = 0;
  store_world(start<S, T>(args.seed, static_cast<std::uint32_t>(world), args.episodes + world, nullptr),
              fields_of<S, T>(args.state, world));
}

template <class S, class T>
__global__ void observe_kernel(WorldArgs args) {
  const std::int64_t world = this_world();
  if (world >= args.num_envs) return;
  constexpr int row = S::agents * kMaxObs<S>;
  observe_all(load_world<S, T>(fields_of<S, T>(args.state, world)), static_cast<T*>(args.observations) + world * row);
}

/// A step into the tensors' rows of one world.
template <class S, class T>
struct WorldSink {
  static constexpr int row = S::agents * kMaxObs<S>;
  const WorldArgs& args;
  std::int64_t world;

  __device__ void rewards(const T* rewards) const {
    T* const out = static_cast<T*>(args.rewards) + world * S::agents;
    for (int i = 0; i < S::agents; ++i) out[i] = rewards[i];
  }
  __device__ void truncated(int, bool over) const { args.truncated[world] = over; }
  __device__ void before_reset(const World<S, T>& w, bool over) const {
    if (over) observe_all(w, static_cast<T*>(args.final_observations) + world * row);
  }
  __device__ void after_reset(const World<S, T>& w, bool over) const {
    T* const field = fields_of<S, T>(args.state, world);
    if (over) {
      store_world(w, field);
    } else {
      store_agents(w, field);
    }
    observe_all(w, static_cast<T*>(args.observations) + world * row);
  }
};

template <class S, class T>
__global__ void step_kernel(WorldArgs args) {
  const std::int64_t world = this_world();
  if (world >= args.num_envs) return;
  World<S, T> w = load_world<S, T>(fields_of<S, T>(args.state, world));
  constexpr int numbers = S::agents * S::action_size;
  T u[numbers];
  const T* const actions = static_cast<const T*>(args.actions) + world * numbers;
  for (int i = 0; i < numbers; ++i) u[i] = actions[i];
  const Clock clock{args.steps + world, args.episodes + world, args.seed, static_cast<std::uint32_t>(world)};
  step_world(w, u, args.reward, clock, WorldSink<S, T>{args, world});
}

using Kernel = void (*)(WorldArgs);

/// The kernels of one line of scenarios.def: [float32, float64].
struct Scenario {
  Kernel step[2];
  Kernel start[2];
  Kernel observe[2];
};

template <class S>
Scenario make_scenario() {
  return {{step_kernel<S, float>, step_kernel<S, double>},
          {start_kernel<S, float>, start_kernel<S, double>},
          {observe_kernel<S, float>, observe_kernel<S, double>}};
}

Scenario find(int scenario) {
  const Scenario all[] = {
#define OMAR_SCENARIO(...) make_scenario<__VA_ARGS__>(),
#include "particle/scenarios/scenarios.def"
#undef OMAR_SCENARIO
  };
  return all[scenario];
}

void launch(Kernel kernel, const WorldArgs& args, void* stream) {
  const auto blocks = static_cast<unsigned>((args.num_envs + kThreads - 1) / kThreads);
  kernel<<<blocks, kThreads, 0, static_cast<cudaStream_t>(stream)>>>(args);
  check_launch("particle");
}

}  // namespace

namespace cuda {
void require() {}
void step(ScenarioId scenario, const WorldArgs& args, void* stream) {
  launch(find(scenario.line).step[scenario.single ? 0 : 1], args, stream);
}
void start(ScenarioId scenario, const WorldArgs& args, void* stream) {
  launch(find(scenario.line).start[scenario.single ? 0 : 1], args, stream);
}
void observe(ScenarioId scenario, const WorldArgs& args, void* stream) {
  launch(find(scenario.line).observe[scenario.single ? 0 : 1], args, stream);
}
}  // namespace cuda

}  // namespace omar::particle
