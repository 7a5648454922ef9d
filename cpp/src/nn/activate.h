#pragma once
/// Activations of hidden layers as the kernels apply them: to the sums of a tile, while they are in registers.

#include "nn/tile.h"

namespace omar::nn::OMAR_LEVEL {

/// ActivationSpec{Activation::relu}. An activation that needs whole rows, as layer norm does, has to run between two
/// products instead.
template <class T>
struct Relu {
  using V = Lanes<T>;

  /// NaN stays NaN: max_ returns its second argument where the first is NaN.
  static OMAR_INLINE PanelRow<T> forward(const PanelRow<T>& sums) {
    return {max_(V(T(0)), sums.left), max_(V(T(0)), sums.right)};
  }
  /// Gradient of the sums from the layer's outputs and their gradient.
  static OMAR_INLINE PanelRow<T> backward(const PanelRow<T>& out, const PanelRow<T>& gradient) {
    const V none(T(0));
    return {select(out.left > none, gradient.left, none), select(out.right > none, gradient.right, none)};
  }
};

}  // namespace omar::nn::OMAR_LEVEL
