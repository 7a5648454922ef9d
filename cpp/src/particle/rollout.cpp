#include <omar/particle/rollout.h>

#include <ATen/ops/isfinite.h>

#include <algorithm>
#include <cmath>

#include "core/check_step.h"
#include "particle/env_impl.h"

namespace omar::particle {
namespace {

constexpr std::string_view kOp = "rollout";

/// A float32 CPU copy of every layer of a policy, one row of layers per member.
struct Layers {
  std::vector<at::Tensor> storage;
  std::vector<std::vector<Layer>> members;
  int64_t widest = 0;
};

/// Policies of `members` agents with observation size `obs`.
Layers read_layers(std::string_view name, const nn::StackedMlp& mlp, int64_t members, int64_t obs,
                   int64_t action_size) {
  nn::validate(mlp);
  TORCH_CHECK_VALUE(mlp.members() == members, "[", kOp, "] `", name, "` must have one member for each of its ", members,
                    " agents, got ", mlp.members());
  TORCH_CHECK_VALUE(mlp.in_features() == obs, "[", kOp, "] `", name, "` must take observations of size ", obs, ", got ",
                    mlp.in_features());
  TORCH_CHECK_VALUE(mlp.out_features() == action_size, "[", kOp, "] `", name, "` must give actions of size ",
                    action_size, ", got ", mlp.out_features());
  TORCH_CHECK_VALUE(!mlp.activation.has_layer_norm(), "[", kOp, "] `", name, "` must have no layer norm");
  Layers layers;
  layers.members.resize(static_cast<size_t>(members));
  for (size_t l = 0; l < mlp.weights.size(); ++l) {
    check::dtype(kOp, name, mlp.weights[l], at::kFloat);
    check::device(kOp, name, mlp.weights[l], at::kCPU);
    const at::Tensor weights = mlp.weights[l].detach().contiguous();
    const at::Tensor biases = mlp.biases[l].detach().contiguous();
    TORCH_CHECK_VALUE(at::isfinite(weights).all().item<bool>() && at::isfinite(biases).all().item<bool>(), "[", kOp,
                      "] `", name, "` must be finite, but holds NaN or infinite weights");
    const int64_t in = weights.size(1);
    const int64_t out = weights.size(2);
    for (int64_t m = 0; m < members; ++m) {
      layers.members[static_cast<size_t>(m)].push_back({weights.const_data_ptr<float>() + m * in * out,
                                                        biases.const_data_ptr<float>() + m * out, static_cast<int>(in),
                                                        static_cast<int>(out)});
    }
    layers.widest = std::max(layers.widest, out);
    layers.storage.push_back(weights);
    layers.storage.push_back(biases);
  }
  return layers;
}

/// Agents [begin, end) have observations of one size, where something is asked of them as a group.
void check_group(std::string_view name, bool asked, const std::vector<int64_t>& obs_sizes, int64_t begin, int64_t end) {
  const bool same = std::all_of(obs_sizes.begin() + begin, obs_sizes.begin() + end,
                                [&](int64_t size) { return size == obs_sizes[static_cast<size_t>(begin)]; });
  TORCH_CHECK_VALUE(!asked || same, "[", kOp, "] `", name, "` needs agents whose observations have one size, got ",
                    obs_sizes);
}

float* pointer(std::string_view name, const at::Tensor& tensor, c10::IntArrayRef sizes, std::string_view letters) {
  if (!tensor.defined()) return nullptr;
  check::shape(kOp, name, tensor, sizes, letters);
  check::dtype(kOp, name, tensor, at::kFloat);
  check::device(kOp, name, tensor, at::kCPU);
  TORCH_CHECK_VALUE(tensor.is_contiguous(), "[", kOp, "] `", name, "` must be contiguous, got strides ",
                    tensor.strides());
  return tensor.data_ptr<float>();
}

/// Pointers to the columns [E, T, agents, ...] of a group of agents.
RolloutColumns read_columns(const Transitions& out, int64_t e, int64_t t, int64_t agents, int64_t obs,
                            int64_t action_size) {
  constexpr std::string_view letters = "[E, T, agents, obs size]";
  RolloutColumns columns;
  columns.observations = pointer("observations", out.observations, {e, t, agents, obs}, letters);
  columns.actions = pointer("actions", out.actions, {e, t, agents, action_size}, "[E, T, agents, action size]");
  columns.rewards = pointer("rewards", out.rewards, {e, t, agents}, "[E, T, agents]");
  columns.next_observations = pointer("next_observations", out.next_observations, {e, t, agents, obs}, letters);
  return columns;
}

}  // namespace

Transitions make_transitions(const ParticleEnv& env, int64_t steps) {
  check::at_least(kOp, "steps", steps, 1);
  const int64_t e = env.num_envs();
  const int64_t a = env.num_agents();
  const int64_t o = *std::max_element(env.obs_sizes().begin(), env.obs_sizes().end());
  const auto empty = [](std::vector<int64_t> sizes) { return allocate(kOp, "transitions", sizes, at::kFloat); };
  return {empty({e, steps, a, o}), empty({e, steps, a, env.action_size()}), empty({e, steps, a}),
          empty({e, steps, a, o})};
}

void rollout_into(ParticleEnv& env, const RolloutOptions& options, Transitions& out,
                  const std::optional<Transitions>& prey_out) {
  ParticleEnv::Impl& m = *env.impl_;
  const ScenarioInfo& info = m.kernels->info;
  TORCH_CHECK_VALUE(m.options.device.is_cpu(), "[", kOp, "] runs on the CPU only, got an environment on ",
                    m.options.device);
  TORCH_CHECK_VALUE(m.options.dtype == at::kFloat, "[", kOp, "] needs a float32 environment, got ", m.options.dtype);
  check::at_least(kOp, "steps", options.steps, 1);
  const std::uint32_t first_step = check::steps(kOp, "first_step", options.first_step, options.steps);
  TORCH_CHECK_VALUE(std::isfinite(options.noise) && options.noise >= 0.0, "[", kOp,
                    "] `noise` must be finite and at least 0, got ", options.noise);
  TORCH_CHECK_VALUE(!options.prey || info.agents > info.learners, "[", kOp, "] `prey` given, but ", info.name,
                    " has no prey");
  TORCH_CHECK_VALUE(!prey_out || info.agents > info.learners, "[", kOp, "] `prey_out` given, but ", info.name,
                    " has no prey");
  check_group("policy", options.policy.has_value(), m.obs_sizes, 0, info.learners);
  check_group("prey", options.prey || prey_out, m.obs_sizes, info.learners, info.agents);
  Layers learners;
  Layers prey;
  if (options.policy)
    learners = read_layers("policy", *options.policy, info.learners, m.obs_sizes.front(), info.action_size);
  if (options.prey)
    prey = read_layers("prey", *options.prey, info.agents - info.learners, m.obs_sizes.back(), info.action_size);
  std::vector<Policy> policies(static_cast<size_t>(info.agents), Policy{nullptr, 0, 0.0f});
  for (size_t i = 0; i < learners.members.size(); ++i) {
    const std::vector<Layer>& layers = learners.members[i];
    policies[i] = {layers.data(), static_cast<int>(layers.size()), static_cast<float>(options.noise)};
  }
  for (size_t i = 0; i < prey.members.size(); ++i) {
    const std::vector<Layer>& layers = prey.members[i];
    policies[static_cast<size_t>(info.learners) + i] = {layers.data(), static_cast<int>(layers.size()), 0.0f};
  }

  const int64_t e = m.options.num_envs;
  const int64_t t = options.steps;
  RolloutArgs args;
  args.steps = t;
  args.seed = options.seed;
  args.first_step = first_step;
  args.policies = policies.data();
  args.apart = prey_out.has_value();
  args.out = read_columns(out, e, t, args.apart ? info.learners : info.agents, info.max_obs_size, info.action_size);
  if (args.apart)
    args.prey = read_columns(*prey_out, e, t, info.agents - info.learners, m.obs_sizes.back(), info.action_size);
  args.forward = cpu::policy_forward(m.level);
  args.uniform = cpu::uniform_actions(m.level);
  args.normal = cpu::exploration_noise(m.level);
  const Rollout run = m.line < 0 ? m.kernels->rollout : cpu::rollout(m.level, m.line);
  const std::lock_guard lock(m.mutex);
  m.untouched = false;
  const int64_t scratch_size = 2 * std::max<int64_t>({learners.widest, prey.widest, 1}) * kBlockWorlds;
  at::parallel_for(0, num_blocks(e), 1, [&](int64_t begin, int64_t end) {
    const at::Tensor scratch = at::empty({scratch_size}, at::TensorOptions().dtype(at::kFloat));
    run(m.args, args, begin, end, scratch.data_ptr<float>());
  });
}

}  // namespace omar::particle
