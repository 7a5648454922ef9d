#include <omar/core/counter.h>

#include <ATen/Context.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

#include "particle/env_impl.h"
#include "particle/scenarios.h"

namespace omar::particle {
namespace {

/// The scenario for these options, which are checked on the way.
FoundScenario find_scenario(const ParticleEnvOptions& o) {
  const std::vector<FoundScenario> family = find_scenarios(o.scenario, o.dtype == at::kFloat);
  TORCH_CHECK_VALUE(!family.empty(), "[ParticleEnv] unknown scenario \"", o.scenario, "\"; known are ",
                    scenario_names());
  check::at_least("ParticleEnv", "num_envs", o.num_envs, 1);
  TORCH_CHECK_VALUE(o.num_envs <= counter::kIndices, "[ParticleEnv] `num_envs` must be at most ", counter::kIndices,
                    ", got ", o.num_envs);
  TORCH_CHECK_VALUE(o.dtype == at::kFloat || o.dtype == at::kDouble,
                    "[ParticleEnv] `dtype` must be float32 or float64, got ", o.dtype);
  TORCH_CHECK_VALUE(o.device.is_cpu() || o.device.is_cuda(), "[ParticleEnv] `device` must be cpu or cuda, got ",
                    o.device);
  const ScenarioInfo& first = family.front().kernels->info;
  TORCH_CHECK_VALUE(first.has_variants || o.reward == Reward::omar,
                    "[ParticleEnv] reward \"lowe\" is defined for simple_spread only, got scenario \"", o.scenario,
                    "\"");
  if (family.size() == 1) {
    TORCH_CHECK_VALUE(o.num_agents == ParticleEnvOptions{}.num_agents,
                      "[ParticleEnv] `num_agents` can be set for simple_spread only, ", o.scenario, " has ",
                      first.learners, " learners and ", first.agents - first.learners, " preys; got ", o.num_agents);
    return family.front();
  }
  const auto member = std::find_if(family.begin(), family.end(), [&](const FoundScenario& scenario) {
    return scenario.kernels->info.agents == o.num_agents;
  });
  TORCH_CHECK_VALUE(member != family.end(), "[ParticleEnv] `num_agents` must be 1..", family.size(), ", got ",
                    o.num_agents);
  return *member;
}

}  // namespace

ParticleEnv::Impl::Impl(const ParticleEnvOptions& o) : options(o) {
  const FoundScenario scenario = find_scenario(o);
  kernels = scenario.kernels;
  line = scenario.line;
  level = scenario.level;
  const cpu::KernelTable shipped = cpu::kernels(level);
  within = kernels->single ? shipped.floats_within : shipped.doubles_within;
  if (o.device.is_cuda()) {
    TORCH_CHECK_VALUE(line >= 0, "[ParticleEnv] \"", o.scenario,
                      "\" is a registered scenario, and those run on the CPU; got device ", o.device);
    cuda::require();
    TORCH_CHECK_VALUE(at::hasCUDA(), "[ParticleEnv] device ", o.device, " is not available: torch has no CUDA here");
  }
  const ScenarioInfo& info = kernels->info;
  obs_sizes.assign(info.obs_sizes, info.obs_sizes + info.agents);
  const int64_t blocks = num_blocks(o.num_envs);
  const auto numbers = at::TensorOptions().dtype(o.dtype).device(o.device);
  state = at::zeros({blocks, info.fields(), kBlockWorlds}, numbers);
  steps = at::zeros({blocks * kBlockWorlds}, numbers.dtype(at::kInt));
  episodes = at::zeros({blocks * kBlockWorlds}, numbers.dtype(at::kInt));
  options.device = state.device();  // "cuda" becomes "cuda:0"
  args.state = state.data_ptr();
  args.steps = steps.data_ptr<int32_t>();
  args.episodes = reinterpret_cast<std::uint32_t*>(episodes.data_ptr<int32_t>());
  args.seed = o.seed;
  args.draw_units = kernels->single ? shipped.draw_floats : shipped.draw_doubles;
  args.num_envs = o.num_envs;
  args.reward = o.reward;
  run(kernels->start, cuda::start, args);
}

ParticleEnv::ParticleEnv(const ParticleEnvOptions& options) : impl_(std::make_unique<Impl>(options)) {}
ParticleEnv::~ParticleEnv() = default;
ParticleEnv::ParticleEnv(ParticleEnv&&) noexcept = default;
ParticleEnv& ParticleEnv::operator=(ParticleEnv&&) noexcept = default;

const ParticleEnvOptions& ParticleEnv::options() const { return impl_->options; }
int64_t ParticleEnv::num_envs() const { return impl_->options.num_envs; }
int64_t ParticleEnv::num_agents() const { return impl_->kernels->info.agents; }
int64_t ParticleEnv::num_learners() const { return impl_->kernels->info.learners; }
int64_t ParticleEnv::num_landmarks() const { return impl_->kernels->info.landmarks; }
int64_t ParticleEnv::episode_length() const { return impl_->kernels->info.episode_length; }
int64_t ParticleEnv::action_size() const { return impl_->kernels->info.action_size; }
const std::vector<int64_t>& ParticleEnv::obs_sizes() const { return impl_->obs_sizes; }

Bodies ParticleEnv::bodies() const {
  const ScenarioInfo& info = impl_->kernels->info;
  return {{info.agent_sizes, info.agent_sizes + info.agents},
          {info.landmark_sizes, info.landmark_sizes + info.landmarks},
          info.obstacles};
}

at::Tensor ParticleEnv::reset(std::optional<std::uint64_t> seed) {
  Impl& m = *impl_;
  const std::lock_guard lock(m.mutex);
  if (seed) {
    m.options.seed = *seed;
    m.args.seed = *seed;
    m.episodes.zero_();
  } else if (!m.untouched) {
    m.episodes.add_(1);
  }
  m.untouched = false;
  m.run(m.kernels->start, cuda::start, m.args);
  return m.observe();
}

Step ParticleEnv::make_step() const {
  const Impl& m = *impl_;
  const int64_t e = m.options.num_envs;
  return {m.empty_observations(), m.empty({e, m.kernels->info.agents}, m.options.dtype), m.empty({e}, at::kBool),
          at::zeros({e, m.kernels->info.agents, m.kernels->info.max_obs_size}, m.state.options())};
}

Step ParticleEnv::step(const at::Tensor& actions) {
  Step out = make_step();
  step_into(actions, out);
  return out;
}

void ParticleEnv::step_into(const at::Tensor& actions, Step& out) {
  Impl& m = *impl_;
  const int64_t e = m.options.num_envs;
  const int64_t a = m.kernels->info.agents;
  const int64_t o = m.kernels->info.max_obs_size;
  m.check_input("ParticleEnv.step", "actions", actions, {e, a, m.kernels->info.action_size}, "[E, A, action size]");
  m.check_output("observations", out.observations, {e, a, o}, "[E, A, max obs size]", m.options.dtype);
  m.check_output("rewards", out.rewards, {e, a}, "[E, A]", m.options.dtype);
  m.check_output("truncated", out.truncated, {e}, "[E]", at::kBool);
  m.check_output("final_observations", out.final_observations, {e, a, o}, "[E, A, max obs size]", m.options.dtype);

  const at::Tensor input = actions.contiguous().resolve_neg();
  m.check_within("ParticleEnv.step", "actions", input, kMostAction);
  const std::lock_guard lock(m.mutex);
  WorldArgs call = m.args;
  call.actions = input.const_data_ptr();
  call.observations = out.observations.data_ptr();
  call.rewards = out.rewards.data_ptr();
  call.truncated = out.truncated.data_ptr<bool>();
  call.final_observations = out.final_observations.data_ptr();
  m.untouched = false;
  m.run(m.kernels->step, cuda::step, call);
}

at::Tensor ParticleEnv::observe() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->observe();
}

