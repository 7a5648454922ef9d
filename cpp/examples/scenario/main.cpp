/// Steps 1,024 worlds of a task of one's own beside simple_spread, and prints how fast each is.

#include <omar/omar.h>

#include <ATen/TensorOperators.h>
#include <ATen/ops/rand.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <iostream>

#include "pursuit.h"

namespace {

constexpr int64_t kWorlds = 1024, kSteps = 400, kRounds = 10;

/// Steps of a world in a second, in millions: the best of ten rounds.
double speed(const std::string& scenario) {
  omar::particle::ParticleEnv env({.scenario = scenario, .num_envs = kWorlds, .seed = 1});
  const at::Tensor actions = at::rand({kWorlds, env.num_agents(), env.action_size()}) * 2.0 - 1.0;
  omar::particle::Step step = env.make_step();
  double best = 0.0;
  for (int64_t round = 0; round < kRounds; ++round) {
    const auto start = std::chrono::steady_clock::now();
    for (int64_t t = 0; t < kSteps; ++t) env.step_into(actions, step);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    best = std::max(best, static_cast<double>(kWorlds * kSteps) / seconds.count() / 1e6);
  }
  return best;
}

void run() {
  omar::particle::register_scenario<Pursuit>("pursuit");
  omar::particle::ParticleEnv env({.scenario = "pursuit", .num_envs = 2});
  std::cout << env.num_agents() << " agents, " << env.num_learners() << " of them learn, actions of "
            << env.action_size() << " numbers, episodes of " << env.episode_length() << " steps, observations "
            << env.reset().sizes() << '\n';
  std::cout << "pursuit " << speed("pursuit") << ", simple_spread " << speed("simple_spread")
            << " million steps of a world a second\n";
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
