# Compilers, warnings and sanitizers for the project's own targets.
if(NOT CMAKE_CXX_COMPILER_ID MATCHES "^(GNU|Clang|AppleClang)$")
  message(FATAL_ERROR "omar needs GCC >= 12 or Clang >= 14 (vector extensions), got ${CMAKE_CXX_COMPILER_ID}")
endif()
if((CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 12)
   OR (CMAKE_CXX_COMPILER_ID STREQUAL "Clang" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 14))
  message(FATAL_ERROR "omar needs GCC >= 12 or Clang >= 14, got ${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}")
endif()
# GCC notes ABI changes of vector types by value; kernels are never called across such a boundary.
set(OMAR_WARNINGS -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wno-psabi)
set(OMAR_SANITIZE_FLAGS "")
if(OMAR_SANITIZE)
  set(OMAR_SANITIZE_FLAGS -fsanitize=${OMAR_SANITIZE} -fno-omit-frame-pointer -g1) # lines for the traces
  add_link_options(-fsanitize=${OMAR_SANITIZE})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # Under sanitizers GCC takes the undefined operands of its own intrinsics for uninitialised variables.
    list(APPEND OMAR_SANITIZE_FLAGS -Wno-maybe-uninitialized)
    # Checks of memory as calls: the unrolled particle kernels compile three times as fast as with checks in place.
    if("${OMAR_SANITIZE}" MATCHES "address")
      list(APPEND OMAR_SANITIZE_FLAGS "SHELL:--param asan-instrumentation-with-call-threshold=0")
    endif()
  endif()
endif()

# omar_target_defaults(target): C++20, warnings, sanitizers.
function(omar_target_defaults target)
  target_compile_features(${target} PUBLIC cxx_std_20)
  target_compile_options(${target} PRIVATE ${OMAR_WARNINGS} ${OMAR_SANITIZE_FLAGS})
endfunction()
