# Finds LibTorch and makes the targets the core links:
#   omar_torch         ATen, c10 and torch's own OpenMP runtime
#   omar_torch_python  the same plus libtorch_python, for the bindings
# With the bindings, it is the torch of the Python that builds them. Without, no Python is asked: it is the folder
# TORCH_DIR (a variable of CMake or of the environment), or the first LibTorch in CMAKE_PREFIX_PATH. A plain LibTorch is
# as good as the `torch` folder of a Python environment.
# Libraries are linked by name from torch's lib folder, so no absolute path ends up in the installed package.
include("${CMAKE_CURRENT_LIST_DIR}/OmarFindTorch.cmake")

if(OMAR_BUILD_PYTHON)
  find_package(Python 3.11 REQUIRED COMPONENTS Interpreter Development.Module)
  execute_process(
    COMMAND "${Python_EXECUTABLE}" -c "import torch, pathlib; print(pathlib.Path(torch.__file__).parent.as_posix())"
    OUTPUT_VARIABLE OMAR_TORCH_DIR
    ERROR_VARIABLE _omar_torch_error
    OUTPUT_STRIP_TRAILING_WHITESPACE
    RESULT_VARIABLE _omar_torch_result)
  if(NOT _omar_torch_result EQUAL 0)
    message(FATAL_ERROR "omar needs torch >= 2.13 in the Python that builds it (${Python_EXECUTABLE}): ${_omar_torch_error}")
  endif()
else()
  omar_find_torch(OMAR_TORCH_DIR)
  if(NOT OMAR_TORCH_DIR)
    message(FATAL_ERROR "omar needs LibTorch >= 2.13: pass -DTORCH_DIR=FOLDER, where FOLDER holds its include and lib, "
                        "such as the torch folder of a Python environment")
  endif()
endif()

omar_torch_minor("${OMAR_TORCH_DIR}" OMAR_TORCH_MINOR)
if(OMAR_TORCH_MINOR VERSION_LESS 2.13)
  message(FATAL_ERROR "omar needs torch >= 2.13, found ${OMAR_TORCH_MINOR} in ${OMAR_TORCH_DIR}")
endif()
omar_torch_cuda("${OMAR_TORCH_DIR}" OMAR_TORCH_CUDA)
message(STATUS "omar: torch ${OMAR_TORCH_MINOR} (CUDA ${OMAR_TORCH_CUDA}) in ${OMAR_TORCH_DIR}")

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
target_compile_definitions(omar_torch INTERFACE _GLIBCXX_USE_CXX11_ABI=1)  # the only one that LibTorch still has
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
