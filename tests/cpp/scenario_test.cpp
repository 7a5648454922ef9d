// Scenarios that a program registers: the same kernels as those of the library, at every width of vectors.

#include <omar/particle/rollout.h>
#include <omar/particle/scenario.h>

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <cstring>
#include <vector>

namespace omar::particle {
namespace {

/// simple_tag once more, written as a program of another repository would.
struct Chase : ScenarioBase {
  static constexpr int agents = 4, preys = 1, landmarks = 2, obstacles = 2;
  static constexpr double landmark_box = 0.9;

  static constexpr int obs_size(int i) { return i == 3 ? 14 : 16; }
  static constexpr double size(int i) { return i == 3 ? 0.05 : 0.075; }
  static constexpr double landmark_size(int) { return 0.2; }
  static constexpr double gain(int i) { return i == 3 ? 16.0 : 9.0; }
  static constexpr double max_speed(int i) { return i == 3 ? 1.3 : 1.0; }

  template <class V>
  static V* observe(const World<Chase, V>& w, int i, V* out) {
    out = put_others(w, i, put_landmarks(w, i, put_self(w, i, out)));
    if (i == 3) return out;
    *out++ = w.vx[3];
    *out++ = w.vy[3];
    return out;
  }

  template <class V>
  static void rewards(const World<Chase, V>& w, V* out) {
    V touches = V(Scalar<V>(0));
    for (int i = 0; i < 3; ++i) {
      const V apart = omar::sqrt_(squared(w.x[i] - w.x[3], w.y[i] - w.y[3]));
      touches += omar::select(apart < V(Scalar<V>(0.125)), V(Scalar<V>(1)), V(Scalar<V>(0)));
    }
    for (int i = 0; i < 4; ++i) out[i] = i < 3 ? touches : -touches;
  }
};

/// Everything that a scenario may choose: two preys, three numbers an action, short episodes, no landmark, one agent
/// that nobody bumps into.
struct Odd : ScenarioBase {
  static constexpr int agents = 3, preys = 2, action_size = 3, episode_length = 7;

  static constexpr int obs_size(int i) { return i == 0 ? 4 : 2; }
  static constexpr bool collides(int i) { return i != 0; }

