#include "bindings.h"

namespace omar::bindings {

void bind_nn(py::module_& m) { (void)m; }

}  // namespace omar::bindings
