#include "nn/fused_critic.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <type_traits>
#include <vector>

#include "core/dispatch.h"

namespace omar::nn {

template <class T>
CriticKernels<T> chosen_critic_kernels() {
  if constexpr (std::is_same_v<T, float>) {
    return OMAR_FOR_CPU_BF16(critic_kernels_float)();
  } else {
    return OMAR_FOR_CPU_BF16(critic_kernels_double)();
  }
}

std::vector<int64_t> hidden_widths(const StackedMlp& mlp) {
  std::vector<int64_t> widths;
  for (size_t i = 0; i + 1 < mlp.weights.size(); ++i) widths.push_back(mlp.weights[i].size(2));
  return widths;
}

CriticShape critic_shape(const StackedMlp& critic, int64_t samples, int64_t action_size,
                         const std::vector<int64_t>& hidden) {
  return {critic.in_features() - action_size,  action_size,      samples, critic.out_features(), hidden.data(),
          static_cast<int64_t>(hidden.size()), critic.activation};
}

namespace {

/// Pointers to the parameters of one network of stacks that are contiguous but for their first axis.
template <class T, class Stack>
struct NetworkPointers {
  std::vector<T*> weights, biases, norm_scales, norm_shifts;

  NetworkPointers(Stack& stack, int64_t network) {
    const auto part = [&](auto& tensor) {
      const int64_t offset = network * tensor.stride(0);
      if constexpr (std::is_const_v<T>) {
        return tensor.template const_data_ptr<std::remove_const_t<T>>() + offset;
      } else {
        return tensor.template mutable_data_ptr<T>() + offset;
      }
    };
    for (auto& weight : stack.weights) weights.push_back(part(weight));
    for (auto& bias : stack.biases) biases.push_back(part(bias));
    for (auto& scale : stack.norm_scales) norm_scales.push_back(part(scale));
    for (auto& shift : stack.norm_shifts) norm_shifts.push_back(part(shift));
  }
  operator CriticWeights<T>() const { return {weights.data(), biases.data(), norm_scales.data(), norm_shifts.data()}; }
};

}  // namespace

template <class T>
at::Tensor pack_networks(const CriticKernels<T>& kernels, const CriticShape& shape, const StackedMlp& critic,
                         Precision precision) {
  std::vector<at::Tensor> contiguous = to_list(critic);
  for (at::Tensor& tensor : contiguous) {
    // Parameters are often columns of one flat tensor: a row of it for each network.
    if (!tensor.select(0, 0).is_contiguous()) tensor = tensor.contiguous();
  }
  const StackedMlp parts = from_list(contiguous, critic.activation);
  const int64_t networks = critic.members();
  const int64_t size = (kernels.packed_size(shape) + 15) / 16 * 16;
  at::Tensor packed = at::empty({networks, size}, parts.weights[0].options());
  T* to = packed.template mutable_data_ptr<T>();
  at::parallel_for(0, networks, 8, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      kernels.pack(shape, NetworkPointers<const T, const StackedMlp>(parts, n), precision, to + n * size);
    }
  });
  return packed;
}

template CriticKernels<float> chosen_critic_kernels<float>();
template CriticKernels<double> chosen_critic_kernels<double>();
template at::Tensor pack_networks<float>(const CriticKernels<float>&, const CriticShape&, const StackedMlp&, Precision);
template at::Tensor pack_networks<double>(const CriticKernels<double>&, const CriticShape&, const StackedMlp&,
                                          Precision);

namespace {

/// A critic with its inputs, contiguous, packed, and cut into pieces: ranges of states of one network.
template <class T>
class FusedCritic {
 public:
  FusedCritic(const StackedMlp& critic, at::TensorList obs, const at::Tensor& actions, Precision precision)
      : kernels_(chosen_critic_kernels<T>()),
        precision_(precision),
        hidden_(hidden_widths(critic)),
        shape_(critic_shape(critic, actions.size(2), actions.size(3), hidden_)),
        members_(actions.size(0)),
        batch_(actions.size(1)),
        networks_(critic.members()),
        actions_(actions.contiguous()),
        packed_(pack_networks(kernels_, shape_, critic, precision)),
        sums_size_(kernels_.sums_size(shape_)) {
    for (const at::Tensor& part : obs) {
      // Rows may be apart: parts can be columns of wider tensors.
      obs_.push_back(part.size(2) == 1 || part.stride(2) == 1 ? part : part.contiguous());
    }
    int64_t in = critic.in_features();
    for (const int64_t width : hidden_) {
      products_ += in * width;
      in = width;
    }
  }
  FusedCritic(const FusedCritic&) = delete;  // shape_ points into hidden_
  FusedCritic& operator=(const FusedCritic&) = delete;

