#pragma once
/// The counter of the random numbers: what its four words mean, and how far each of them reaches.
///
/// A Philox block is drawn at (draw, step, index, stream) under the key `seed` (rng::words); it gives four numbers.
///   stream  what the numbers are for; of candidates also the dimension of the action
///   index   a world or a member
///   step    an update or a step of an environment: 0 <= step < counter::kSteps for every user. Others are refused.
///   draw    counts the blocks of one (stream, index, step)
/// The layout is part of the reproducibility contract.

#include <omar/core/host_device.h>

#include <cstdint>

namespace omar {

/// Purpose of a random stream.
enum class Stream : std::uint32_t {
  world_reset = 1,   ///< start states of particle worlds
  replay = 2,        ///< rows of a minibatch
  cem = 16,          ///< candidate actions of round j: cem + j, j < counter::kRounds
  candidates = 64,   ///< sampled actions of the CQL penalty; set i: candidates + i, i < counter::kSets
  exploration = 80,  ///< exploration noise of a behaviour policy
  uniform_actions = 81,
  init = 96,  ///< initial network weights
};

inline namespace OMAR_LEVEL {

/// The words of a counter.
template <class Word>
struct Counter {
  Word draw, step, index, stream;
};

namespace counter {

constexpr std::int64_t kWords = std::int64_t{1} << 32;  ///< values of a word
constexpr std::int64_t kPerBlock = 4;                   ///< numbers of a block

constexpr std::int64_t kSteps = kWords;
constexpr std::int64_t kIndices = kWords;              ///< worlds or members
constexpr std::int64_t kNumbers = kPerBlock * kWords;  ///< of one (stream, index, step)

/// Candidate actions [M, B, K, A]: index is the member, `draw` holds state and block of samples, `stream` purpose and
/// dimension.
constexpr int kStateBits = 24;
constexpr int kStreamBits = 8;
constexpr std::int64_t kStates = std::int64_t{1} << kStateBits;              ///< B
constexpr std::int64_t kSamples = kPerBlock << (32 - kStateBits);            ///< K
constexpr std::int64_t kDimensions = std::int64_t{1} << (32 - kStreamBits);  ///< A
constexpr int kRounds = static_cast<int>(Stream::candidates) - static_cast<int>(Stream::cem);
constexpr int kSets = static_cast<int>(Stream::exploration) - static_cast<int>(Stream::candidates);

/// The word `draw` of samples 4 * block .. 4 * block + 3 of a state.
OMAR_HD OMAR_INLINE std::uint32_t candidate_draw(std::int64_t state, std::int64_t block) {
  return static_cast<std::uint32_t>(state + (block << kStateBits));
}

/// The word `stream` of one dimension of an action.
OMAR_HD OMAR_INLINE std::uint32_t candidate_stream(std::uint32_t stream, std::int64_t dimension) {
  return stream + (static_cast<std::uint32_t>(dimension) << kStreamBits);
}

}  // namespace counter
}  // namespace OMAR_LEVEL
}  // namespace omar
