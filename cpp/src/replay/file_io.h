#pragma once
/// What the file of a replay buffer is written and read with.

#include <cstdint>
#include <string>
#include <string_view>

#include "core/file.h"

namespace omar::replay {

/// 64-bit checksum of whole 8-byte words. Every word enters one of four chains through a bijection, so a change of a
/// single word never goes unseen and other damage does with probability 2^-64.
class Checksum {
 public:
  void add(const char* data, std::size_t bytes);
  std::uint64_t value() const;

 private:
  std::uint64_t lanes_[4] = {1, 2, 3, 4};
};

/// A file that takes the place of `path` once it is whole; removed at the end of its life unless it did.
class Replacement {
 public:
  /// Creates a file beside `path` that no other call, thread or process has. \throws std::system_error
  Replacement(std::string_view op, std::string path);
  ~Replacement();
  Replacement(const Replacement&) = delete;
  Replacement& operator=(const Replacement&) = delete;

  File& file() { return file_; }
  /// Syncs, renames and syncs the folder. \throws std::system_error
  void commit();

 private:
  std::string op_;
  std::string path_;
  std::string temporary_;
  File file_;
};

/// Appends a number in the machine's byte order.
void put(std::string& text, std::uint64_t value);

/// Takes numbers and names off a text; `good` turns false at the first that is not there or out of bounds.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}
  std::int64_t number(std::int64_t least, std::int64_t most);
  std::string name();
  bool good = true;

 private:
  std::string_view text_;
  std::size_t at_ = 0;
};

}  // namespace omar::replay