  at::Tensor values() {
    // Values depend on no cut: 16 pieces or more, for threads to share.
    constexpr int64_t least_pieces = 16, least_states = 64;
    const Cut cut = cut_into((least_pieces + networks_ - 1) / networks_, least_states);
    at::Tensor q =
        at::empty({networks_ / members_, members_, batch_, shape_.samples * shape_.outputs}, packed_.options());
    T* data = q.template mutable_data_ptr<T>();
    for_pieces(cut, [&](const CriticPass<T>& pass, const CriticStates<T>& states, const Piece& piece) {
      kernels_.values(pass, states, data + (piece.network * batch_ + piece.first) * shape_.samples * shape_.outputs);
    });
    return q;
  }

  FusedGradients gradients(const at::Tensor& upstream, GradientRequest request) {
    const at::Tensor dq = upstream.contiguous();
    const at::TensorOptions options = packed_.options();
    const Cut cut = gradient_cut();
    // Where only inputs are wanted, what the kernels leave in the sums is nobody's.
    const bool all = request.wanted == Wanted::all;
    at::Tensor sums = at::zeros({all ? networks_ * cut.chunks : at::get_num_threads(), sums_size_}, options);
    const int64_t twins = networks_ / members_;
    at::Tensor dobs, dactions;
    if (request.obs) dobs = at::empty({twins, members_, batch_, shape_.obs}, options);
    if (request.actions) dactions = at::empty({twins, members_, batch_, shape_.samples, shape_.actions}, options);
    T* obs_data = request.obs ? dobs.template mutable_data_ptr<T>() : nullptr;
    T* actions_data = request.actions ? dactions.template mutable_data_ptr<T>() : nullptr;
    T* sums_data = sums.template mutable_data_ptr<T>();
    const T* dq_data = dq.template const_data_ptr<T>();
    for_pieces(cut, [&](const CriticPass<T>& pass, const CriticStates<T>& states, const Piece& piece) {
      const int64_t state = piece.network * batch_ + piece.first;
      InputGradients<T> inputs{request.wanted, nullptr, nullptr};
      if (request.obs) inputs.obs = obs_data + state * shape_.obs;
      if (request.actions) inputs.actions = actions_data + state * shape_.samples * shape_.actions;
      kernels_.gradients(pass, states, dq_data + state * shape_.samples * shape_.outputs,
                         sums_data + (all ? piece.index : at::get_thread_num()) * sums_size_, inputs);
    });
    FusedGradients result;
    if (all) result.parameters = reduce_gradients(sums_data, cut.chunks);
    if (request.obs) result.obs = by_parts(sum_of_twins(dobs));
    if (request.actions) result.actions = sum_of_twins(dactions);
    return result;
  }

  /// [T, M, B, K], and each value's gradient for its own action [T, M, B, K, A].
  std::pair<at::Tensor, at::Tensor> values_and_slopes() {
    const at::Tensor one = at::ones({gradient_cut().states * shape_.samples}, packed_.options());
    at::Tensor sums = at::zeros({at::get_num_threads(), sums_size_}, packed_.options());
    at::Tensor q = at::empty({networks_ / members_, members_, batch_, shape_.samples}, packed_.options());
    at::Tensor slopes = at::empty({q.size(0), members_, batch_, shape_.samples, shape_.actions}, packed_.options());
    T* q_data = q.template mutable_data_ptr<T>();
    T* slopes_data = slopes.template mutable_data_ptr<T>();
    T* sums_data = sums.template mutable_data_ptr<T>();
    for_pieces(gradient_cut(), [&](const CriticPass<T>& pass, const CriticStates<T>& states, const Piece& piece) {
      const int64_t row = (piece.network * batch_ + piece.first) * shape_.samples;
      kernels_.gradients(pass, states, one.template const_data_ptr<T>(), sums_data + at::get_thread_num() * sums_size_,
                         {Wanted::inputs, nullptr, slopes_data + row * shape_.actions, q_data + row});
    });
    return {q, slopes};
  }

