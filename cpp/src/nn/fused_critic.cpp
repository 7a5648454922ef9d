#include "nn/fused_critic.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
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

template <class T>
at::Tensor pack_networks(const CriticKernels<T>& kernels, const CriticShape& shape, const StackedMlp& critic,
                         Precision precision) {
  std::vector<at::Tensor> parts;
  for (size_t i = 0; i < 3; ++i) {
    parts.push_back(critic.weights[i].contiguous());
    parts.push_back(critic.biases[i].contiguous());
  }
  const int64_t networks = critic.members();
  const int64_t size = (kernels.packed_size(shape) + 15) / 16 * 16;
  at::Tensor packed = at::empty({networks, size}, parts[0].options());
  T* to = packed.template mutable_data_ptr<T>();
  const auto part = [&](size_t i, int64_t n) {
    return parts[i].template const_data_ptr<T>() + n * (parts[i].numel() / networks);
  };
  at::parallel_for(0, networks, 8, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      kernels.pack(shape, {part(0, n), part(1, n), part(2, n), part(3, n), part(4, n), part(5, n)}, precision,
                   to + n * size);
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
  FusedCritic(const StackedMlp& critic, const at::Tensor& obs, const at::Tensor& actions, Precision precision)
      : kernels_(chosen_critic_kernels<T>()),
        precision_(precision),
        shape_{obs.size(2),     actions.size(3),          critic.weights[0].size(2), critic.weights[1].size(2),
               actions.size(2), critic.weights[2].size(2)},
        members_(obs.size(0)),
        batch_(obs.size(1)),
        networks_(critic.members()),
        obs_(obs.contiguous()),
        actions_(actions.contiguous()),
        packed_(pack_networks(kernels_, shape_, critic, precision)),
        sums_size_(kernels_.sums_size(shape_)) {
    // The cut depends on sizes alone, so that sums do not depend on the number of threads.
    constexpr int64_t least_pieces = 16, least_states = 64;
    const int64_t wanted = (least_pieces + networks_ - 1) / networks_;
    chunks_ = std::clamp<int64_t>(wanted, 1, std::max<int64_t>(1, batch_ / least_states));
    chunk_ = batch_ == 0 ? 0 : (batch_ + chunks_ - 1) / chunks_;
    // Threads for pieces worth a million multiply-adds or so.
    const int64_t products = shape_.hidden1 * (shape_.hidden2 + shape_.obs + shape_.actions);
    grain_ = std::max<int64_t>(1, (1 << 20) / std::max<int64_t>(1, chunk_ * shape_.samples * products));
  }

  at::Tensor values() {
    at::Tensor q = at::empty({networks_ / members_, members_, batch_, shape_.samples * shape_.outputs}, obs_.options());
    T* data = q.template mutable_data_ptr<T>();
    for_pieces([&](const CriticPass<T>& pass, const Piece& piece) {
      kernels_.values(pass, states(piece),
                      data + (piece.network * batch_ + piece.first) * shape_.samples * shape_.outputs);
    });
    return q;
  }

  FusedGradients gradients(const at::Tensor& upstream, GradientRequest request) {
    const at::Tensor dq = upstream.contiguous();
    const at::TensorOptions options = obs_.options();
    at::Tensor sums = at::zeros({networks_ * chunks_, sums_size_}, options);
    const int64_t twins = networks_ / members_;
    at::Tensor dobs, dactions;
    if (request.obs) dobs = at::empty({twins, members_, batch_, shape_.obs}, options);
    if (request.actions) dactions = at::empty({twins, members_, batch_, shape_.samples, shape_.actions}, options);
    T* obs_data = request.obs ? dobs.template mutable_data_ptr<T>() : nullptr;
    T* actions_data = request.actions ? dactions.template mutable_data_ptr<T>() : nullptr;
    T* sums_data = sums.template mutable_data_ptr<T>();
    const T* dq_data = dq.template const_data_ptr<T>();
    for_pieces([&](const CriticPass<T>& pass, const Piece& piece) {
      const int64_t state = piece.network * batch_ + piece.first;
      InputGradients<T> inputs{request.wanted, nullptr, nullptr};
      if (request.obs) inputs.obs = obs_data + state * shape_.obs;
      if (request.actions) inputs.actions = actions_data + state * shape_.samples * shape_.actions;
      kernels_.gradients(pass, states(piece), dq_data + state * shape_.samples * shape_.outputs,
                         sums_data + piece.index * sums_size_, inputs);
    });
    FusedGradients result;
    if (request.wanted == Wanted::all) result.parameters = collect(sums_data);
    if (request.obs) result.obs = dobs.sum(0);
    if (request.actions) result.actions = dactions.sum(0);
    return result;
  }

  std::pair<at::Tensor, StackedMlp> mean_logsumexp(const at::Tensor& density) {
    const at::Tensor log_density = density.contiguous();
    at::Tensor out = at::empty({networks_ / members_, members_, batch_}, obs_.options());
    at::Tensor sums = at::zeros({networks_ * chunks_, sums_size_}, obs_.options());
    T* out_data = out.template mutable_data_ptr<T>();
    T* sums_data = sums.template mutable_data_ptr<T>();
    const T* density_data = log_density.template const_data_ptr<T>();
    for_pieces([&](const CriticPass<T>& pass, const Piece& piece) {
      const int64_t state = piece.network % members_ * batch_ + piece.first;
      kernels_.logsumexp(pass, states(piece), density_data + state * shape_.samples, T(1) / static_cast<T>(batch_),
                         out_data + piece.network * batch_ + piece.first, sums_data + piece.index * sums_size_);
    });
    return {out.mean(-1), collect(sums_data)};
  }

 private:
  struct Piece {
    int64_t index, network, first, count;
  };

  template <class Body>
  void for_pieces(const Body& body) {
    const T* packed = packed_.template const_data_ptr<T>();
    at::parallel_for(0, networks_ * chunks_, grain_, [&](int64_t begin, int64_t end) {
      at::Tensor scratch = at::empty({kernels_.scratch_size(shape_)}, packed_.options());
      T* memory = scratch.template mutable_data_ptr<T>();
      for (int64_t i = begin; i < end; ++i) {
        const int64_t network = i / chunks_;
        const int64_t first = std::min(i % chunks_ * chunk_, batch_);
        const Piece piece{i, network, first, std::min(chunk_, batch_ - first)};
        body(CriticPass<T>{shape_, precision_, packed + network * packed_.size(1), memory}, piece);
      }
    });
  }

  CriticStates<T> states(const Piece& piece) const {
    const int64_t state = piece.network % members_ * batch_ + piece.first;
    return {obs_.template const_data_ptr<T>() + state * shape_.obs,
            actions_.template const_data_ptr<T>() + state * shape_.samples * shape_.actions, piece.count};
  }

  StackedMlp collect(const T* sums) {
    const int64_t in = shape_.obs + shape_.actions;
    const int64_t sizes[] = {in, shape_.hidden1, shape_.hidden2, shape_.outputs};
    StackedMlp result;
    for (size_t i = 0; i < 3; ++i) {
      result.weights.push_back(at::empty({networks_, sizes[i], sizes[i + 1]}, obs_.options()));
      result.biases.push_back(at::empty({networks_, sizes[i + 1]}, obs_.options()));
    }
    const auto part = [&](const at::Tensor& tensor, int64_t n) {
      return tensor.template mutable_data_ptr<T>() + n * (tensor.numel() / networks_);
    };
    at::parallel_for(0, networks_, 8, [&](int64_t begin, int64_t end) {
      for (int64_t n = begin; n < end; ++n) {
        kernels_.collect(shape_, sums + n * chunks_ * sums_size_, chunks_,
                         {part(result.weights[0], n), part(result.biases[0], n), part(result.weights[1], n),
                          part(result.biases[1], n), part(result.weights[2], n), part(result.biases[2], n)});
      }
    });
    return result;
  }

  CriticKernels<T> kernels_;
  Precision precision_;
  CriticShape shape_;
  int64_t members_, batch_, networks_;
  at::Tensor obs_, actions_, packed_;
  int64_t sums_size_;
  int64_t chunks_ = 1;  ///< pieces per network
  int64_t chunk_ = 0;   ///< states per piece
  int64_t grain_ = 1;   ///< pieces that a thread takes at least
};

}  // namespace

