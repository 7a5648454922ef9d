#include "bindings.h"

namespace omar::bindings {

void bind_cem(py::module_& m) { (void)m; }

}  // namespace omar::bindings
