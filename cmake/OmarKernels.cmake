# omar_add_kernels(TARGET SOURCES file...): compiles each file once per instruction level and adds the objects to TARGET.
# A kernel file includes no torch header and no standard container: everything it defines sits in the inline
# namespace omar::OMAR_LEVEL, so that code for a newer CPU is never picked by the linker for an older one.
# -ffp-contract=off keeps the arithmetic the same at every level; omar_add_kernels(... CONTRACT ...) lets
# the compiler use fused multiply-add, omar_add_kernels(... BF16 ...) adds the levels with bfloat16 instructions.

# The levels in rising order, as enum CpuLevel names them; core/levels.h is written from these lists.
set(OMAR_LEVELS base)
set(OMAR_BF16_LEVELS "")
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64|amd64")
  list(APPEND OMAR_LEVELS avx2 avx512)
  set(OMAR_BF16_LEVELS bf16 amx)
endif()
set(OMAR_LEVEL_FLAGS_base "")
set(OMAR_LEVEL_FLAGS_avx2 -march=x86-64-v3 -mtune=generic)
set(OMAR_LEVEL_FLAGS_avx512 -march=x86-64-v4 -mtune=generic -mprefer-vector-width=512)
set(OMAR_LEVEL_FLAGS_bf16 -march=x86-64-v4 -mavx512bf16 -mtune=generic -mprefer-vector-width=512)
set(OMAR_LEVEL_FLAGS_amx ${OMAR_LEVEL_FLAGS_bf16} -mamx-tile -mamx-bf16)

set(OMAR_GENERATED_DIR "${PROJECT_BINARY_DIR}/generated")
list(TRANSFORM OMAR_LEVELS REPLACE "(.+)" "&\\1::function" OUTPUT_VARIABLE _omar_pointers)
list(TRANSFORM OMAR_BF16_LEVELS REPLACE "(.+)" "&\\1::function" OUTPUT_VARIABLE _omar_bf16_pointers)
set(_omar_bf16_pointers ${_omar_pointers} ${_omar_bf16_pointers})
set(_omar_level_names ${OMAR_LEVELS} ${OMAR_BF16_LEVELS})
list(TRANSFORM _omar_level_names REPLACE "(.+)" "\"\\1\"")
foreach(_list _omar_pointers _omar_bf16_pointers _omar_level_names)
  list(JOIN ${_list} ", " ${_list})
endforeach()
configure_file("${CMAKE_CURRENT_LIST_DIR}/levels.h.in" "${OMAR_GENERATED_DIR}/core/levels.h" @ONLY)

# Kernels trust their pointers, which the front ends have checked: sanitizing each use would take minutes of compilation.
set(_omar_kernel_sanitizers ${OMAR_SANITIZE_FLAGS})
if("${OMAR_SANITIZE}" MATCHES "undefined")
  list(APPEND _omar_kernel_sanitizers -fno-sanitize=null,alignment,object-size)
endif()

function(omar_add_kernels target)
  cmake_parse_arguments(ARG "CONTRACT;BF16" "" "SOURCES" ${ARGN})
  set(levels ${OMAR_LEVELS})
  if(ARG_BF16)
    list(APPEND levels ${OMAR_BF16_LEVELS})
  endif()
  foreach(source IN LISTS ARG_SOURCES)
    get_filename_component(name "${source}" NAME_WE)
    foreach(level IN LISTS levels)
      set(object "${target}_${name}_${level}")
      add_library(${object} OBJECT "${source}")
      target_include_directories(${object} PRIVATE "${PROJECT_SOURCE_DIR}/cpp/include" "${PROJECT_SOURCE_DIR}/cpp/src")
      target_compile_features(${object} PRIVATE cxx_std_20)
      target_compile_definitions(${object} PRIVATE OMAR_LEVEL=${level} OMAR_BUILDING)
      set_target_properties(${object} PROPERTIES POSITION_INDEPENDENT_CODE ON CXX_VISIBILITY_PRESET hidden
                                                 VISIBILITY_INLINES_HIDDEN ON)
      target_compile_options(
        ${object} PRIVATE ${OMAR_LEVEL_FLAGS_${level}} ${OMAR_WARNINGS} ${_omar_kernel_sanitizers} -fno-math-errno -fno-trapping-math
                          $<$<NOT:$<CONFIG:Debug>>:-O3> $<IF:$<BOOL:${ARG_CONTRACT}>,-ffp-contract=fast,-ffp-contract=off>)
      target_sources(${target} PRIVATE $<TARGET_OBJECTS:${object}>)
    endforeach()
  endforeach()
endfunction()
