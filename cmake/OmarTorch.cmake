# Finds the LibTorch that the current Python sees and makes the targets the core links:
#   omar_torch         ATen, c10 and torch's own OpenMP runtime
#   omar_torch_python  the same plus libtorch_python, for the bindings
# Libraries are linked by name from torch's lib folder, so no absolute path ends up in the installed package.

find_package(Python 3.11 REQUIRED COMPONENTS Interpreter Development.Module)

execute_process(
  COMMAND "${Python_EXECUTABLE}" -c
          "import torch, pathlib; p = pathlib.Path(torch.__file__).parent; print(p.as_posix(), torch.__version__, torch.version.cuda or 'none', int(torch.compiled_with_cxx11_abi()), sep=';')"
  OUTPUT_VARIABLE _omar_torch
  ERROR_VARIABLE _omar_torch_error
  OUTPUT_STRIP_TRAILING_WHITESPACE
  RESULT_VARIABLE _omar_torch_result)
if(NOT _omar_torch_result EQUAL 0)
  message(FATAL_ERROR "omar needs torch >= 2.13 in the Python that builds it (${Python_EXECUTABLE}): ${_omar_torch_error}")
endif()
list(GET _omar_torch 0 OMAR_TORCH_DIR)
list(GET _omar_torch 1 OMAR_TORCH_VERSION)
list(GET _omar_torch 2 OMAR_TORCH_CUDA)
list(GET _omar_torch 3 _omar_torch_abi)
string(REGEX MATCH "^[0-9]+\\.[0-9]+" OMAR_TORCH_MINOR "${OMAR_TORCH_VERSION}")
if(OMAR_TORCH_MINOR VERSION_LESS 2.13)
  message(FATAL_ERROR "omar needs torch >= 2.13, found ${OMAR_TORCH_VERSION} in ${OMAR_TORCH_DIR}")
endif()
message(STATUS "omar: torch ${OMAR_TORCH_VERSION} (CUDA ${OMAR_TORCH_CUDA}) in ${OMAR_TORCH_DIR}")

# at::parallel_for is compiled into our code, so it must use the very OpenMP runtime that torch uses:
# only then does torch.set_num_threads() bound it.
file(GLOB _omar_gomp "${OMAR_TORCH_DIR}/lib/libgomp*.so*" "${OMAR_TORCH_DIR}/lib/libiomp5*" "${OMAR_TORCH_DIR}/lib/libomp*")

add_library(omar_torch INTERFACE)
target_include_directories(
  omar_torch SYSTEM INTERFACE "${OMAR_TORCH_DIR}/include" "${OMAR_TORCH_DIR}/include/torch/csrc/api/include")
target_link_directories(omar_torch INTERFACE "${OMAR_TORCH_DIR}/lib")
# `torch` needs torch_cuda where torch has CUDA. Nothing refers to a symbol of it, so the linker would drop it, and a C++
# program would run without torch's CUDA backend.
if(APPLE)
  set(_omar_torch_by_name torch)
else()
  set(_omar_torch_by_name "-Wl,--push-state,--no-as-needed,-ltorch,--pop-state")
endif()
target_link_libraries(omar_torch INTERFACE "${_omar_torch_by_name}" torch_cpu c10)
target_compile_definitions(omar_torch INTERFACE _GLIBCXX_USE_CXX11_ABI=${_omar_torch_abi})
find_package(OpenMP QUIET COMPONENTS CXX)
if(OMAR_SANITIZE MATCHES "thread")
  # ThreadSanitizer cannot see the barriers of an OpenMP runtime that is not instrumented. at::parallel_for then runs on
  # the calling thread, and the tests call from threads of their own.
elseif(OpenMP_CXX_FOUND)
  target_compile_options(omar_torch INTERFACE ${OpenMP_CXX_FLAGS})
  if(_omar_gomp)
    list(GET _omar_gomp 0 _omar_gomp_first)
    target_link_libraries(omar_torch INTERFACE "${_omar_gomp_first}")
  else()
    target_link_libraries(omar_torch INTERFACE OpenMP::OpenMP_CXX)
  endif()
endif()

add_library(omar_torch_python INTERFACE)
target_link_libraries(omar_torch_python INTERFACE omar_torch torch_python torch)