  std::pair<at::Tensor, StackedMlp> mean_logsumexp(const at::Tensor& density) {
    const at::Tensor log_density = density.contiguous();
    at::Tensor each = at::empty({networks_, batch_}, packed_.options());
    const Cut cut = gradient_cut();
    at::Tensor sums = at::zeros({networks_ * cut.chunks, sums_size_}, packed_.options());
    T* each_data = each.template mutable_data_ptr<T>();
    T* sums_data = sums.template mutable_data_ptr<T>();
    const T* density_data = log_density.template const_data_ptr<T>();
    for_pieces(cut, [&](const CriticPass<T>& pass, const CriticStates<T>& states, const Piece& piece) {
      const int64_t state = piece.network % members_ * batch_ + piece.first;
      kernels_.logsumexp(pass, states, density_data + state * shape_.samples, T(1) / static_cast<T>(batch_),
                         each_data + piece.network * batch_ + piece.first, sums_data + piece.index * sums_size_);
    });
    // A mean of torch's would add in an order that depends on the stack and on the number of threads.
    at::Tensor means = at::empty({networks_ / members_, members_}, packed_.options());
    for (int64_t n = 0; n < networks_; ++n) {
      double total = 0.0;
      for (int64_t i = 0; i < batch_; ++i) total += static_cast<double>(each_data[n * batch_ + i]);
      means.template mutable_data_ptr<T>()[n] = static_cast<T>(total / static_cast<double>(batch_));
    }
    return {means, reduce_gradients(sums_data, cut.chunks)};
  }

 private:
  /// Each network's states in `chunks` ranges of `states`.
  struct Cut {
    int64_t chunks, states;
  };
  struct Piece {
    int64_t index, network, first, count;
  };

  Cut cut_into(int64_t most_chunks, int64_t least_states) const {
    const int64_t chunks = std::clamp<int64_t>(batch_ / least_states, 1, most_chunks);
    return {chunks, (batch_ + chunks - 1) / chunks};
  }
  /// By the batch alone: a network's sums depend on neither the stack around it nor the number of threads.
  Cut gradient_cut() const {
    constexpr int64_t most_chunks = 4, least_states = 64, least_rows = 1024;
    return cut_into(most_chunks, std::max(least_states, least_rows / shape_.samples));
  }

  template <class Body>
  void for_pieces(Cut cut, const Body& body) {
    if (batch_ == 0) return;
    const T* packed = packed_.template const_data_ptr<T>();
    // Threads for pieces worth a million multiply-adds or so.
    const int64_t grain =
        std::max<int64_t>(1, (1 << 20) / std::max<int64_t>(1, cut.states * shape_.samples * products_));
    at::parallel_for(0, networks_ * cut.chunks, grain, [&](int64_t begin, int64_t end) {
      at::Tensor scratch = at::empty({kernels_.scratch_size(shape_)}, packed_.options());
      T* memory = scratch.template mutable_data_ptr<T>();
      std::vector<ObservationPart<T>> parts(obs_.size());
      for (int64_t i = begin; i < end; ++i) {
        const int64_t network = i / cut.chunks;
        const int64_t first = std::min(i % cut.chunks * cut.states, batch_);
        const Piece piece{i, network, first, std::min(cut.states, batch_ - first)};
        body(CriticPass<T>{shape_, precision_, packed + network * packed_.size(1), memory}, states(piece, parts),
             piece);
      }
    });
  }

  /// `parts` holds what the result points to.
  CriticStates<T> states(const Piece& piece, std::vector<ObservationPart<T>>& parts) const {
    const int64_t member = piece.network % members_;
    for (size_t i = 0; i < obs_.size(); ++i) {
      const at::Tensor& part = obs_[i];
      const int64_t set = member / (members_ / part.size(0));  // which the members of a seed may share
      parts[i] = {part.template const_data_ptr<T>() + set * part.stride(0) + piece.first * part.stride(1), part.size(2),
                  part.stride(1)};
    }
    const int64_t state = member * batch_ + piece.first;
    return {parts.data(), static_cast<int64_t>(parts.size()),
            actions_.template const_data_ptr<T>() + state * shape_.samples * shape_.actions, piece.count};
  }

