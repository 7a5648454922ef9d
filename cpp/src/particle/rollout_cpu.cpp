/// Many steps of a block of worlds with its policies: the worlds stay in cache from the first step to the last.
/// Compiled once per instruction level.

#include "core/draws_lanes.h"
#include "core/vector_bytes.h"
#include "particle/rollout_kernels.h"
#include "particle/scenarios/scenarios.h"
#include "particle/step_world.h"
#include "particle/transpose.h"

namespace omar::particle::OMAR_LEVEL {
namespace {

constexpr int W = kVectorBytes / 4;
constexpr int G = kBlockWorlds / W;  ///< vectors per block
using V = Pack<float, W>;

/// Four numbers of each world of a block, for two agents' actions: number k of world i is v[k][i].
struct Drawn {
  static_assert(2 * kActionSize == counter::kPerBlock);

  float v[counter::kPerBlock][kBlockWorlds];

  template <draws::Distribution distribution>
  void fill(std::uint64_t seed, Stream stream, std::uint32_t world, std::uint32_t step, std::uint32_t draw) {
    using Words = draws::OMAR_LEVEL::BlockWords<kBlockWorlds>;
    using draws::OMAR_LEVEL::Along;
    const Counter<std::uint32_t> first{draw, step, world, static_cast<std::uint32_t>(stream)};
    draws::OMAR_LEVEL::numbers<distribution>(Words::template at<Along::index>(seed, first), v);
  }
};

/// One block of kBlockWorlds worlds on its way through the steps.
template <class S>
struct Run {
  static constexpr int row = S::agents * S::max_obs;

  const WorldArgs& args;
  const RolloutArgs& rollout;
  float* scratch;
  std::int64_t first;  ///< index of the first world
  int real;            ///< worlds of this block that exist
  World<S, V> worlds[G];
  V seen[G][row];              ///< observations
  V u[G][2 * S::agents] = {};  ///< actions

  Run(const WorldArgs& a, const RolloutArgs& r, float* memory, std::int64_t block)
      : args(a), rollout(r), scratch(memory), first(block * kBlockWorlds) {
    real = static_cast<int>(args.num_envs - first < kBlockWorlds ? args.num_envs - first : kBlockWorlds);
    for (int g = 0; g < G; ++g) {
      worlds[g] = load_world<S, V>(fields_of<S, float>(args.state, first) + g * W);
      observe_all(worlds[g], seen[g]);
    }
  }

  ~Run() {
    for (int g = 0; g < G; ++g) store_world(worlds[g], fields_of<S, float>(args.state, first) + g * W);
  }

  /// Columns of vector g to row t of each of its worlds in out [E, T, Columns].
  template <int Columns>
  OMAR_INLINE void put(const V* columns, int g, std::int64_t t, float* out) const {
    if (out == nullptr) return;
    const std::int64_t stride = rollout.steps * Columns;
    float* rows = out + (first + g * W) * stride + t * Columns;
    if ((g + 1) * W <= real) {
      store_rows<Columns>(columns, rows, stride);
      return;
    }
    float copy[W * Columns];
    store_rows<Columns>(columns, copy, Columns);
    for (int i = 0; g * W + i < real; ++i) std::memcpy(rows + i * stride, copy + i * Columns, sizeof(float) * Columns);
  }

  /// Of N numbers for each agent, those of vector g to row t: all agents' to out, or the learners' to out and the
  /// first Own numbers of the prey to prey.
  template <int N, int Own>
  OMAR_INLINE void put_agents(const V* columns, int g, std::int64_t t, float* out, float* prey) const {
    if constexpr (S::agents > S::learners) {
      static_assert(S::agents == S::learners + 1, "one prey at most");
      if (rollout.apart) {
        put<S::learners * N>(columns, g, t, out);
        put<Own>(columns + S::learners * N, g, t, prey);
        return;
      }
    }
    put<S::agents * N>(columns, g, t, out);
  }

  OMAR_INLINE void put_observations(int g, std::int64_t t, float* out, float* prey) const {
    put_agents<S::max_obs, S::obs_size(S::agents - 1)>(seen[g], g, t, out, prey);
  }

