# Reads the version from omar/version.h into OMAR_VERSION and OMAR_SOVERSION: what programs link must have the same
# minor version before 1.0, and the same major version from then on.
file(STRINGS "${CMAKE_CURRENT_LIST_DIR}/../cpp/include/omar/version.h" _omar_version REGEX "define OMAR_VERSION_")
string(REGEX REPLACE ".*MAJOR ([0-9]+).*MINOR ([0-9]+).*PATCH ([0-9]+).*" "\\1.\\2.\\3" OMAR_VERSION "${_omar_version}")
string(REGEX REPLACE "^(0\\.[0-9]+|[1-9][0-9]*)\\..*" "\\1" OMAR_SOVERSION "${OMAR_VERSION}")
