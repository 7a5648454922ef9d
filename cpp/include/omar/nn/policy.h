#pragma once
/// Trained policies, from the files that `omar.train` writes and the package ships: a program acts with them without
/// Python.
///
/// N agents that a policy moves, O numbers of an observation, A numbers of an action, S training seeds of a file.
///
///   const auto policy = omar::nn::load("policy.safetensors");
///   at::Tensor actions = omar::nn::act(policy, observations);  // [..., N, O] -> [..., N, A]

#include <omar/core/host_device.h>
#include <omar/nn/stacked_mlp.h>

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace omar::nn {

/// Returns of episodes that count as 0 and 100 on the normalized scale.
struct References {
  double random = 0.0;
  double expert = 0.0;
  std::string source;  ///< who measured them, and against which prey
};

/// The deterministic policies of N agents on raw observations: a_n = tanh(mlp_n(o_n)).
struct Policy {
  StackedMlp networks;  ///< [N, in, out] a layer, float32, on the CPU; normalisation is folded into the first
  std::string task;     ///< such as "simple_tag"
  std::optional<References> references;       ///< none: the paper's
  std::map<std::string, std::string> source;  ///< who made it: algorithm, update, checksum of the dataset, ...
  std::shared_ptr<const Policy> prey;         ///< that the learners were trained against, or null

  int64_t agents() const { return networks.members(); }            ///< N
  int64_t obs_size() const { return networks.in_features(); }      ///< O
  int64_t action_size() const { return networks.out_features(); }  ///< A
};

inline constexpr std::int64_t kMostPolicyBytes = std::int64_t{256} << 20;  ///< of a file

/// The policy of one training seed, 0 <= seed < S. The file's format is described in
/// python/omar/behaviors/policy_file.py; everything in it is checked, its checksum too.
/// \throws std::system_error a file that cannot be read
/// \throws c10::ValueError a file that is not a policy, a damaged one, one of another version; no such seed
OMAR_API Policy load(const std::string& path, int64_t seed = 0);

/// The policies of all S seeds of a file. \throws as load
OMAR_API std::vector<Policy> load_all(const std::string& path);

/// The same from the contents of a file; `name` stands for it in errors. \throws c10::ValueError
OMAR_API std::vector<Policy> parse_policies(std::string_view contents, const std::string& name);

/// Actions [..., N, A] of raw observations [..., N, O], of their dtype and on their device. They are computed in
/// float64, so that they are exact to float32's last digits, however many observations come at once. No gradient is
/// recorded. \throws c10::ValueError a wrong shape; c10::TypeError no floating-point numbers
OMAR_API at::Tensor act(const Policy& policy, const at::Tensor& observations);

/// The same of any stack of M policies, [..., M, O] -> [..., M, A], computed in its dtype on its device, which the
/// observations share.
OMAR_API at::Tensor act(const StackedMlp& policies, const at::Tensor& observations);

}  // namespace omar::nn