  /// Sets u for step t.
  OMAR_INLINE void act(std::uint32_t step) {
    const auto world = static_cast<std::uint32_t>(first);
    for (int pair = 0; 2 * pair < S::agents; ++pair) {
      const int agents = 2 * pair + 1 < S::agents ? 2 : 1;
      const auto draw = static_cast<std::uint32_t>(pair);
      bool uniform = false;
      bool noisy = false;
      for (int a = 2 * pair; a < 2 * pair + agents; ++a) {
        uniform |= rollout.policies[a].count == 0;
        noisy |= rollout.policies[a].count > 0 && rollout.policies[a].noise > 0.0f;
      }
      Drawn actions;
      Drawn noise;
      if (uniform) {
        actions.fill<draws::Distribution::uniform>(rollout.seed, Stream::uniform_actions, world, step, draw);
      }
      if (noisy) noise.fill<draws::Distribution::normal>(rollout.seed, Stream::exploration, world, step, draw);
      for (int half = 0; half < agents; ++half) {
        act_one(2 * pair + half, actions.v + half * kActionSize, noise.v + half * kActionSize);
      }
    }
  }

  OMAR_INLINE void act_one(int agent, const float (*drawn)[kBlockWorlds], const float (*noise)[kBlockWorlds]) {
    const Policy& policy = rollout.policies[agent];
    if (policy.count > 0) {
      rollout.forward({policy, reinterpret_cast<const float*>(&seen[0][agent * S::max_obs]), row * W,
                       reinterpret_cast<float*>(&u[0][2 * agent]), 2 * S::agents * W, scratch});
    }
    for (int g = 0; g < G; ++g) {
      for (int k = 0; k < kActionSize; ++k) {
        V& action = u[g][2 * agent + k];
        if (policy.count == 0) {
          action = V::load(drawn[k] + g * W);
        } else if (policy.noise > 0.0f) {
          action = min_(max_(action + V(policy.noise) * V::load(noise[k] + g * W), V(-1.0f)), V(1.0f));
        }
      }
    }
  }

  /// Out of the way of the steps that end no episode.
  static __attribute__((noinline)) void see_start(const World<S, V>& w, V* seen) { observe_all(w, seen); }

  /// The step of vector g into row t.
  struct RowSink {
    Run& run;
    int g;
    std::int64_t t;

    OMAR_INLINE void rewards(const V* rewards) const {
      run.template put_agents<1, 1>(rewards, g, t, run.rollout.out.rewards, run.rollout.prey.rewards);
    }
    OMAR_INLINE void truncated(int, bool) const {}
    OMAR_INLINE void before_reset(const World<S, V>& w, bool) const {
      observe_all(w, run.seen[g]);
      run.put_observations(g, t, run.rollout.out.next_observations, run.rollout.prey.next_observations);
    }
    OMAR_INLINE void after_reset(const World<S, V>& w, bool any_end) const {
      if (any_end) see_start(w, run.seen[g]);
    }
  };

  void step(std::int64_t t) {
    act(rollout.first_step + static_cast<std::uint32_t>(t));
    for (int g = 0; g < G; ++g) {
      put_observations(g, t, rollout.out.observations, rollout.prey.observations);
      put_agents<2, 2>(u[g], g, t, rollout.out.actions, rollout.prey.actions);
      const std::int64_t world = first + g * W;
      const Clock clock{args.steps + world, args.episodes + world, args.seed, static_cast<std::uint32_t>(world)};
      step_world(worlds[g], u[g], args.reward, clock, RowSink{*this, g, t});
    }
  }
};

template <class S>
void rollout_blocks(const WorldArgs& args, const RolloutArgs& rollout, std::int64_t begin, std::int64_t end,
                    float* scratch) {
  for (std::int64_t block = begin; block < end; ++block) {
    Run<S> run(args, rollout, scratch, block);
    for (std::int64_t t = 0; t < rollout.steps; ++t) run.step(t);
  }
}

constexpr Rollout kRollouts[] = {
#define OMAR_SCENARIO(...) rollout_blocks<__VA_ARGS__>,
#include "particle/scenarios/scenarios.def"
#undef OMAR_SCENARIO
};

}  // namespace
Rollout rollout(int scenario) { return kRollouts[scenario]; }

}  // namespace omar::particle::OMAR_LEVEL
