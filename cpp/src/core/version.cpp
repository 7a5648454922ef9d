#include <omar/version.h>

namespace omar {

std::string version() {
  return std::to_string(OMAR_VERSION_MAJOR) + "." + std::to_string(OMAR_VERSION_MINOR) + "." +
         std::to_string(OMAR_VERSION_PATCH);
}

}  // namespace omar
