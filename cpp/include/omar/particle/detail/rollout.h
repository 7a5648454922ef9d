#pragma once
/// Many steps of a block of worlds with its policies: the worlds stay in cache from the first step to the last. All
/// kernels assume valid arguments.

#include <omar/particle/detail/kernel_table.h>
#include <omar/particle/detail/step_world.h>
#include <omar/particle/detail/transpose.h>

namespace omar::particle::detail::inline OMAR_LEVEL {

/// One block of kBlockWorlds worlds on its way through the steps.
template <class S, int Bytes>
struct Run {
  static constexpr int W = Bytes / 4;
  static constexpr int G = kBlockWorlds / W;  ///< vectors per block
  using V = Pack<float, W>;
  static constexpr int row = S::agents * kMaxObs<S>;
  static constexpr int size = S::action_size;
  static constexpr int learners = S::agents - S::preys;
  static constexpr int prey_obs = S::preys > 0 ? S::obs_size(S::agents - 1) : 0;
  static constexpr int draws = (S::agents * size + 3) / 4;  ///< of four numbers, one after the other over the agents

  const WorldArgs& args;
  const RolloutArgs& rollout;
  float* scratch;
  std::int64_t first;  ///< index of the first world
  int real;            ///< worlds of this block that exist
  World<S, V> worlds[G];
  V seen[G][row];                 ///< observations
  V u[G][S::agents * size] = {};  ///< actions

  OMAR_INLINE Run(const WorldArgs& a, const RolloutArgs& r, float* memory, std::int64_t block)
      : args(a), rollout(r), scratch(memory), first(block * kBlockWorlds) {
    real = static_cast<int>(args.num_envs - first < kBlockWorlds ? args.num_envs - first : kBlockWorlds);
    for (int g = 0; g < G; ++g) {
      worlds[g] = load_world<S, V>(fields_of<S, float>(args.state, first) + g * W);
      observe_all(worlds[g], seen[g]);
    }
  }

  OMAR_INLINE ~Run() {
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
  /// first Own numbers of each prey to prey.
  template <int N, int Own>
  OMAR_INLINE void put_agents(const V* columns, int g, std::int64_t t, float* out, float* prey) const {
    if constexpr (S::preys > 0) {
      if (rollout.apart) {
        put<learners * N>(columns, g, t, out);
        if constexpr (S::preys == 1) {
          put<Own>(columns + learners * N, g, t, prey);
          return;
        }
        V own[S::preys * Own];
        for (int p = 0; p < S::preys; ++p) {
          for (int k = 0; k < Own; ++k) own[p * Own + k] = columns[(learners + p) * N + k];
        }
        put<S::preys * Own>(own, g, t, prey);
        return;
      }
    }
    put<S::agents * N>(columns, g, t, out);
  }

  OMAR_INLINE void put_observations(int g, std::int64_t t, float* out, float* prey) const {
    put_agents<kMaxObs<S>, prey_obs>(seen[g], g, t, out, prey);
  }

  /// Sets u for step t.
  OMAR_INLINE void act(std::uint32_t step) {
    float actions[4 * draws][kBlockWorlds];
    float noise[4 * draws][kBlockWorlds];
    const auto world = static_cast<std::uint32_t>(first);
    for (int d = 0; d < draws; ++d) {
      bool uniform = false;
      bool noisy = false;
      for (int a = 4 * d / size; a < S::agents && a * size < 4 * (d + 1); ++a) {
        uniform |= rollout.policies[a].count == 0;
        noisy |= rollout.policies[a].count > 0 && rollout.policies[a].noise > 0.0f;
      }
      const auto draw = static_cast<std::uint32_t>(d);
      if (uniform) rollout.uniform(rollout.seed, world, step, draw, actions + 4 * d);
      if (noisy) rollout.normal(rollout.seed, world, step, draw, noise + 4 * d);
    }
    for (int a = 0; a < S::agents; ++a) act_one(a, actions + a * size, noise + a * size);
  }

  OMAR_INLINE void act_one(int agent, const float (*drawn)[kBlockWorlds], const float (*noise)[kBlockWorlds]) {
    const Policy& policy = rollout.policies[agent];
    if (policy.count > 0) {
      rollout.forward({policy, reinterpret_cast<const float*>(&seen[0][agent * kMaxObs<S>]), row * W,
                       reinterpret_cast<float*>(&u[0][agent * size]), S::agents * size * W, scratch});
    }
    for (int g = 0; g < G; ++g) {
      for (int k = 0; k < size; ++k) {
        V& action = u[g][agent * size + k];
        if (policy.count == 0) {
          action = V::load(drawn[k] + g * W);
        } else if (policy.noise > 0.0f) {
          action = min_(max_(action + V(policy.noise) * V::load(noise[k] + g * W), V(-1.0f)), V(1.0f));
        }
      }
    }
  }

  /// Out of the way of the steps that end no episode.
  static OMAR_NOINLINE void see_start(const World<S, V>& w, V* seen) { observe_all(w, seen); }

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

  OMAR_INLINE void step(std::int64_t t) {
    act(rollout.first_step + static_cast<std::uint32_t>(t));
    for (int g = 0; g < G; ++g) {
      put_observations(g, t, rollout.out.observations, rollout.prey.observations);
      put_agents<size, size>(u[g], g, t, rollout.out.actions, rollout.prey.actions);
      const std::int64_t world = first + g * W;
      const Clock clock{args.steps + world, args.episodes + world, args.seed, static_cast<std::uint32_t>(world),
                        args.draw_units};
      step_world(worlds[g], u[g], args.reward, clock, RowSink{*this, g, t});
    }
  }
};

template <class S, int Bytes>
OMAR_INLINE void rollout_blocks(const WorldArgs& args, const RolloutArgs& rollout, std::int64_t begin, std::int64_t end,
                                float* scratch) {
  for (std::int64_t block = begin; block < end; ++block) {
    Run<S, Bytes> run(args, rollout, scratch, block);
    for (std::int64_t t = 0; t < rollout.steps; ++t) run.step(t);
  }
}

}  // namespace omar::particle::detail::inline OMAR_LEVEL
