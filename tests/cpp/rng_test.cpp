/// Philox against the published vectors of Random123 (kat_vectors, philox4x32 with 10 rounds), draws against their
/// distributions, elementary functions against the C library in double precision.

#include <omar/core/rng.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

namespace omar::rng {
namespace {

void expect_words(const Block& got, std::uint32_t x0, std::uint32_t x1, std::uint32_t x2, std::uint32_t x3) {
  EXPECT_EQ(got.x0, x0);
  EXPECT_EQ(got.x1, x1);
  EXPECT_EQ(got.x2, x2);
  EXPECT_EQ(got.x3, x3);
}

TEST(Philox, GivesThePublishedVectors) {
  expect_words(philox({0, 0, 0, 0}, 0), 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8);
  expect_words(philox({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, 0xffffffffffffffff), 0x408f276d, 0x41c83b0e,
               0xa20bc7c6, 0x6d5451fd);
  expect_words(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0x299f31d0a4093822), 0xd16cfe09, 0x94fdcceb,
               0x5001e420, 0x24126ea1);
}

TEST(Philox, WordsPlaceTheirArgumentsInTheCounter) {
  const Block expected = philox({5, 4, 3, 2}, 77);
  expect_words(words(77, 2, 3, 4, 5), expected.x0, expected.x1, expected.x2, expected.x3);
}

/// Largest distance between the empirical and the given distribution function, times sqrt(n).
double kolmogorov_smirnov(std::vector<double> draws, const std::function<double(double)>& cdf) {
  std::sort(draws.begin(), draws.end());
  const auto n = static_cast<double>(draws.size());
  double distance = 0.0;
  for (size_t i = 0; i < draws.size(); ++i) {
    const double f = cdf(draws[i]);
    distance = std::max({distance, f - static_cast<double>(i) / n, static_cast<double>(i + 1) / n - f});
  }
  return distance * std::sqrt(n);
}

double mean_power(const std::vector<double>& draws, int power) {
  double sum = 0.0;
  for (const double x : draws) sum += std::pow(x, power);
  return sum / static_cast<double>(draws.size());
}

constexpr std::uint32_t kBlocks = 250'000;
constexpr double kSmirnov = 2.2;  // exceeded with probability 1e-4

TEST(Uniform, IsUniformInEveryCoordinateOfTheCounter) {
  for (int coordinate = 0; coordinate < 4; ++coordinate) {
    std::vector<double> draws;
    for (std::uint32_t i = 0; i < kBlocks; ++i) {
      std::uint32_t c[4] = {1, 2, 3, 4};
      c[coordinate] = i;
      const Block w = words(9, c[0], c[1], c[2], c[3]);
      for (const std::uint32_t word : {w.x0, w.x1, w.x2, w.x3}) draws.push_back(uniform(word));
    }
    EXPECT_LT(kolmogorov_smirnov(draws, [](double x) { return x; }), kSmirnov) << coordinate;
    EXPECT_NEAR(mean_power(draws, 1), 0.5, 5 * std::sqrt(1.0 / 12 / 1e6));
    double products = 0.0;  // neighbours are uncorrelated
    for (size_t i = 1; i < draws.size(); ++i) products += (draws[i] - 0.5) * (draws[i - 1] - 0.5);
    EXPECT_NEAR(products / 1e6, 0.0, 5 * (1.0 / 12) / 1e3);
  }
}

TEST(Uniform, StaysBelowOneAndKeepsItsBits) {
  EXPECT_EQ(uniform(0u), 0.0f);
  EXPECT_EQ(uniform(0xffffffffu), 1.0f - 0x1p-24f);
  EXPECT_EQ(static_cast<double>(uniform(0x12345678u)), static_cast<double>(0x123456u) * 0x1p-24);
  EXPECT_EQ(uniform<double>(0u, -2.0, 2.0), -2.0);
  EXPECT_LT(uniform<double>(0xffffffffu, -2.0, 2.0), 2.0);
}

TEST(LogPositive, IsRightToOneMillionth) {
  double worst = 0.0;
  // Every mantissa at some exponents, and every exponent at some mantissas: 1 / 2^24 .. 1 is what normal_pair uses.
  for (const float low : {0x1p-24f, 0.25f, 0.5f, 1.0f, 1024.0f}) {
    for (float x = low; x < 2 * low; x = std::nextafter(x, std::numeric_limits<float>::infinity())) {
      const double expected = std::log(static_cast<double>(x));
      if (expected == 0.0) {
        EXPECT_EQ(log_positive(x), 0.0f);
        continue;
      }
      worst = std::max(worst, std::abs(static_cast<double>(log_positive(x)) - expected) / std::abs(expected));
    }
  }
  for (int exponent = -126; exponent < 128; ++exponent) {
    for (const double mantissa : {1.0, 1.2, 1.41421, 1.41422, 1.7, 1.99999}) {
      const auto x = static_cast<float>(std::ldexp(mantissa, exponent));
      const double expected = std::log(static_cast<double>(x));
      if (expected != 0.0) {
        worst = std::max(worst, std::abs(static_cast<double>(log_positive(x)) - expected) / std::abs(expected));
      }
    }
  }
  EXPECT_LT(worst, 1e-6);
}

/// Box and Muller in double precision, from the same bits.
std::pair<double, double> reference_pair(std::uint32_t word0, std::uint32_t word1) {
  const double u = (static_cast<double>(word0 >> 8) + 1.0) * 0x1p-24;
  const double fraction = static_cast<double>(static_cast<std::int64_t>((word1 << 2) >> 9) - (1 << 22)) * 0x1p-23;
  const double angle = (static_cast<double>(word1 >> 30) + fraction) * 1.5707963267948966;
  const double r = std::sqrt(-2.0 * std::log(u));
  return {r * std::cos(angle), r * std::sin(angle)};
}

TEST(NormalPair, AgreesWithDoublePrecision) {
  double worst = 0.0, largest = 0.0;
  for (std::uint32_t i = 0; i < 1'000'000; ++i) {
    const Block w = words(3, 0, 0, 0, i);
    const NormalPair z = normal_pair(w.x0, w.x1);
    const auto [z0, z1] = reference_pair(w.x0, w.x1);
    worst = std::max({worst, std::abs(static_cast<double>(z.z0) - z0), std::abs(static_cast<double>(z.z1) - z1)});
  }
  for (const std::uint32_t word0 : {0u, 255u, 256u, 0xffffffffu}) {
    for (std::uint64_t word1 = 0; word1 < (std::uint64_t{1} << 32); word1 += 0xfffff) {
      const NormalPair z = normal_pair(word0, static_cast<std::uint32_t>(word1));
      const auto [z0, z1] = reference_pair(word0, static_cast<std::uint32_t>(word1));
      worst = std::max({worst, std::abs(static_cast<double>(z.z0) - z0), std::abs(static_cast<double>(z.z1) - z1)});
      largest = std::max({largest, std::abs(static_cast<double>(z.z0)), std::abs(static_cast<double>(z.z1))});
    }
  }
  EXPECT_LT(worst, 3e-6);
  EXPECT_LE(largest, 5.77);
}

TEST(NormalPair, IsNormal) {
  std::vector<double> all, products;
  for (std::uint32_t i = 0; i < 2 * kBlocks; ++i) {
    const Block w = words(21, 7, i, 0, 0);
    const NormalPair z = normal_pair(w.x0, w.x1);
    all.push_back(z.z0);
    all.push_back(z.z1);
    products.push_back(static_cast<double>(z.z0) * static_cast<double>(z.z1));
  }
  const double n = static_cast<double>(all.size());
  EXPECT_NEAR(mean_power(all, 1), 0.0, 5 / std::sqrt(n));
  EXPECT_NEAR(mean_power(all, 2), 1.0, 5 * std::sqrt(2 / n));
  EXPECT_NEAR(mean_power(all, 3), 0.0, 5 * std::sqrt(15 / n));
  EXPECT_NEAR(mean_power(all, 4), 3.0, 5 * std::sqrt(96 / n));
  EXPECT_NEAR(mean_power(products, 1), 0.0, 5 * std::sqrt(2 / n));
  EXPECT_LT(kolmogorov_smirnov(all, [](double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); }), kSmirnov);
}

}  // namespace
}  // namespace omar::rng
