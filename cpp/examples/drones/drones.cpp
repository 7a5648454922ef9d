/// drones POLICY: a simulator with a state and a loop of its own, which omar knows nothing of. Teams of three drones
/// fly over a square field of 200 m with three beacons. It shows what a host program takes from the library:
///   1. a trained policy of simple_spread, which acts for all teams at once (nn::load, nn::act),
///   2. a replay buffer of what happened (ReplayBuffer),
///   3. a search for better actions, scored by critics (cem::maximize with a StackedMlp) and by the host's own model.

#include <omar/omar.h>

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <exception>
#include <iostream>
#include <random>
#include <vector>

namespace {

constexpr int kDrones = 3, kTeams = 64, kSteps = 50, kBatch = 32;
constexpr double kField = 100.0;  ///< half the field's side, metres: 1 for the policy
constexpr double kTick = 0.1, kThrust = 500.0, kDrag = 2.5;
constexpr std::uint64_t kSeed = 11;

struct Vector {
  double x = 0.0, y = 0.0;
};
double distance(Vector a, Vector b) { return std::hypot(a.x - b.x, a.y - b.y); }

struct Drone {
  Vector position, velocity;

  void fly(Vector thrust) {
    velocity.x += kTick * (kThrust * thrust.x - kDrag * velocity.x);
    velocity.y += kTick * (kThrust * thrust.y - kDrag * velocity.y);
    position.x += kTick * velocity.x;
    position.y += kTick * velocity.y;
  }
};

/// A team and the beacons that it should be near.
struct Team {
  std::array<Drone, kDrones> drones;
  std::array<Vector, kDrones> beacons;

  explicit Team(std::mt19937_64& random) {
    std::uniform_real_distribution<double> place(-kField, kField);
    for (Drone& drone : drones) drone.position = {place(random), place(random)};
    for (Vector& beacon : beacons) beacon = {place(random), place(random)};
  }

  /// Metres from the beacons to the nearest drone of each.
  double cost() const {
    double sum = 0.0;
    for (const Vector& beacon : beacons) {
      double nearest = distance(drones[0].position, beacon);
      for (const Drone& drone : drones) nearest = std::min(nearest, distance(drone.position, beacon));
      sum += nearest;
    }
    return sum;
  }

