#include "replay/file_io.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

namespace omar::replay {
namespace {

/// Creates a file beside `path` and puts its name into `temporary`.
File create_beside(std::string_view op, const std::string& path, std::string& temporary) {
  static std::atomic<std::uint64_t> number{0};
  for (;;) {
    temporary = path + ".tmp-" + std::to_string(::getpid()) + "-" + std::to_string(number++);
    try {
      return File(op, temporary, O_WRONLY | O_CREAT | O_EXCL);
    } catch (const std::system_error& error) {  // left by a process that had this number before
      if (error.code() != std::errc::file_exists) throw;
    }
  }
}

}  // namespace

void Checksum::add(const char* data, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; i += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, data + i, std::min<std::size_t>(8, bytes - i));
    std::uint64_t& lane = lanes_[(i / 8) % 4];
    lane = std::rotl((lane ^ word) * 0x9E3779B97F4A7C15ull, 31);
  }
}

std::uint64_t Checksum::value() const {
  std::uint64_t sum = 0;
  for (const std::uint64_t lane : lanes_) sum = std::rotl((sum ^ lane) * 0xD6E8FEB86659FD93ull, 29);
  return sum;
}

Replacement::Replacement(std::string_view op, std::string path)
    : op_(op), path_(std::move(path)), file_(create_beside(op, path_, temporary_)) {}

Replacement::~Replacement() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void Replacement::commit() {
  file_.sync();
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail(op_, path_);
  temporary_.clear();
  const std::filesystem::path folder = std::filesystem::path(path_).parent_path();
  File(op_, folder.empty() ? "." : folder.string(), O_RDONLY | O_DIRECTORY).sync();
}

void put(std::string& text, std::uint64_t value) { text.append(reinterpret_cast<const char*>(&value), sizeof(value)); }

std::int64_t Reader::number(std::int64_t least, std::int64_t most) {
  std::uint64_t value = 0;
  if (text_.size() - at_ < sizeof(value)) good = false;
  if (!good) return least;
  std::memcpy(&value, text_.data() + at_, sizeof(value));
  at_ += sizeof(value);
  const auto result = static_cast<std::int64_t>(value);
  if (result < least || result > most) good = false;
  return good ? result : least;
}

std::string Reader::name() {
  const auto length = static_cast<std::size_t>(number(1, 1 << 16));
  if (text_.size() - at_ < length) good = false;
  if (!good) return {};
  at_ += length;
  return std::string(text_.substr(at_ - length, length));
}

}  // namespace omar::replay
