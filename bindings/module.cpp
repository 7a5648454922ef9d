#include "bindings.h"
#include "errors.h"

PYBIND11_MODULE(_core, m) {
  m.doc() = "omar's compiled core: particle worlds, replay storage, stacked networks and the CEM search.";
  pybind11::register_local_exception_translator(&omar::bindings::translate);
  omar::bindings::bind_core(m);
  omar::bindings::bind_draws(m);
  omar::bindings::bind_nn(m);
  omar::bindings::bind_particle(m);
  omar::bindings::bind_replay(m);
  omar::bindings::bind_cql(m);
  omar::bindings::bind_cem(m);
}