  StackedMlp reduce_gradients(const T* sums, int64_t chunks) {
    StackedMlp result;
    int64_t in = shape_.obs + shape_.actions;
    for (size_t i = 0; i <= hidden_.size(); ++i) {
      const int64_t out = i < hidden_.size() ? hidden_[i] : shape_.outputs;
      result.weights.push_back(at::empty({networks_, in, out}, packed_.options()));
      result.biases.push_back(at::empty({networks_, out}, packed_.options()));
      in = out;
    }
    result.activation = shape_.activation;
    for (size_t i = 0; shape_.activation.has_layer_norm() && i < hidden_.size(); ++i) {
      result.norm_scales.push_back(at::empty({networks_, hidden_[i]}, packed_.options()));
      result.norm_shifts.push_back(at::empty({networks_, hidden_[i]}, packed_.options()));
    }
    at::parallel_for(0, networks_, 8, [&](int64_t begin, int64_t end) {
      for (int64_t n = begin; n < end; ++n) {
        kernels_.reduce_gradients(shape_, sums + n * chunks * sums_size_, chunks,
                                  NetworkPointers<T, StackedMlp>(result, n));
      }
    });
    return result;
  }

  /// Gradients of all columns to those of each part, in the order of the members that share it.
  std::vector<at::Tensor> by_parts(const at::Tensor& all) const {
    std::vector<at::Tensor> result;
    int64_t column = 0;
    for (const at::Tensor& part : obs_) {
      const at::Tensor own = all.narrow(2, column, part.size(2)).unflatten(0, {part.size(0), -1});
      at::Tensor total = own.select(1, 0);
      for (int64_t i = 1; i < own.size(1); ++i) total = total + own.select(1, i);
      result.push_back(total);
      column += part.size(2);
    }
    return result;
  }

  /// In the order of the twins, whatever the sizes.
  static at::Tensor sum_of_twins(const at::Tensor& each) {
    at::Tensor total = each[0];
    for (int64_t t = 1; t < each.size(0); ++t) total = total.add_(each[t]);
    return total;
  }

  CriticKernels<T> kernels_;
  Precision precision_;
  std::vector<int64_t> hidden_;
  CriticShape shape_;
  int64_t members_, batch_, networks_;
  std::vector<at::Tensor> obs_;  ///< parts [members, or a divisor of them, batch, columns]
  at::Tensor actions_, packed_;
  int64_t sums_size_;
  int64_t products_ = 0;  ///< of the hidden layers, for each candidate
};

}  // namespace

at::Tensor fused_values(const StackedMlp& critic, at::TensorList obs, const at::Tensor& actions, Precision precision) {
  if (actions.scalar_type() == at::kFloat) return FusedCritic<float>(critic, obs, actions, precision).values();
  return FusedCritic<double>(critic, obs, actions, precision).values();
}

std::pair<at::Tensor, at::Tensor> fused_values_and_slopes(const StackedMlp& critic, at::TensorList obs,
                                                          const at::Tensor& actions, Precision precision) {
  if (actions.scalar_type() == at::kFloat) {
    return FusedCritic<float>(critic, obs, actions, precision).values_and_slopes();
  }
  return FusedCritic<double>(critic, obs, actions, precision).values_and_slopes();
}

FusedGradients fused_gradients(const StackedMlp& critic, at::TensorList obs, const at::Tensor& actions,
                               const at::Tensor& dq, Precision precision, GradientRequest request) {
  if (actions.scalar_type() == at::kFloat) {
    return FusedCritic<float>(critic, obs, actions, precision).gradients(dq, request);
  }
  return FusedCritic<double>(critic, obs, actions, precision).gradients(dq, request);
}

std::pair<at::Tensor, StackedMlp> fused_mean_logsumexp(const StackedMlp& critic, at::TensorList obs,
                                                       const Candidates& candidates, Precision precision) {
  if (candidates.actions.scalar_type() == at::kFloat) {
    return FusedCritic<float>(critic, obs, candidates.actions, precision).mean_logsumexp(candidates.log_density);
  }
  return FusedCritic<double>(critic, obs, candidates.actions, precision).mean_logsumexp(candidates.log_density);
}

}  // namespace omar::nn
