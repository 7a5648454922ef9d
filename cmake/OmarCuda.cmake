# Decides whether the CUDA kernels are built (OMAR_WITH_CUDA) and how.
#   OMAR_CUDA=AUTO  when torch has CUDA and a toolkit is present; otherwise the CPU core alone
#   OMAR_CUDA=ON    required: says what is missing
#   OMAR_CUDA=OFF   never
# The architectures are CMAKE_CUDA_ARCHITECTURES, 80, 90 and 120 by default.

set(OMAR_WITH_CUDA OFF)
if(NOT OMAR_CUDA MATCHES "^(AUTO|ON|OFF)$")
  message(FATAL_ERROR "OMAR_CUDA must be AUTO, ON or OFF, got ${OMAR_CUDA}")
endif()
if(NOT OMAR_CUDA STREQUAL "OFF")
  find_program(OMAR_NVCC nvcc HINTS ENV CUDA_HOME ENV CUDA_PATH /usr/local/cuda PATH_SUFFIXES bin)
  if(OMAR_TORCH_CUDA STREQUAL "none")
    set(_omar_no_cuda "torch ${OMAR_TORCH_MINOR} is a CPU build")
  elseif(NOT OMAR_NVCC)
    set(_omar_no_cuda "no nvcc on PATH, in CUDA_HOME or in /usr/local/cuda")
  else()
    set(OMAR_WITH_CUDA ON)
  endif()
  if(NOT OMAR_WITH_CUDA AND OMAR_CUDA STREQUAL "ON")
    message(FATAL_ERROR "OMAR_CUDA=ON, but ${_omar_no_cuda}")
  elseif(NOT OMAR_WITH_CUDA)
    message(STATUS "omar: no CUDA kernels: ${_omar_no_cuda}")
  endif()
endif()

if(OMAR_WITH_CUDA)
  if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES 80 90 120)
  endif()
  if(NOT DEFINED CMAKE_CUDA_COMPILER)
    set(CMAKE_CUDA_COMPILER "${OMAR_NVCC}")
  endif()
  enable_language(CUDA)
  find_package(CUDAToolkit REQUIRED)
  message(STATUS "omar: CUDA kernels with ${CMAKE_CUDA_COMPILER} for ${CMAKE_CUDA_ARCHITECTURES}")
endif()

# omar_add_cuda(TARGET KERNELS x_cuda.cu... CONTRACT x_cuda.cu... HOST x.cpp... STUBS x_no_cuda.cpp...): the kernels and
# the host files that need torch's CUDA headers, or the stubs of a build without CUDA. As on the CPU, only kernels after
# CONTRACT may use fused multiply-add: the others give the same numbers on every device.
function(omar_add_cuda target)
  cmake_parse_arguments(ARG "" "" "KERNELS;CONTRACT;HOST;STUBS" ${ARGN})
  if(NOT OMAR_WITH_CUDA)
    target_sources(${target} PRIVATE ${ARG_STUBS})
    return()
  endif()
  add_library(${target}_cuda OBJECT ${ARG_KERNELS} ${ARG_CONTRACT})
  set_source_files_properties(${ARG_KERNELS} PROPERTIES COMPILE_OPTIONS -fmad=false)
  target_include_directories(${target}_cuda PRIVATE "${PROJECT_SOURCE_DIR}/cpp/include" "${PROJECT_SOURCE_DIR}/cpp/src")
  target_compile_definitions(${target}_cuda PRIVATE OMAR_BUILDING)
  target_compile_options(${target}_cuda PRIVATE -Werror all-warnings)
  set_target_properties(${target}_cuda PROPERTIES CUDA_STANDARD 20 CUDA_STANDARD_REQUIRED ON POSITION_INDEPENDENT_CODE ON
                                                  CUDA_VISIBILITY_PRESET hidden)
  target_sources(${target} PRIVATE $<TARGET_OBJECTS:${target}_cuda> ${ARG_HOST})
  target_link_libraries(${target} PRIVATE CUDA::cudart_static c10_cuda)
endfunction()
