#pragma once
/// Which instruction level the CPU kernels run at.

#include <omar/core/host_device.h>

#include <string>
#include <vector>

namespace omar {

/// Instruction levels in rising order. `bf16` is avx512 with VDPBF16PS, `amx` that with the matrix tiles of TDPBF16PS.
enum class CpuLevel { base, avx2, avx512, bf16, amx };

/// The best level that this CPU, its operating system and this build offer; or the one that the environment variable
/// OMAR_CPU_LEVEL (base | avx2 | avx512 | bf16 | amx) asks for. Read once, at first use.
/// \throws c10::ValueError when OMAR_CPU_LEVEL names no level, or one that this CPU does not have.
OMAR_API CpuLevel cpu_level();

/// Levels that this CPU and this build offer, in rising order: `avx2` needs all of x86-64-v3, `avx512` all of
/// x86-64-v4. Where the CPU has matrix tiles, the operating system is asked once for the permission to use them; from
/// then on Linux takes no alternate signal stacks too small for them.
OMAR_API std::vector<CpuLevel> available_cpu_levels();

/// "base", "avx2", "avx512", "bf16" or "amx".
OMAR_API std::string to_string(CpuLevel level);

}  // namespace omar
