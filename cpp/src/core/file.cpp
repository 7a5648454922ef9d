#include "core/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

namespace omar {

void fail(std::string_view op, const std::string& path) {
  const int error = errno;
  throw std::system_error(error, std::generic_category(), "[" + std::string(op) + "] '" + path + "'");
}

File::File(std::string_view op, std::string path, int flags) : op_(op), path_(std::move(path)) {
  descriptor_ = ::open(path_.c_str(), flags | O_CLOEXEC, 0644);
  if (descriptor_ < 0) fail(op_, path_);
}

File::~File() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

File::File(File&& other) noexcept
    : op_(std::move(other.op_)), path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}

void File::write(const char* data, std::size_t bytes, std::size_t offset) {
  for (std::size_t done = 0; done < bytes;) {
    const ssize_t n = ::pwrite(descriptor_, data + done, bytes - done, static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) fail(op_, path_);
    done += static_cast<std::size_t>(n);
  }
}

std::size_t File::read(char* data, std::size_t bytes, std::size_t offset) {
  std::size_t done = 0;
  while (done < bytes) {
    const ssize_t n = ::pread(descriptor_, data + done, bytes - done, static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail(op_, path_);
    if (n == 0) break;
    done += static_cast<std::size_t>(n);
  }
  return done;
}

std::size_t File::bytes() {
  struct stat status{};
  if (::fstat(descriptor_, &status) != 0) fail(op_, path_);
  return static_cast<std::size_t>(status.st_size);
}

void File::sync() {
  if (::fsync(descriptor_) != 0) fail(op_, path_);
}

}  // namespace omar