std::string fused_obstacle(const StackedMlp& critic) {
  const at::Tensor& weight = critic.weights.front();
  if (!weight.device().is_cpu()) return "the tensors are on " + weight.device().str();
  if (critic.weights.size() != 3) {
    return "the critic has " + std::to_string(critic.weights.size() - 1) + " hidden layers instead of 2";
  }
  return "";
}

at::Tensor fused_values(const StackedMlp& critic, const at::Tensor& obs, const at::Tensor& actions,
                        Precision precision) {
  if (obs.scalar_type() == at::kFloat) return FusedCritic<float>(critic, obs, actions, precision).values();
  return FusedCritic<double>(critic, obs, actions, precision).values();
}

FusedGradients fused_gradients(const StackedMlp& critic, const at::Tensor& obs, const at::Tensor& actions,
                               const at::Tensor& dq, Precision precision, GradientRequest request) {
  if (obs.scalar_type() == at::kFloat) {
    return FusedCritic<float>(critic, obs, actions, precision).gradients(dq, request);
  }
  return FusedCritic<double>(critic, obs, actions, precision).gradients(dq, request);
}

std::pair<at::Tensor, StackedMlp> fused_mean_logsumexp(const StackedMlp& critic, const at::Tensor& obs,
                                                       const Candidates& candidates, Precision precision) {
  if (obs.scalar_type() == at::kFloat) {
    return FusedCritic<float>(critic, obs, candidates.actions, precision).mean_logsumexp(candidates.log_density);
  }
  return FusedCritic<double>(critic, obs, candidates.actions, precision).mean_logsumexp(candidates.log_density);
}

}  // namespace omar::nn
