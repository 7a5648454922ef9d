#include <omar/nn/policy.h>

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/tanh.h>
#include <fcntl.h>

#include <bit>
#include <cstring>
#include <set>
#include <stdexcept>
#include <utility>

#include "core/check.h"
#include "core/file.h"
#include "core/json.h"
#include "core/sha256.h"
#include "nn/safetensors.h"

namespace omar::nn {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors files are little endian");

constexpr const char* kLoad = "nn::load";
constexpr const char* kAct = "nn::act";
constexpr std::string_view kFormat = "omar-policy", kVersion = "1", kPrey = "prey.";

using Tensors = std::map<std::string, at::Tensor>;
using Metadata = std::map<std::string, std::string>;

/// What keeps a whole safetensors file from being a policy.
struct NoPolicy : std::runtime_error {
  using std::runtime_error::runtime_error;
};

std::string joined(const Tensors& tensors) {
  std::string names;
  for (const auto& [name, tensor] : tensors) names += (names.empty() ? "" : ", ") + name;
  return names.empty() ? "no tensors" : names;
}

at::Tensor to_tensor(const std::string& name, const StoredTensor& stored) {
  if (stored.dtype != "F32") throw NoPolicy(name + " must be float32, got " + stored.dtype);
  const int64_t numbers = check::product(kLoad, name, stored.shape);
  if (stored.bytes.size() % sizeof(float) != 0 || static_cast<size_t>(numbers) != stored.bytes.size() / sizeof(float)) {
    throw NoPolicy(name + " has " + std::to_string(stored.bytes.size()) + " bytes, which are not " +
                   check::shape_text(stored.shape));
  }
  at::Tensor tensor = at::empty(stored.shape, at::kFloat);
  if (numbers > 0) std::memcpy(tensor.mutable_data_ptr<float>(), stored.bytes.data(), stored.bytes.size());
  return tensor;
}

/// As policy_file.py describes it.
std::string checksum(const SafeTensors& file) {
  Sha256 sum;
  for (const auto& [name, text] : file.metadata) {
    if (name == "sha256") continue;
    sum.add(name + " " + std::to_string(text.size()) + " " + text + "\n");
  }
  for (const auto& [name, tensor] : file.tensors) {
    sum.add(name + " " + check::shape_text(tensor.shape) + "\n");
    sum.add(tensor.bytes);
  }
  return sum.digest();
}

std::optional<References> read_references(const json::Value& entry) {
  if (entry.is_null()) return std::nullopt;
  References r{entry.at("random").number(), entry.at("expert").number(), entry.at("source").text()};
  if (r.random == r.expert) throw NoPolicy("references must be two different finite returns");
  return r;
}

Metadata read_source(const json::Value& entry) {
  Metadata source;
  try {
    for (const auto& [name, text] : entry.object()) source.emplace(name, text.text());
  } catch (const json::Error&) {
    throw NoPolicy("the source of a policy must map names to text");
  }
  return source;
}

/// Takes those that begin with `prefix`, without it.
Tensors take(Tensors& from, std::string_view prefix) {
  Tensors taken;
  for (auto entry = from.begin(); entry != from.end();) {
    if (entry->first.compare(0, prefix.size(), prefix) == 0) {
      taken.emplace(entry->first.substr(prefix.size()), entry->second);
      entry = from.erase(entry);
    } else {
      ++entry;
    }
  }
  return taken;
}

/// Weights and biases in order of the layers.
StackedMlp read_layers(const Tensors& tensors) {
  StackedMlp mlp;
  for (size_t i = 0; i < tensors.size() / 2; ++i) {
    const auto weight = tensors.find("weights." + std::to_string(i));
    const auto bias = tensors.find("biases." + std::to_string(i));
    if (weight == tensors.end() || bias == tensors.end()) break;
    mlp.weights.push_back(weight->second);
    mlp.biases.push_back(bias->second);
  }
  if (tensors.empty() || 2 * mlp.weights.size() != tensors.size()) throw NoPolicy("it holds " + joined(tensors));
  return mlp;
}

/// The networks are [N, in, out], fit together and are finite.
void check_networks(const StackedMlp& mlp) {
  try {
    validate(mlp);
  } catch (const c10::Error& error) {
    throw NoPolicy(error.what_without_backtrace());
  }
  for (size_t i = 0; i < mlp.weights.size(); ++i) {
    for (const auto& [kind, tensor] : {std::pair("weights.", mlp.weights[i]), std::pair("biases.", mlp.biases[i])}) {
      if (!at::isfinite(tensor).all().item<bool>()) {
        throw NoPolicy(kind + std::to_string(i) + " has numbers that are not finite");
      }
    }
  }
}

std::shared_ptr<const Policy> read_prey(const Metadata& metadata, const Tensors& tensors) {
  const auto text = metadata.find("prey");
  if ((text == metadata.end()) != tensors.empty()) {
    throw NoPolicy("its metadata and its tensors differ in whether there is a prey");
  }
  if (tensors.empty()) return nullptr;
  const json::Value entry = json::parse(text->second);
  Policy prey;
  prey.references = read_references(entry.at("references"));
  prey.source = read_source(entry.at("source"));
  prey.networks = read_layers(tensors);
  prey.task = metadata.at("task");
  check_networks(prey.networks);
  return std::make_shared<const Policy>(std::move(prey));
}

std::vector<Policy> read_seeds(const Metadata& metadata, Tensors tensors) {
  const auto entry = [&](const char* name) -> const std::string& {
    const auto found = metadata.find(name);
    if (found == metadata.end()) throw json::Error(std::string("no entry ") + name);
    return found->second;
  };
  const std::string& task = entry("task");
  const std::optional<References> references = read_references(json::parse(entry("references")));
  const json::Value parsed = json::parse(entry("sources"));
  const json::Array& sources = parsed.array();
  const std::shared_ptr<const Policy> prey = read_prey(metadata, take(tensors, kPrey));
  const StackedMlp all = read_layers(tensors);
  std::set<int64_t> seeds;
  for (const auto& [name, tensor] : tensors) seeds.insert(tensor.dim() > 0 ? tensor.size(0) : 0);
  if (sources.empty() || seeds != std::set<int64_t>{static_cast<int64_t>(sources.size())}) {
    throw NoPolicy("its tensors must hold one policy for each of its " + std::to_string(sources.size()) + " sources");
  }
  std::vector<Policy> policies;
  for (size_t s = 0; s < sources.size(); ++s) {
    Policy policy{{}, task, references, read_source(sources[s]), prey};
    const auto index = static_cast<int64_t>(s);
    for (const at::Tensor& weight : all.weights) policy.networks.weights.push_back(weight.select(0, index).clone());
    for (const at::Tensor& bias : all.biases) policy.networks.biases.push_back(bias.select(0, index).clone());
    check_networks(policy.networks);
    policies.push_back(std::move(policy));
  }
  return policies;
}

SafeTensors read_whole(std::string_view contents, const std::string& name) {
  try {
    return read_safetensors(contents);
  } catch (const json::Error& error) {
    TORCH_CHECK_VALUE(false, "[", kLoad, "] ", name, " is not a whole safetensors file: ", error.what());
  }
}

void check_size(std::size_t bytes, const std::string& name) {
  TORCH_CHECK_VALUE(bytes <= static_cast<std::size_t>(kMostPolicyBytes), "[", kLoad, "] ", name,
                    " is not a policy: it has ", bytes, " bytes, a policy at most ", kMostPolicyBytes);
}

void check_observations(const at::Tensor& observations) {
  TORCH_CHECK_TYPE(observations.defined() && observations.layout() == c10::kStrided && !observations.is_nested() &&
                       observations.is_floating_point(),
                   "[", kAct, "] `observations` must be dense floating-point numbers [..., N, O]");
}

}  // namespace

