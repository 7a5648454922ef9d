/// consumer [POLICY]: errors cross the library's boundary, a minibatch holds what was stored, and a policy file acts:
/// prints its actions for the observations sin(0), sin(1), ... of two teams.

#include <omar/omar.h>

#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/sin.h>
#include <c10/util/Exception.h>

#include <cstdint>
#include <iomanip>
#include <iostream>
#include <string>

namespace {

const std::string kHeaders = std::to_string(OMAR_VERSION_MAJOR) + "." + std::to_string(OMAR_VERSION_MINOR) + "." +
                             std::to_string(OMAR_VERSION_PATCH);

bool replay_works() {
  omar::replay::ReplayBuffer buffer(8, {{"x", {2}}});
  const at::Tensor x = at::arange(16, at::kFloat).reshape({8, 2});
  buffer.extend({{"x", x}});
  const omar::replay::SampleOptions options{.batch_size = 8};
  const at::Tensor rows = buffer.sample_indices(options);
  if (!at::equal(buffer.sample(options)[0].second[0], x.index_select(0, rows[0]))) return false;
  try {
    buffer.size(1);
    return false;
  } catch (const c10::ValueError&) {
    return true;
  }
}

void act(const char* path) {
  const omar::nn::Policy policy = omar::nn::load(path);
  const int64_t count = 2 * policy.agents() * policy.obs_size();
  const at::Tensor observations = at::sin(at::arange(count, at::kFloat));
  const at::Tensor actions =
      omar::nn::act(policy, observations.reshape({2, policy.agents(), policy.obs_size()})).flatten();
  std::cout << std::setprecision(9);
  for (int64_t i = 0; i < actions.numel(); ++i) std::cout << actions[i].item<float>() << '\n';
}

}  // namespace

int main(int argc, char** argv) {
  if (!replay_works()) return 1;
  if (omar::version() != kHeaders) return 2;
  std::cout << "level " << omar::to_string(omar::cpu_level()) << '\n';
  try {
    if (argc > 1) act(argv[1]);
  } catch (const std::exception& error) {
    std::cerr << "error: " << error.what() << '\n';
    return 3;
  }
}
