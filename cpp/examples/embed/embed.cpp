/// A host simulator in C++: steps worlds of simple_spread, keeps the transitions in a replay buffer, draws a minibatch
/// for each of its agents and asks the search for actions that a critic values more than those it saw.

#include <omar/omar.h>

#include <ATen/TensorOperators.h>
#include <ATen/ops/rand.h>

#include <cstdint>
#include <exception>
#include <iostream>

namespace {

constexpr int64_t kWorlds = 256, kSteps = 50, kBatch = 64;
constexpr std::uint64_t kSeed = 7;

void run() {
  omar::particle::ParticleEnv env({.scenario = "simple_spread", .num_envs = kWorlds, .seed = kSeed});
  const int64_t agents = env.num_agents(), obs_size = env.obs_sizes().front(), action_size = env.action_size();

  // 1. Collect: one row per transition, all agents in it.
  omar::replay::ReplayBuffer buffer(
      kWorlds * kSteps,
      {{"observations", {agents, obs_size}}, {"actions", {agents, action_size}}, {"rewards", {agents}}});
  at::Tensor observations = env.reset();
  double total = 0.0;
  for (int64_t t = 0; t < kSteps; ++t) {
    const at::Tensor actions = at::rand({kWorlds, agents, action_size}) * 2.0 - 1.0;
    const omar::particle::Step step = env.step(actions);
    buffer.extend({{"observations", observations}, {"actions", actions}, {"rewards", step.rewards}});
    observations = step.observations;
    total += step.rewards.mean().item<double>();
  }

  // 2. Draw: member m is agent m, [M, B, ...] with its own part of every field.
  const omar::replay::Columns batch =
      buffer.sample({.batch_size = kBatch, .members = agents, .seed = kSeed, .step = 0, .agents = agents});
  const at::Tensor& obs = batch[0].second;
  const at::Tensor& actions = batch[1].second;

  // 3. Search: a critic per agent (here with its first weights) and the best action it can be talked into.
  const omar::nn::StackedMlp critic = omar::nn::init(
      {.sizes = {obs_size + action_size, 64, 64, 1}, .seeds = std::vector<std::uint64_t>(agents, kSeed)});
  const auto [better, values] = omar::cem::maximize(critic, obs, actions, {}, {.seed = kSeed, .step = 0});

  std::cout << buffer.size() << " transitions, mean reward " << total / kSteps << '\n'
            << "actions " << better.sizes() << ", mean value " << values.mean().item<float>() << '\n';
}

}  // namespace

int main() {
  try {
    run();
  } catch (const std::exception& error) {
    std::cerr << "error: " << error.what() << '\n';
    return 1;
  }
}
