#pragma once
/// Files of the operating system.

#include <cstddef>
#include <string>
#include <string_view>

namespace omar {

/// \throws std::system_error with the last error of the operating system
[[noreturn]] void fail(std::string_view op, const std::string& path);

/// An open file, closed at the end of its life. Every member \throws std::system_error.
class File {
 public:
  /// `flags` as for open(2).
  File(std::string_view op, std::string path, int flags);
  ~File();
  File(File&& other) noexcept;
  File(const File&) = delete;
  File& operator=(File&&) = delete;
  File& operator=(const File&) = delete;

  void write(const char* data, std::size_t bytes, std::size_t offset);
  /// \return bytes read: fewer than asked for only at the file's end
  std::size_t read(char* data, std::size_t bytes, std::size_t offset);
  std::size_t bytes();
  void sync();

 private:
  std::string op_;
  std::string path_;
  int descriptor_ = -1;
};

}  // namespace omar
