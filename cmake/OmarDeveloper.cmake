# Warnings and sanitizers for the project's own targets.
if(MSVC)
  set(OMAR_WARNINGS /W4)
else()
  # GCC notes ABI changes of vector types by value; kernels are never called across such a boundary.
  set(OMAR_WARNINGS -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wno-psabi)
endif()
set(OMAR_SANITIZE_FLAGS "")
if(OMAR_SANITIZE)
  set(OMAR_SANITIZE_FLAGS -fsanitize=${OMAR_SANITIZE} -fno-omit-frame-pointer -g)
  add_link_options(-fsanitize=${OMAR_SANITIZE})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # Under sanitizers GCC takes the undefined operands of its own intrinsics for uninitialised variables.
    list(APPEND OMAR_SANITIZE_FLAGS -Wno-maybe-uninitialized)
  endif()
endif()

# omar_target_defaults(target): C++20, warnings, sanitizers.
function(omar_target_defaults target)
  target_compile_features(${target} PUBLIC cxx_std_20)
  target_compile_options(${target} PRIVATE ${OMAR_WARNINGS} ${OMAR_SANITIZE_FLAGS})
endfunction()
