// What Python cannot reach: allocations, arguments that the bindings never pass, calls from several threads.

#include <omar/particle/particle_env.h>
#include <omar/particle/rollout.h>

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <limits>
#include <thread>
#include <vector>

#include "allocations.h"

namespace omar::particle {
namespace {

constexpr int64_t kEnvs = 67;

ParticleEnvOptions options_of(const std::string& scenario, at::ScalarType dtype = at::kFloat) {
  ParticleEnvOptions options;
  options.scenario = scenario;
  options.num_envs = kEnvs;
  options.dtype = dtype;
  return options;
}

at::Tensor actions_of(const ParticleEnv& env, double value) {
  return at::zeros({kEnvs, env.num_agents(), 2}, at::TensorOptions(env.options().dtype)).add_(value);
}

template <class Error, class Body>
std::string message(const Body& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what_without_backtrace();
  }
  return "nothing thrown";
}

TEST(ParticleEnv, StepIntoAllocatesNothing) {
  for (const std::string& scenario : scenario_names()) {
    for (const at::ScalarType dtype : {at::kFloat, at::kDouble}) {
      ParticleEnv env(options_of(scenario, dtype));
      const at::Tensor actions = actions_of(env, 0.5);
      Step out = env.make_step();
      env.step_into(actions, out);
      const int64_t before = test::allocations();
      for (int t = 0; t < 60; ++t) env.step_into(actions, out);  // over two ends of episodes
      EXPECT_EQ(test::allocations() - before, 0) << scenario;
    }
  }
  const int64_t before = test::allocations();
  const at::Tensor counted = at::empty({4});
  EXPECT_GE(test::allocations() - before, 2);  // the counter sees torch's memory and the tensor's own
}

TEST(ParticleEnv, StepIsStepInto) {
  ParticleEnv one(options_of("simple_tag")), two(options_of("simple_tag"));
  Step out = one.make_step();
  for (int t = 0; t < 26; ++t) {
    const at::Tensor actions = actions_of(one, 0.1 * (t % 7) - 0.3);
    one.step_into(actions, out);
    const Step fresh = two.step(actions);
    EXPECT_TRUE(out.observations.equal(fresh.observations)) << t;
    EXPECT_TRUE(out.rewards.equal(fresh.rewards)) << t;
    EXPECT_TRUE(out.truncated.equal(fresh.truncated)) << t;
  }
}

TEST(ParticleEnv, RefusesOutputsThatDoNotFit) {
  ParticleEnv env(options_of("simple_spread"));
  const at::Tensor actions = actions_of(env, 0.0);
  const auto complaint = [&](const auto& spoil) {
    Step out = env.make_step();
    spoil(out);
    return message<c10::Error>([&] { env.step_into(actions, out); });
  };
  EXPECT_EQ(complaint([](Step& s) { s.observations = at::Tensor(); }),
            "[ParticleEnv.step_into] `observations` must be a tensor [E, A, max obs size], got an undefined one");
  EXPECT_EQ(complaint([](Step& s) { s.rewards = at::zeros({kEnvs}); }),
            "[ParticleEnv.step_into] `rewards` must be [E, A] = [67, 3], got [67]");
  EXPECT_EQ(complaint([](Step& s) { s.truncated = at::zeros({kEnvs}); }),
            "[ParticleEnv.step_into] `truncated` must be Bool, got Float");
  EXPECT_EQ(complaint([](Step& s) { s.rewards = at::zeros({3, kEnvs}).t(); }),
            "[ParticleEnv.step_into] `rewards` must be contiguous, got strides [1, 67]");
}

TEST(ParticleEnv, RefusesUndefinedActionsAndKeepsItsState) {
  ParticleEnv env(options_of("simple_world"));
  const at::Tensor before = env.observe();
  EXPECT_EQ(message<c10::TypeError>([&] { env.step(at::Tensor()); }),
            "[ParticleEnv.step] `actions` must be a tensor [E, A, action size], got an undefined one");
  at::Tensor actions = actions_of(env, 0.0);
  actions.select(0, kEnvs - 1).fill_(std::numeric_limits<double>::infinity());
  EXPECT_EQ(message<c10::ValueError>([&] { env.step(actions); }),
            "[ParticleEnv.step] `actions` must be finite and at most 1e+06 in magnitude, but holds other values; the "
            "state is unchanged");
  EXPECT_TRUE(env.observe().equal(before));
}

TEST(ParticleEnv, RolloutWritesOnlyDefinedColumns) {
  ParticleEnv one(options_of("simple_spread")), two(options_of("simple_spread"));
  RolloutOptions options;
  options.steps = 30;
  Transitions all = make_transitions(one, options.steps);
  Transitions rewards_only;
  rewards_only.rewards = at::empty_like(all.rewards);
  rollout_into(one, options, all);
  rollout_into(two, options, rewards_only);
  EXPECT_TRUE(rewards_only.rewards.equal(all.rewards));
  EXPECT_FALSE(rewards_only.observations.defined());
  EXPECT_TRUE(one.observe().equal(two.observe()));
}

TEST(ParticleEnv, RefusesStepsThatTheCounterDoesNotHave) {
  ParticleEnv env(options_of("simple_spread"));
  Transitions nothing;
  RolloutOptions options;
  options.steps = 5;
  for (const int64_t first : {int64_t{-1}, int64_t{1} << 32, (int64_t{1} << 32) - 4}) {
    options.first_step = first;
    EXPECT_THROW(rollout_into(env, options, nothing), c10::ValueError) << first;
  }
  options.first_step = (int64_t{1} << 32) - 5;
  EXPECT_NO_THROW(rollout_into(env, options, nothing));
}

TEST(ParticleEnv, ThreadsThatShareOneLoseNoStep) {
  ParticleEnv shared(options_of("simple_tag")), alone(options_of("simple_tag"));
  const at::Tensor actions = actions_of(shared, 0.3);
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      Step out = shared.make_step();
      for (int i = 0; i < 9; ++i) shared.step_into(actions, out);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (int i = 0; i < 27; ++i) alone.step(actions);
  EXPECT_TRUE(shared.observe().equal(alone.observe()));
  EXPECT_TRUE(shared.state().steps.equal(alone.state().steps));
}

TEST(ParticleEnv, EnvironmentsOfSeveralThreadsAreIndependent) {
  const auto play = [] {
    ParticleEnv env(options_of("simple_tag"));
    Step step = env.make_step();
    for (int t = 0; t < 30; ++t) env.step_into(actions_of(env, 0.3), step);
    return step.observations;
  };
  const at::Tensor expected = play();
  std::vector<at::Tensor> found(3);
  std::vector<std::thread> threads;
  for (at::Tensor& result : found) threads.emplace_back([&] { result = play(); });
  for (std::thread& thread : threads) thread.join();
  for (const at::Tensor& result : found) EXPECT_TRUE(result.equal(expected));
}

}  // namespace
}  // namespace omar::particle
