#include "nn/critic_block.h"
#include "nn/exp.h"

namespace omar::nn::OMAR_LEVEL {
namespace {

template <class T>
std::int64_t packed_size(const CriticShape& shape) {
  return PackedCritic<T>(shape).size;
}

template <class T>
std::int64_t scratch_size(const CriticShape& shape) {
  const std::int64_t block = states_per_block(shape);
  return Scratch<T>(shape, block, block, nullptr).size;
}

template <class T>
std::int64_t sums_size(const CriticShape& shape) {
  return SumsLayout<T>(shape).size;
}

template <class T, class F>
void pack_as(const CriticShape& s, const CriticWeights<const T>& from, T* packed) {
  using Element = typename F::Element;
  const PackedCritic<T> at(s);
  constexpr std::int64_t panel = kPanel<T>;
  for (std::int64_t i = 0; i < at.size; ++i) packed[i] = T(0);
  for (std::int64_t i = 0; i < s.obs + s.actions; ++i) {
    for (std::int64_t j = 0; j < s.hidden1; ++j) packed[at.w1 + i * at.padded.h1 + j] = from.w1[i * s.hidden1 + j];
  }
  // Panels of the second layer's weights and of their transpose.
  const std::int64_t h1 = s.hidden1, h2 = s.hidden2;
  F::pack({from.w2, h2, 1, h1, h2}, reinterpret_cast<Element*>(packed + at.w2), at.padded.h1 / panel);
  F::pack({from.w2, 1, h2, h2, h1}, reinterpret_cast<Element*>(packed + at.w2t), at.padded.h2 / panel);
  for (std::int64_t i = 0; i < s.hidden1; ++i) packed[at.b1 + i] = from.b1[i];
  for (std::int64_t i = 0; i < s.hidden2; ++i) packed[at.b2 + i] = from.b2[i];
  for (std::int64_t o = 0; o < s.outputs; ++o) {
    for (std::int64_t i = 0; i < h2; ++i) packed[at.w3 + o * at.padded.h2 + i] = from.w3[i * s.outputs + o];
    packed[at.b3 + o] = from.b3[o];
  }
}

template <class T>
void pack(const CriticShape& shape, const CriticWeights<const T>& from, Precision precision, T* packed) {
  precision == Precision::bf16 ? pack_as<T, Factors<T, Precision::bf16>>(shape, from, packed)
                               : pack_as<T, PlainFactors<T>>(shape, from, packed);
}

/// Calls body(block, first state, states) for each block of states.
template <class T, Precision P, class Body>
void for_blocks(const CriticPass<T>& pass, const CriticStates<T>& states, const Body& body) {
  const std::int64_t size = states_per_block(pass.shape);
  CriticBlock<T, P> block(pass, size, size);
  for (std::int64_t first = 0; first < states.count; first += size) {
    const std::int64_t count = states.count - first < size ? states.count - first : size;
    block.observe(states.obs + first * pass.shape.obs, count);
    body(block, first, count);
  }
}

template <class T, Precision P>
void values(const CriticPass<T>& pass, const CriticStates<T>& states, T* q) {
  const std::int64_t k = pass.shape.samples;
  for_blocks<T, P>(pass, states, [&](CriticBlock<T, P>& block, std::int64_t first, std::int64_t count) {
    block.template score<Keep::nothing>(block.rows_of(states.actions + first * k * pass.shape.actions), 0, count, k);
    const std::int64_t outputs = pass.shape.outputs, rows = block.scratch().rows;
    for (std::int64_t o = 0; o < outputs; ++o) {
      for (std::int64_t r = 0; r < count * k; ++r) q[(first * k + r) * outputs + o] = block.scratch().q[o * rows + r];
    }
  });
}

template <class T, Precision P>
void gradients(const CriticPass<T>& pass, const CriticStates<T>& states, const T* dq, T* sums,
               const InputGradients<T>& inputs) {
  const CriticShape& s = pass.shape;
  for_blocks<T, P>(pass, states, [&](CriticBlock<T, P>& block, std::int64_t first, std::int64_t count) {
    const T* actions = states.actions + first * s.samples * s.actions;
    block.template score<Keep::hidden>(block.rows_of(actions), 0, count, s.samples);
    const T* from = dq + first * s.samples * s.outputs;
    for (std::int64_t o = 0; o < s.outputs; ++o) {
      T* to = block.scratch().dq + o * block.scratch().rows;
      for (std::int64_t r = 0; r < count * s.samples; ++r) to[r] = from[r * s.outputs + o];
    }
    block.backward(actions, count, sums,
                   {inputs.wanted, inputs.obs == nullptr ? nullptr : inputs.obs + first * s.obs,
                    inputs.actions == nullptr ? nullptr : inputs.actions + first * s.samples * s.actions});
  });
}

template <class T, Precision P>
void logsumexp(const CriticPass<T>& pass, const CriticStates<T>& states, const T* log_density, T scale, T* out,
               T* sums) {
  const CriticShape& s = pass.shape;
  const std::int64_t k = s.samples;
  for_blocks<T, P>(pass, states, [&](CriticBlock<T, P>& block, std::int64_t first, std::int64_t count) {
    const T* actions = states.actions + first * k * s.actions;
    block.template score<Keep::hidden>(block.rows_of(actions), 0, count, k);
    const Scratch<T>& scratch = block.scratch();
    for (std::int64_t i = 0; i < count; ++i) {
      T* q = scratch.q + i * k;
      T* weight = scratch.dq + i * k;
      for (std::int64_t j = 0; j < k; ++j) q[j] -= log_density[(first + i) * k + j];
      T top = q[0];
      for (std::int64_t j = 1; j < k; ++j) top = q[j] > top ? q[j] : top;
      for (std::int64_t j = 0; j < k; ++j) weight[j] = exp_(q[j] - top);
      T total = T(0);
      for (std::int64_t j = 0; j < k; ++j) total += weight[j];
      out[first + i] = top + log_(total);
      for (std::int64_t j = 0; j < k; ++j) weight[j] *= scale / total;
    }
    block.backward(actions, count, sums, {Wanted::all, nullptr, nullptr});
  });
}

template <class T>
void collect(const CriticShape& s, const T* sums, std::int64_t chunks, const CriticWeights<T>& to) {
  const SumsLayout<T> at(s);
  // [rows, columns] of sums whose rows are `stride` apart
  const auto add = [&](T* out, std::int64_t from, std::int64_t rows, std::int64_t columns, std::int64_t stride) {
    for (std::int64_t c = 0; c < chunks; ++c) {
      for (std::int64_t i = 0; i < rows; ++i) {
        const T* part = sums + c * at.size + from + i * stride;
        T* total = out + i * columns;
        for (std::int64_t j = 0; j < columns; ++j) total[j] = c == 0 ? part[j] : total[j] + part[j];
      }
    }
  };
  add(to.w1, at.w1, s.obs + s.actions, s.hidden1, at.padded.h1);
  add(to.b1, at.b1, 1, s.hidden1, 0);
  add(to.w2, at.w2, s.hidden1, s.hidden2, at.padded.h2);
  add(to.b2, at.b2, 1, s.hidden2, 0);
  add(to.b3, at.b3, 1, s.outputs, 0);
  for (std::int64_t o = 0; o < s.outputs; ++o) {
    for (std::int64_t i = 0; i < s.hidden2; ++i) {
      T total = T(0);
      for (std::int64_t c = 0; c < chunks; ++c) total += sums[c * at.size + at.w3 + o * at.padded.h2 + i];
      to.w3[i * s.outputs + o] = total;
    }
  }
}

/// Picks the precision at run time.
template <class T, class Full, class Half>
void choose(const CriticPass<T>& pass, const Full& full, const Half& half) {
  pass.precision == Precision::bf16 ? half() : full();
}

template <class T>
CriticKernels<T> kernels() {
  constexpr Precision full = Precision::float32, half = Precision::bf16;
  CriticKernels<T> table;
  table.packed_size = &packed_size<T>;
  table.scratch_size = &scratch_size<T>;
  table.sums_size = &sums_size<T>;
  table.pack = &pack<T>;
  table.values = [](const CriticPass<T>& pass, const CriticStates<T>& states, T* q) {
    choose(pass, [&] { values<T, full>(pass, states, q); }, [&] { values<T, half>(pass, states, q); });
  };
  table.gradients = [](const CriticPass<T>& pass, const CriticStates<T>& states, const T* dq, T* sums,
                       const InputGradients<T>& inputs) {
    choose(
        pass, [&] { gradients<T, full>(pass, states, dq, sums, inputs); },
        [&] { gradients<T, half>(pass, states, dq, sums, inputs); });
  };
  table.logsumexp = [](const CriticPass<T>& pass, const CriticStates<T>& states, const T* log_density, T scale, T* out,
                       T* sums) {
    choose(
        pass, [&] { logsumexp<T, full>(pass, states, log_density, scale, out, sums); },
        [&] { logsumexp<T, half>(pass, states, log_density, scale, out, sums); });
  };
  table.collect = &collect<T>;
  return table;
}

}  // namespace

CriticKernels<float> critic_kernels_float() { return kernels<float>(); }
CriticKernels<double> critic_kernels_double() { return kernels<double>(); }

}  // namespace omar::nn::OMAR_LEVEL
