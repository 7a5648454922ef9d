#pragma once
/// SHA-256 (FIPS 180-4).

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace omar {

/// The checksum of all that was added.
class Sha256 {
 public:
  void add(std::string_view bytes);
  /// 64 hexadecimal digits. Nothing may be added afterwards.
  std::string digest();

 private:
  void add_block(const unsigned char* block);

  std::array<std::uint32_t, 8> state_ = {0x6a09e667u, 0xbb67ae85u, 0x3c6ef372u, 0xa54ff53au,
                                         0x510e527fu, 0x9b05688cu, 0x1f83d9abu, 0x5be0cd19u};
  std::array<unsigned char, 64> rest_ = {};
  std::uint64_t bytes_ = 0;
};

}  // namespace omar