State ParticleEnv::state() const {
  Impl& m = *impl_;
  const ScenarioInfo& info = m.kernels->info;
  const std::lock_guard lock(m.mutex);
  return {m.points(0, info.agents), m.points(2 * info.agents, info.agents), m.points(4 * info.agents, info.landmarks),
          m.steps.narrow(0, 0, m.options.num_envs).to(at::kLong)};
}

void ParticleEnv::set_state(const at::Tensor& positions, const at::Tensor& velocities, const at::Tensor& landmarks,
                            const std::optional<at::Tensor>& steps) {
  Impl& m = *impl_;
  const ScenarioInfo& info = m.kernels->info;
  const int64_t e = m.options.num_envs;
  const auto check_points = [&](std::string_view name, const at::Tensor& tensor, int64_t n, std::string_view letters) {
    m.check_input("ParticleEnv.set_state", name, tensor, {e, n, 2}, letters);
    m.check_within("ParticleEnv.set_state", name, tensor.contiguous().resolve_neg(), kMostState);
  };
  check_points("positions", positions, info.agents, "[E, A, 2]");
  check_points("velocities", velocities, info.agents, "[E, A, 2]");
  check_points("landmarks", landmarks, info.landmarks, "[E, L, 2]");
  if (steps) {
    check::shape("ParticleEnv.set_state", "steps", *steps, {e}, "[E]");
    check::dtype("ParticleEnv.set_state", "steps", *steps, at::kLong);
    check::device("ParticleEnv.set_state", "steps", *steps, m.options.device);
    const int64_t least = steps->min().item<int64_t>();
    const int64_t most = steps->max().item<int64_t>();
    TORCH_CHECK_VALUE(least >= 0 && most < info.episode_length, "[ParticleEnv.set_state] `steps` must be 0..",
                      info.episode_length - 1, ", got values from ", least, " to ", most);
  }
  const std::lock_guard lock(m.mutex);
  m.set_points(0, positions);
  m.set_points(2 * info.agents, velocities);
  m.set_points(4 * info.agents, landmarks);
  m.steps.zero_();
  if (steps) m.steps.narrow(0, 0, e).copy_(*steps);
  m.untouched = false;
}

}  // namespace omar::particle
