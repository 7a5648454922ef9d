// Policy files in C++: what ships loads and acts, and what is no policy is refused in one sentence.

#include <omar/nn/policy.h>

#include <ATen/TensorOperators.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/tanh.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

#include "core/json.h"
#include "core/sha256.h"

namespace omar::nn {
namespace {

const std::filesystem::path kShipped = OMAR_SHIPPED_POLICIES;

std::string read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

template <class Error, class Body>
std::string message(const Body& body) {
  try {
    body();
  } catch (const Error& error) {
    if constexpr (std::is_base_of_v<c10::Error, Error>) return error.what_without_backtrace();
    return error.what();
  }
  return "nothing thrown";
}

/// A safetensors file with this header and these bytes.
std::string file_of(const std::string& header, const std::string& bytes = "") {
  std::string text;
  for (int i = 0; i < 8; ++i) text += static_cast<char>(header.size() >> 8 * i & 255);
  return text + header + bytes;
}

TEST(Policy, ShippedOnesLoad) {
  const Policy spread = load(kShipped / "simple_spread" / "expert.safetensors");
  EXPECT_EQ(spread.task, "simple_spread");
  EXPECT_EQ(spread.agents(), 3);
  EXPECT_EQ(spread.obs_size(), 18);
  EXPECT_EQ(spread.action_size(), 2);
  EXPECT_EQ(spread.prey, nullptr);
  const Policy tag = load(kShipped / "simple_tag" / "medium.safetensors");
  ASSERT_NE(tag.prey, nullptr);
  EXPECT_EQ(tag.prey->agents(), 1);
  EXPECT_EQ(tag.prey->obs_size(), 14);
  EXPECT_FALSE(tag.source.empty());
  EXPECT_EQ(load(kShipped / "simple_world" / "prey.safetensors").agents(), 1);
}

TEST(Policy, ActsAsItsNetworks) {
  const Policy policy = load(kShipped / "simple_tag" / "expert.safetensors");
  const at::Tensor observations = at::randn({4, 5, policy.agents(), policy.obs_size()}, at::kDouble);
  const at::Tensor actions = act(policy, observations);
  EXPECT_EQ(actions.sizes(), at::IntArrayRef({4, 5, policy.agents(), policy.action_size()}));
  for (int64_t n = 0; n < policy.agents(); ++n) {
    at::Tensor x = observations.select(2, n);
    for (size_t i = 0; i < policy.networks.weights.size(); ++i) {
      if (i > 0) x = at::relu(x);
      x = at::matmul(x, policy.networks.weights[i][n].to(at::kDouble)) + policy.networks.biases[i][n].to(at::kDouble);
    }
    EXPECT_LT((at::tanh(x) - actions.select(2, n)).abs().max().item<double>(), 1e-12);
  }
  const at::Tensor single = act(policy, observations.to(at::kFloat));
  EXPECT_EQ(single.scalar_type(), at::kFloat);
  EXPECT_LT((single - actions).abs().max().item<double>(), 1e-6);
  EXPECT_EQ(act(policy, observations.narrow(0, 0, 0)).sizes(), at::IntArrayRef({0, 5, 3, 2}));
}

TEST(Policy, RefusesObservationsThatDoNotFit) {
  const Policy policy = load(kShipped / "simple_spread" / "medium.safetensors");
  EXPECT_EQ(message<c10::ValueError>([&] { act(policy, at::randn({7, 3, 17})); }),
            "[nn::act] `observations` must be [..., N, O] = [..., 3, 18], got [7, 3, 17]");
  EXPECT_EQ(message<c10::TypeError>([&] { act(policy, at::randn({3, 18}).to(at::kLong)); }),
            "[nn::act] `observations` must be dense floating-point numbers [..., N, O]");
  EXPECT_EQ(message<c10::TypeError>([&] { act(policy, at::Tensor()); }),
            "[nn::act] `observations` must be dense floating-point numbers [..., N, O]");
}

TEST(Policy, FilesThatAreNotThere) {
  EXPECT_NE(message<std::system_error>([] { load("/nowhere/policy.safetensors"); }).find("No such file"),
            std::string::npos);
  const std::string path = kShipped / "simple_spread" / "expert.safetensors";
  EXPECT_EQ(message<c10::ValueError>([&] { load(path, 1); }),
            "[nn::load] '" + path + "' holds the training seeds 0 to 0, got 1");
  EXPECT_NE(message<c10::ValueError>([&] { load(path, -1); }).find("got -1"), std::string::npos);
}

TEST(Policy, EveryFlippedBitAndEveryCutIsNoticed) {
  const std::string whole = read(kShipped / "simple_tag" / "prey.safetensors");
  ASSERT_EQ(parse_policies(whole, "it").size(), 1u);
  for (size_t place = 0; place < whole.size(); place += place < 3000 ? 7 : 997) {
    std::string damaged = whole;
    damaged[place] = static_cast<char>(damaged[place] ^ 4);
    EXPECT_THROW(parse_policies(damaged, "it"), c10::ValueError) << place;
    EXPECT_THROW(parse_policies(whole.substr(0, place), "it"), c10::ValueError) << place;
  }
}

TEST(Policy, FilesThatAreNoSafetensors) {
  const auto reason = [](const std::string& contents) {
    return message<c10::ValueError>([&] { parse_policies(contents, "it"); });
  };
  const std::string head = "[nn::load] it is not a whole safetensors file: ";
  EXPECT_EQ(reason("short"), head + "it has fewer than 8 bytes");
  EXPECT_EQ(reason(std::string(8, '\xff')), head + "its header is longer than the file");
  EXPECT_EQ(reason(file_of("[]")), head + "a value is not an object");
  EXPECT_EQ(reason(file_of(std::string(100, '['))), head + "values nested too deep at byte 65 of its JSON");
  EXPECT_EQ(reason(file_of("{}", "x")), head + "it holds bytes that belong to no tensor");
  EXPECT_EQ(reason(file_of(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,8]}})", "1234")),
            head + "the bytes of a tensor lie outside the file");
  EXPECT_EQ(reason(file_of(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}})", "123456")),
            head + "the bytes of its tensors have gaps or overlap");
  EXPECT_EQ(reason(file_of(R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,0]}})")),
            head + "a number is not an integer of at least 0");
  EXPECT_EQ(reason(file_of(R"({"a":{"dtype":"F32","shape":[1]}})")), head + "an object has no entry \"data_offsets\"");
  EXPECT_EQ(reason(file_of(R"({"__metadata__":{"a":1}})")), head + "a value is not text");
}