std::vector<Policy> parse_policies(std::string_view contents, const std::string& name) {
  check_size(contents.size(), name);
  const SafeTensors file = read_whole(contents, name);
  const auto entry = [&](const char* key) {
    const auto found = file.metadata.find(key);
    return found == file.metadata.end() ? std::string() : found->second;
  };
  TORCH_CHECK_VALUE(entry("format") == kFormat, "[", kLoad, "] ", name, " is not a policy: its `format` is not '",
                    kFormat, "'");
  TORCH_CHECK_VALUE(entry("format_version") == kVersion, "[", kLoad, "] ", name, " has format version '",
                    entry("format_version"), "', this version of omar reads '", kVersion, "'");
  try {
    Tensors tensors;
    for (const auto& [key, stored] : file.tensors) tensors.emplace(key, to_tensor(key, stored));
    TORCH_CHECK_VALUE(entry("sha256") == checksum(file), "[", kLoad, "] ", name,
                      " is damaged: its checksum does not match its contents");
    return read_seeds(file.metadata, std::move(tensors));
  } catch (const NoPolicy& error) {
    TORCH_CHECK_VALUE(false, "[", kLoad, "] ", name, " is not a policy: ", error.what());
  } catch (const json::Error&) {
    TORCH_CHECK_VALUE(false, "[", kLoad, "] ", name, " is damaged: an entry of its metadata has the wrong form");
  }
}

std::vector<Policy> load_all(const std::string& path) {
  File file(kLoad, path, O_RDONLY);
  const std::size_t bytes = file.bytes();
  check_size(bytes, "'" + path + "'");
  std::string contents(bytes, '\0');
  contents.resize(file.read(contents.data(), bytes, 0));
  return parse_policies(contents, "'" + path + "'");
}

Policy load(const std::string& path, int64_t seed) {
  std::vector<Policy> policies = load_all(path);
  TORCH_CHECK_VALUE(seed >= 0 && seed < static_cast<int64_t>(policies.size()), "[", kLoad, "] '", path,
                    "' holds the training seeds 0 to ", policies.size() - 1, ", got ", seed);
  return std::move(policies[static_cast<size_t>(seed)]);
}

at::Tensor act(const StackedMlp& policies, const at::Tensor& observations) {
  const at::NoGradGuard no_grad;
  check_observations(observations);
  validate(policies);
  const c10::IntArrayRef sizes = observations.sizes();
  const int64_t m = policies.members(), o = policies.in_features();
  TORCH_CHECK_VALUE(sizes.size() >= 2 && sizes[sizes.size() - 2] == m && sizes.back() == o, "[", kAct,
                    "] `observations` must be [..., N, O] = [..., ", m, ", ", o, "], got ", check::shape_text(sizes));
  const at::Tensor by_member = observations.reshape({-1, m, o}).transpose(0, 1).contiguous();
  std::vector<int64_t> shape = sizes.vec();
  shape.back() = policies.out_features();
  return at::tanh(forward(policies, by_member)).transpose(0, 1).reshape(shape);
}

at::Tensor act(const Policy& policy, const at::Tensor& observations) {
  const at::NoGradGuard no_grad;
  check_observations(observations);
  StackedMlp exact;
  exact.activation = policy.networks.activation;
  const auto options = at::TensorOptions().device(observations.device()).dtype(at::kDouble);
  for (const at::Tensor& weight : policy.networks.weights) exact.weights.push_back(weight.to(options));
  for (const at::Tensor& bias : policy.networks.biases) exact.biases.push_back(bias.to(options));
  return act(exact, observations.to(options)).to(observations.scalar_type());
}

}  // namespace omar::nn
