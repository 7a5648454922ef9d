#include "bindings.h"

namespace omar::bindings {

void bind_replay(py::module_& m) { (void)m; }

}  // namespace omar::bindings
