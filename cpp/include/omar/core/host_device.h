#pragma once
/// Marks of functions that compile for the host and for CUDA devices, and of the library's exported symbols.

#if defined(__CUDACC__)
#define OMAR_HD __host__ __device__
#define OMAR_INLINE __forceinline__
#else
#define OMAR_HD
#define OMAR_INLINE inline __attribute__((always_inline))
#endif

#define OMAR_API __attribute__((visibility("default")))

/// Instruction level that the current file is compiled for: a name of CpuLevel, or gpu in a .cu file.
/// Inline code that kernels share sits in the inline namespace of that name, so that the linker never merges
/// code for a newer CPU with code for an older one.
#if !defined(OMAR_LEVEL)
#define OMAR_LEVEL base
#endif