  /// What drone i sees, as the policy was trained to see it: velocity, place, beacons, other drones, four zeros.
  void observe(int i, float* out) const {
    const Drone& me = drones[static_cast<size_t>(i)];
    const auto put = [&](double x, double y) {
      *out++ = static_cast<float>(x / kField);
      *out++ = static_cast<float>(y / kField);
    };
    put(me.velocity.x, me.velocity.y);
    put(me.position.x, me.position.y);
    for (const Vector& beacon : beacons) put(beacon.x - me.position.x, beacon.y - me.position.y);
    for (const Drone& other : drones) {
      if (&other != &me) put(other.position.x - me.position.x, other.position.y - me.position.y);
    }
    put(0.0, 0.0);
    put(0.0, 0.0);
  }
};

constexpr int64_t kObs = 18, kActions = 2;

at::Tensor observe(const std::vector<Team>& teams) {
  at::Tensor all = at::empty({static_cast<int64_t>(teams.size()), kDrones, kObs});
  float* row = all.mutable_data_ptr<float>();
  for (const Team& team : teams) {
    for (int i = 0; i < kDrones; ++i, row += kObs) team.observe(i, row);
  }
  return all;
}

/// One tick of all teams with actions [teams, drones, 2]; returns rewards [teams, drones].
at::Tensor fly(std::vector<Team>& teams, const at::Tensor& actions) {
  at::Tensor rewards = at::empty({static_cast<int64_t>(teams.size()), kDrones});
  const auto thrust = actions.accessor<float, 3>();
  auto reward = rewards.accessor<float, 2>();
  for (size_t t = 0; t < teams.size(); ++t) {
    const auto row = static_cast<int64_t>(t);
    for (int i = 0; i < kDrones; ++i)
      teams[t].drones[static_cast<size_t>(i)].fly({thrust[row][i][0], thrust[row][i][1]});
    for (int i = 0; i < kDrones; ++i) reward[row][i] = static_cast<float>(-teams[t].cost() / kField);
  }
  return rewards;
}

double mean_cost(const std::vector<Team>& teams) {
  double sum = 0.0;
  for (const Team& team : teams) sum += team.cost();
  return sum / static_cast<double>(teams.size());
}

/// The host's own score of candidates [drones, teams, K, 2]: the team's cost a second later if only this drone acted.
at::Tensor score(const std::vector<Team>& teams, const at::Tensor& candidates) {
  at::Tensor scores = at::empty({kDrones, static_cast<int64_t>(teams.size()), candidates.size(2)});
  const auto u = candidates.accessor<float, 4>();
  auto q = scores.accessor<float, 3>();
  for (int i = 0; i < kDrones; ++i) {
    for (int64_t t = 0; t < q.size(1); ++t) {
      for (int64_t k = 0; k < q.size(2); ++k) {
        Team team = teams[static_cast<size_t>(t)];
        for (int tick = 0; tick < 10; ++tick) team.drones[static_cast<size_t>(i)].fly({u[i][t][k][0], u[i][t][k][1]});
        q[i][t][k] = static_cast<float>(-team.cost() / kField);
      }
    }
  }
  return scores;
}

void run(const char* path) {
  const omar::nn::Policy policy = omar::nn::load(path);
  std::mt19937_64 random(kSeed);
  std::vector<Team> teams(kTeams, Team(random));
  for (Team& team : teams) team = Team(random);
  const std::vector<Team> first = teams;

  // 1. and 2.: the policy flies, the buffer records.
  omar::replay::ReplayBuffer buffer(
      kTeams * kSteps, {{"observations", {kDrones, kObs}}, {"actions", {kDrones, kActions}}, {"rewards", {kDrones}}});
  const double start = mean_cost(teams);
  for (int step = 0; step < kSteps; ++step) {
    const at::Tensor observations = observe(teams);
    const at::Tensor actions = omar::nn::act(policy, observations);
    buffer.extend({{"observations", observations}, {"actions", actions}, {"rewards", fly(teams, actions)}});
  }
  std::cout << buffer.size() << " transitions; beacons are " << start / kDrones << " m from a drone at first, "
            << mean_cost(teams) / kDrones << " m after the policy of " << policy.task << " flew\n";

  // 3. Twin critics for each drone (here with their first weights): the less sure of the two scores an action.
  const omar::replay::Columns batch = buffer.sample(
      {.batch_size = kBatch, .members = kDrones, .seed = kSeed, .step = 0, .agents = kDrones});  // [M, B, ...]
  const omar::nn::StackedMlp critics =
      omar::nn::init({.sizes = {kObs + kActions, 64, 64, 1}, .seeds = std::vector<std::uint64_t>(2 * kDrones, kSeed)});
  omar::cem::CemOptions options;
  options.reduction = omar::cem::Reduction::min;
  const auto [better, values] =
      omar::cem::maximize(critics, batch[0].second, batch[1].second, options, {.seed = kSeed, .step = 0});
  std::cout << "critics prefer " << better.sizes() << ", mean value " << values.mean().item<float>() << '\n';

  // 3. The same search, asking the host's own model instead: every tick, for every drone of every team.
  teams = first;
  for (int step = 0; step < kSteps; ++step) {
    const at::Tensor proposed = omar::nn::act(policy, observe(teams)).transpose(0, 1).contiguous();
    const auto [chosen, unused] =
        omar::cem::maximize([&](const at::Tensor& candidates) { return score(teams, candidates); }, proposed, {},
                            {.seed = kSeed, .step = step});
    fly(teams, chosen.transpose(0, 1).contiguous());
  }
  std::cout << mean_cost(teams) / kDrones << " m after the same with searched actions\n";
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: drones POLICY, such as python/omar/behaviors/simple_spread/expert.safetensors\n";
    return 2;
  }
  try {
    run(argv[1]);
  } catch (const std::exception& error) {
    std::cerr << "error: " << error.what() << '\n';
    return 1;
  }
}
