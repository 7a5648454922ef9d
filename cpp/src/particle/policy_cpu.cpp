/// Forward pass of a small policy network in the worlds of one block: worlds side by side in vectors, weights
/// broadcast. Every sum runs in one order, with a fused multiply-add that is rounded once at each instruction level,
/// and nothing else is contracted: a data set has the same bytes on every CPU. The random numbers of rollouts, too.

#include <omar/core/pack.h>
#include <omar/core/rng.h>
#include <omar/particle/detail/kernel_table.h>

#include <cmath>
#include <cstring>

#include "core/draws_lanes.h"
#include "core/vector_bytes.h"
#include "particle/kernels.h"

namespace omar::particle::cpu::OMAR_LEVEL {
namespace {

using namespace detail;

constexpr int W = kVectorBytes / 4;
constexpr int G = kBlockWorlds / W;  ///< vectors per block
using V = Pack<float, W>;
/// Outputs at a time: with 32 registers 16 sums, which divide the usual widths; with 16 of them about 12.
constexpr int kTile = G == 1 ? 16 : (12 / G > 1 ? 12 / G : 2);

/// a b + c, rounded once: one instruction, or the C library where the CPU has none (x86 before AVX2).
OMAR_INLINE V fused(V a, V b, V c) {
#if defined(__AVX512F__)
  return V((V::Vector)_mm512_fmadd_ps((__m512)a.v, (__m512)b.v, (__m512)c.v));
#elif defined(__FMA__)
  return V((V::Vector)_mm256_fmadd_ps((__m256)a.v, (__m256)b.v, (__m256)c.v));
#else
  V y;
  for (int i = 0; i < W; ++i) y.v[i] = std::fma(a.v[i], b.v[i], c.v[i]);
  return y;
#endif
}

/// tanh by exp: branch-free, absolute error below 3e-7.
OMAR_INLINE float tanh_lane(float x) {
  const float sign = x < 0.0f ? -1.0f : 1.0f;
  float a = x * sign;
  a = a < 9.5f ? a : 9.5f;
  // exp(2a) = 2^n exp(r), |r| <= log(2) / 2
  const float n = static_cast<float>(static_cast<std::int32_t>(a * 2.88539008f + 0.5f));
  const float r = (a + a - n * 0.693145752f) - n * 1.42860677e-6f;
  const float p =
      1.0f +
      r * (1.0f + r * (0.5f + r * (1.66666667e-1f + r * (4.16666667e-2f + r * (8.33333333e-3f + r * 1.38888889e-3f)))));
  const float scale = rng::bits_float(static_cast<std::uint32_t>(static_cast<std::int32_t>(n) + 127) << 23);
  return sign * (1.0f - 2.0f / (p * scale + 1.0f));
}

/// Where numbers lie: number j of vector g is at data + g * group + j * W.
struct Columns {
  float* data;
  std::int64_t group;
};

/// Outputs [first, first + J) of a layer.
template <int J, bool Relu>
OMAR_INLINE void tile(const Layer& layer, int first, const float* x, std::int64_t group, Columns out) {
  V sum[J][G];
  for (int j = 0; j < J; ++j) {
    for (int g = 0; g < G; ++g) sum[j][g] = V(layer.biases[first + j]);
  }
  const float* weights = layer.weights + first;
  for (int i = 0; i < layer.in; ++i, weights += layer.out) {
    V input[G];
    for (int g = 0; g < G; ++g) input[g] = V::load(x + g * group + i * W);
    for (int j = 0; j < J; ++j) {
      const V weight(weights[j]);
      for (int g = 0; g < G; ++g) sum[j][g] = fused(weight, input[g], sum[j][g]);
    }
  }
  for (int j = 0; j < J; ++j) {
    for (int g = 0; g < G; ++g) {
      V y = sum[j][g];
      if constexpr (Relu) y = max_(y, V(0.0f));
      y.store(out.data + g * out.group + (first + j) * W);
    }
  }
}

template <bool Relu>
void run_layer(const Layer& layer, const float* x, std::int64_t group, Columns out) {
  int j = 0;
  for (; j + kTile <= layer.out; j += kTile) tile<kTile, Relu>(layer, j, x, group, out);
  for (; j + 2 <= layer.out; j += 2) tile<2, Relu>(layer, j, x, group, out);
  for (; j < layer.out; ++j) tile<1, Relu>(layer, j, x, group, out);
}

void forward(const ForwardArgs& args) {
  const float* x = args.x;
  std::int64_t group = args.group;
  float* scratch = args.scratch;
  int widest = 0;
  for (int l = 0; l + 1 < args.policy.count; ++l) {
    widest = widest > args.policy.layers[l].out ? widest : args.policy.layers[l].out;
  }
  for (int l = 0; l + 1 < args.policy.count; ++l) {
    const Columns hidden{scratch + (l % 2) * widest * kBlockWorlds, static_cast<std::int64_t>(widest) * W};
    run_layer<true>(args.policy.layers[l], x, group, hidden);
    x = hidden.data;
    group = hidden.group;
  }
  const Layer& last = args.policy.layers[args.policy.count - 1];
  run_layer<false>(last, x, group, {args.out, args.out_group});
  for (int g = 0; g < G; ++g) {
    float* out = args.out + g * args.out_group;
    for (int i = 0; i < last.out * W; ++i) out[i] = tanh_lane(out[i]);
  }
}

template <draws::Distribution distribution, Stream stream>
void draw_numbers(std::uint64_t seed, std::uint32_t world, std::uint32_t step, std::uint32_t draw,
                  float (*out)[kBlockWorlds]) {
  using Words = draws::OMAR_LEVEL::BlockWords<kBlockWorlds>;
  using draws::OMAR_LEVEL::Along;
  const Counter<std::uint32_t> first{draw, step, world, static_cast<std::uint32_t>(stream)};
  float numbers[counter::kPerBlock][kBlockWorlds];
  draws::OMAR_LEVEL::numbers<distribution>(Words::template at<Along::index>(seed, first), numbers);
  std::memcpy(out, numbers, sizeof(numbers));
}

}  // namespace

Forward policy_forward() { return forward; }
DrawNumbers uniform_actions() { return draw_numbers<draws::Distribution::uniform, Stream::uniform_actions>; }
DrawNumbers exploration_noise() { return draw_numbers<draws::Distribution::normal, Stream::exploration>; }

}  // namespace omar::particle::cpu::OMAR_LEVEL
