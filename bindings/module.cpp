#include "bindings.h"

PYBIND11_MODULE(_core, m) {
  m.doc() = "omar's compiled core: particle worlds, replay storage, stacked networks and the CEM search.";
  omar::bindings::bind_particle(m);
  omar::bindings::bind_replay(m);
  omar::bindings::bind_nn(m);
  omar::bindings::bind_cem(m);
}