TEST(Policy, ATensorHasTheBytesOfItsShape) {
  const std::string metadata = R"("__metadata__":{"format":"omar-policy","format_version":"1"})";
  const auto reason = [&](const std::string& entry) {
    const std::string file = file_of("{" + metadata + R"(,"w":)" + entry + "}", "1234");
    return message<c10::ValueError>([&] { parse_policies(file, "it"); });
  };
  EXPECT_EQ(reason(R"({"dtype":"F32","shape":[2],"data_offsets":[0,4]})"),
            "[nn::load] it is not a policy: w has 4 bytes, which are not [2]");
  EXPECT_EQ(reason(R"({"dtype":"I32","shape":[1],"data_offsets":[0,4]})"),
            "[nn::load] it is not a policy: w must be float32, got I32");
  EXPECT_NE(reason(R"({"dtype":"F32","shape":[4611686018427387904,8],"data_offsets":[0,4]})").find("can address"),
            std::string::npos);
}

TEST(Json, IsStrict) {
  for (const char* text : {"",
                           "nul",
                           "01",
                           "1.",
                           "-",
                           "+1",
                           "1e",
                           "[1,]",
                           "{\"a\":1,}",
                           "{\"a\":1,\"a\":2}",
                           "\"\\x\"",
                           "\"\\ud800\"",
                           "\"\\ud800\\u0041\"",
                           "\"\n\"",
                           "\"open",
                           "1 2",
                           "NaN",
                           "\"\xff\"",
                           "\"\xc0\x80\"",
                           "\"\xed\xa0\x80\"",
                           "\"\xf4\x90\x80\x80\"",
                           "\"\\u00g0\"",
                           "{a:1}"}) {
    EXPECT_THROW(json::parse(text), json::Error) << text;
  }
  EXPECT_EQ(json::parse("\"\\u00e9\\ud83d\\ude00\\n\xc3\xa9\"").text(), "\xc3\xa9\xf0\x9f\x98\x80\n\xc3\xa9");
  EXPECT_EQ(json::parse(" -1.5e2 ").number(), -150.0);
  EXPECT_EQ(json::parse("9223372036854775807").integer(), 9223372036854775807);
  EXPECT_THROW(json::parse("9223372036854775808").integer(), json::Error);
  EXPECT_THROW(json::parse("1e999").number(), json::Error);
  EXPECT_THROW(json::parse("1.0").integer(), json::Error);
  EXPECT_TRUE(json::parse("{\"a\":[null]}").at("a").array().front().is_null());
}

TEST(Sha256, IsThatOfTheStandard) {
  const auto digest = [](const std::string& text) {
    Sha256 sum;
    for (const char c : text) sum.add(std::string(1, c));
    return sum.digest();
  };
  EXPECT_EQ(digest(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(digest("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(digest("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

}  // namespace
}  // namespace omar::nn