  template <class V>
  static Force<V> force(const World<Odd, V>& w, int i, const V* u) {
    return {u[0] + u[2], u[1] - V(Scalar<V>(0.5)) * w.vy[i]};
  }
  template <class V>
  static V* observe(const World<Odd, V>& w, int i, V* out) {
    if (i == 0) return put_self(w, i, out);
    *out++ = w.x[i];
    *out++ = w.y[i];
    return out;
  }
  template <class V>
  static void rewards(const World<Odd, V>& w, V* out) {
    for (int i = 0; i < 3; ++i) out[i] = w.x[i];
  }
};

void register_once() {
  static const bool done = [] {
    register_scenario<Chase>("chase");
    register_scenario<Odd>("odd");
    return true;
  }();
  (void)done;
}

template <class Body>
std::string message(const Body& body) {
  try {
    body();
  } catch (const c10::Error& error) {
    return error.what_without_backtrace();
  }
  return "nothing thrown";
}

TEST(Scenario, IsTheSameAsTheLibrarysOwn) {
  register_once();
  for (const at::ScalarType dtype : {at::kFloat, at::kDouble}) {
    ParticleEnv mine({.scenario = "chase", .num_envs = 67, .seed = 3, .dtype = dtype});
    ParticleEnv shipped({.scenario = "simple_tag", .num_envs = 67, .seed = 3, .dtype = dtype});
    EXPECT_TRUE(mine.reset().equal(shipped.reset()));
    for (int t = 0; t < 60; ++t) {
      const at::Tensor actions = at::rand({67, 4, 2}, dtype).mul(2.0).sub(1.0);
      const Step a = mine.step(actions), b = shipped.step(actions);
      ASSERT_TRUE(a.observations.equal(b.observations)) << t;
      ASSERT_TRUE(a.truncated.equal(b.truncated)) << t;
      ASSERT_TRUE(a.final_observations.equal(b.final_observations)) << t;
    }
  }
}

TEST(Scenario, RollsOutAsTheLibrarysOwn) {
  register_once();
  ParticleEnv mine({.scenario = "chase", .num_envs = 35}), shipped({.scenario = "simple_tag", .num_envs = 35});
  RolloutOptions options;
  options.steps = 30;
  options.noise = 0.3;
  options.policy = nn::init({.sizes = {16, 8, 2}, .seeds = {1, 2, 3}});
  Transitions a = make_transitions(mine, 30), b = make_transitions(shipped, 30);
  rollout_into(mine, options, a);
  rollout_into(shipped, options, b);
  EXPECT_TRUE(a.observations.equal(b.observations));
  EXPECT_TRUE(a.actions.equal(b.actions));
  EXPECT_TRUE(a.next_observations.equal(b.next_observations));
}

/// Start states that depend on nothing but world and episode, for vectors of W worlds.
template <int W>
void draw_units(std::uint64_t, std::uint32_t world, const std::uint32_t* episodes, std::uint32_t draw, void* out) {
  double numbers[4][W];
  for (int j = 0; j < 4; ++j) {
    for (int i = 0; i < W; ++i) {
      const std::uint32_t n = world + static_cast<std::uint32_t>(i) + 7 * episodes[i] + 3 * draw;
      numbers[j][i] = 0.03125 * static_cast<double>((n * 13 + static_cast<std::uint32_t>(j) * 5) % 32);
    }
  }
  std::memcpy(out, numbers, sizeof(numbers));
}

/// All numbers of 40 steps of a level's kernels with vectors of W float64.
template <class Level, int W>
std::vector<double> run_level(const detail::ScenarioInfo& info) {
  constexpr std::int64_t worlds = 2 * detail::kBlockWorlds;
  const auto numbers = [](std::int64_t count) { return std::vector<double>(static_cast<size_t>(count), 0.25); };
  std::vector<double> state = numbers(worlds * info.fields()),
                      actions = numbers(worlds * info.agents * info.action_size);
  std::vector<double> observations = numbers(worlds * info.row()), final_ones = observations;
  std::vector<double> rewards = numbers(worlds * info.agents);
  std::vector<std::int32_t> steps(worlds, 0);
  std::vector<std::uint32_t> episodes(worlds, 0);
  bool truncated[worlds];
  for (size_t i = 0; i < actions.size(); ++i) actions[i] = 0.01 * static_cast<double>(i % 97) - 0.5;
  detail::WorldArgs args;
  args.state = state.data();
  args.steps = steps.data();
  args.episodes = episodes.data();
  args.num_envs = worlds;
  args.draw_units = draw_units<W>;
  args.actions = actions.data();
  args.observations = observations.data();
  args.rewards = rewards.data();
  args.truncated = truncated;
  args.final_observations = final_ones.data();
  Level::start(args, 0, 2);
  std::vector<double> all;
  for (int t = 0; t < 40; ++t) {
    Level::step(args, 0, 2);
    for (const auto* part : {&state, &observations, &rewards, &final_ones})
      all.insert(all.end(), part->begin(), part->end());
  }
  return all;
}

TEST(Scenario, EveryLevelGivesTheSameBits) {
  const detail::ScenarioInfo info = detail::scenario_info<Chase>("chase");
  const std::vector<double> base = run_level<detail::AtBase<Chase, double>, 2>(info);
#if OMAR_TARGET_LEVELS
  EXPECT_EQ(detail::all_levels<Chase>().count, detail::kLevelCount);
  if (__builtin_cpu_supports("avx2")) {
    EXPECT_EQ(base, (run_level<detail::AtAvx2<Chase, double>, 4>(info)));
  }
  if (__builtin_cpu_supports("avx512vl")) {
    EXPECT_EQ(base, (run_level<detail::AtAvx512<Chase, double>, 8>(info)));
  }
#endif
  EXPECT_GT(base.size(), 0u);
}

TEST(Scenario, ChoosesItsSizes) {
  register_once();
  ParticleEnv env({.scenario = "odd", .num_envs = 5});
  EXPECT_EQ(env.num_agents(), 3);
  EXPECT_EQ(env.num_learners(), 1);
  EXPECT_EQ(env.num_landmarks(), 0);
  EXPECT_EQ(env.action_size(), 3);
  EXPECT_EQ(env.episode_length(), 7);
  EXPECT_EQ(env.obs_sizes(), std::vector<int64_t>({4, 2, 2}));
  EXPECT_EQ(env.state().landmarks.sizes(), at::IntArrayRef({5, 0, 2}));
  for (int t = 1; t <= 15; ++t) {
    const Step step = env.step(at::rand({5, 3, 3}));
    EXPECT_EQ(step.truncated.all().item<bool>(), t % 7 == 0) << t;
    EXPECT_EQ(step.truncated.any().item<bool>(), t % 7 == 0) << t;
  }
  EXPECT_EQ(message([&] { env.step(at::rand({5, 3, 2})); }),
            "[ParticleEnv.step] `actions` must be [E, A, action size] = [5, 3, 3], got [5, 3, 2]");
}

TEST(Scenario, ForceIsWhatTheScenarioMakesOfAnAction) {
  register_once();
  ParticleEnv env({.scenario = "odd", .num_envs = 1, .dtype = at::kDouble});
  const auto zeros = [](int64_t n) { return at::zeros({1, n, 2}, at::kDouble); };
  at::Tensor positions = zeros(3);
  positions[0][1][0] = 5.0;
  positions[0][2][0] = -5.0;
  at::Tensor velocities = zeros(3);
  velocities[0][0][1] = 2.0;
  env.set_state(positions, velocities, zeros(0));
  at::Tensor actions = at::zeros({1, 3, 3}, at::kDouble);
  actions[0][0][0] = 0.25;
  actions[0][0][2] = 0.5;
  env.step(actions);
  const at::Tensor moved = env.state().velocities[0][0];
  EXPECT_NEAR(moved[0].item<double>(), 0.1 * 0.75, 1e-15);
  EXPECT_NEAR(moved[1].item<double>(), 0.75 * 2.0 - 0.1 * 1.0, 1e-15);
}

TEST(Scenario, SeveralPreysRollOutApart) {
  register_once();
  ParticleEnv one({.scenario = "odd", .num_envs = 20}), two({.scenario = "odd", .num_envs = 20});
  RolloutOptions options;
  options.steps = 9;
  options.noise = 0.1;
  options.policy = nn::init({.sizes = {4, 8, 3}, .seeds = {1}});
  Transitions together = make_transitions(one, 9);
  rollout_into(one, options, together);
  Transitions learners, preys;
  learners.actions = at::empty({20, 9, 1, 3});
  preys.actions = at::empty({20, 9, 2, 3});
  preys.observations = at::empty({20, 9, 2, 2});
  preys.rewards = at::empty({20, 9, 2});
  rollout_into(two, options, learners, preys);
  EXPECT_TRUE(learners.actions.equal(together.actions.narrow(2, 0, 1)));
  EXPECT_TRUE(preys.actions.equal(together.actions.narrow(2, 1, 2)));
  EXPECT_TRUE(preys.observations.equal(together.observations.narrow(2, 1, 2).narrow(3, 0, 2)));
  EXPECT_TRUE(preys.rewards.equal(together.rewards.narrow(2, 1, 2)));
}

TEST(Scenario, NamesAreTakenOnce) {
  register_once();
  EXPECT_EQ(message([] { register_scenario<Odd>("odd"); }), "[register_scenario] there is a scenario \"odd\" already");
  EXPECT_EQ(message([] { register_scenario<Odd>("simple_tag"); }),
            "[register_scenario] there is a scenario \"simple_tag\" already");
  EXPECT_EQ(message([] { register_scenario<Odd>(""); }), "[register_scenario] `name` must not be empty");
  EXPECT_NE(message([] { ParticleEnv({.scenario = "even"}); }).find("unknown scenario \"even\"; known are"),
            std::string::npos);
  EXPECT_EQ(message([] { ParticleEnv({.scenario = "odd", .num_agents = 4}); }),
            "[ParticleEnv] `num_agents` can be set for simple_spread only, odd has 1 learners and 2 preys; got 4");
  EXPECT_NE(message([] { ParticleEnv({.scenario = "odd", .reward = Reward::lowe}); }).find("simple_spread only"),
            std::string::npos);
}

}  // namespace
}  // namespace omar::particle
