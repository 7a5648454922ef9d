#include "bindings.h"

namespace omar::bindings {

void bind_particle(py::module_& m) { (void)m; }

}  // namespace omar::bindings
