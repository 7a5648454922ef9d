/// The file of a replay buffer: one header of whole 4,096-byte pages, then each dataset's rows as they lie in memory.
/// All numbers are little endian. Header: magic, header bytes, header checksum, data checksum, capacity, datasets,
/// floats of a stored row, number of fields; size and head of each dataset; name and shape of each field.

#include <omar/replay/replay_buffer.h>

#include <ATen/ops/empty_like.h>
#include <c10/util/Exception.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

namespace omar::replay {
namespace {

static_assert(std::endian::native == std::endian::little, "the file format is written as memory lies");

constexpr char kMagic[8] = {'O', 'M', 'A', 'R', 'R', 'P', 'L', '1'};
constexpr size_t kPage = 4096;
constexpr size_t kFixedBytes = 8 + 3 * sizeof(std::uint64_t);  // magic, header bytes and both checksums
constexpr int64_t kChunk = int64_t{4} << 20;

/// 64-bit checksum of whole 8-byte words. Every word enters one of four chains through a bijection, so a change of a
/// single word never goes unseen and other damage does with probability 2^-64.
class Checksum {
 public:
  void add(const char* data, size_t bytes) {
    for (size_t i = 0; i < bytes; i += 8) {
      std::uint64_t word = 0;
      std::memcpy(&word, data + i, std::min<size_t>(8, bytes - i));
      std::uint64_t& lane = lanes_[(i / 8) % 4];
      lane = std::rotl((lane ^ word) * 0x9E3779B97F4A7C15ull, 31);
    }
  }
  std::uint64_t value() const {
    std::uint64_t sum = 0;
    for (const std::uint64_t lane : lanes_) sum = std::rotl((sum ^ lane) * 0xD6E8FEB86659FD93ull, 29);
    return sum;
  }

 private:
  std::uint64_t lanes_[4] = {1, 2, 3, 4};
};

[[noreturn]] void fail(const char* op, const std::string& path) {
  throw std::system_error(errno, std::generic_category(), std::string("[replay::") + op + "] '" + path + "'");
}

/// An open file, closed at the end of its life.
class File {
 public:
  File(const char* op, const std::string& path, int flags) : op_(op), path_(path) {
    descriptor_ = ::open(path.c_str(), flags | O_CLOEXEC, 0644);
    if (descriptor_ < 0) fail(op_, path_);
  }
  ~File() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  void write(const char* data, size_t bytes, size_t offset) {
    for (size_t done = 0; done < bytes;) {
      const ssize_t n = ::pwrite(descriptor_, data + done, bytes - done, static_cast<off_t>(offset + done));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) fail(op_, path_);
      done += static_cast<size_t>(n);
    }
  }
  /// \return bytes read: fewer than asked for only at the file's end
  size_t read(char* data, size_t bytes, size_t offset) {
    size_t done = 0;
    while (done < bytes) {
      const ssize_t n = ::pread(descriptor_, data + done, bytes - done, static_cast<off_t>(offset + done));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) fail(op_, path_);
      if (n == 0) break;
      done += static_cast<size_t>(n);
    }
    return done;
  }
  size_t bytes() {
    struct stat status{};
    if (::fstat(descriptor_, &status) != 0) fail(op_, path_);
    return static_cast<size_t>(status.st_size);
  }
  void sync() {
    if (::fsync(descriptor_) != 0) fail(op_, path_);
  }

 private:
  const char* op_;
  std::string path_;
  int descriptor_ = -1;
};

/// Removes a file at the end of its life, unless it was renamed by then.
struct Temporary {
  std::string path;
  ~Temporary() {
    if (!path.empty()) ::unlink(path.c_str());
  }
};

void put(std::string& text, std::uint64_t value) { text.append(reinterpret_cast<const char*>(&value), sizeof(value)); }

/// Takes numbers and names off a header; `good` turns false at the first that is not there or out of bounds.
class Reader {
 public:
  explicit Reader(const std::string& text) : text_(text) {}
  int64_t number(int64_t least, int64_t most) {
    std::uint64_t value = 0;
    if (text_.size() - at_ < sizeof(value)) good = false;
    if (!good) return least;
    std::memcpy(&value, text_.data() + at_, sizeof(value));
    at_ += sizeof(value);
    const auto result = static_cast<int64_t>(value);
    if (result < least || result > most) good = false;
    return good ? result : least;
  }
  std::string name() {
    const auto length = static_cast<size_t>(number(1, 1 << 16));
    if (text_.size() - at_ < length) good = false;
    if (!good) return {};
    at_ += length;
    return text_.substr(at_ - length, length);
  }
  bool good = true;

 private:
  const std::string& text_;
  size_t at_ = 0;
};

}  // namespace

void ReplayBuffer::save(const std::string& path) const {
  TORCH_CHECK_VALUE(!is_view(),
                    "[replay::save] this buffer is a view of its columns: there is nothing of its own to save");
  std::string body;
  put(body, static_cast<std::uint64_t>(capacity_));
  put(body, static_cast<std::uint64_t>(datasets()));
  put(body, rows_.element_size());
  put(body, static_cast<std::uint64_t>(rows_.size(2)));
  put(body, fields_.size());
  for (size_t d = 0; d < sizes_.size(); ++d) {
    put(body, static_cast<std::uint64_t>(sizes_[d]));
    put(body, static_cast<std::uint64_t>(heads_[d]));
  }
  for (const Field& field : fields_) {
    put(body, field.name.size());
    body += field.name;
    put(body, field.shape.size());
    for (const int64_t size : field.shape) put(body, static_cast<std::uint64_t>(size));
  }
  const size_t header_bytes = (kFixedBytes + body.size() + kPage - 1) / kPage * kPage;
  body.resize(header_bytes - kFixedBytes, '\0');
  Checksum header_sum, data_sum;
  header_sum.add(body.data(), body.size());

  Temporary temporary{path + ".tmp-" + std::to_string(::getpid())};
  {
    File file("save", temporary.path, O_WRONLY | O_CREAT | O_TRUNC);
    size_t offset = header_bytes;
    const int64_t chunk = std::max<int64_t>(1, kChunk / row_bytes() / 8 * 8);  // whole rounds of the checksum's chains
    for (int64_t d = 0; d < datasets(); ++d) {
      for (int64_t row = 0; row < size(d); row += chunk) {
        const at::Tensor rows = rows_.select(0, d).narrow(0, row, std::min(chunk, size(d) - row)).to(at::kCPU);
        data_sum.add(static_cast<const char*>(rows.const_data_ptr()), rows.nbytes());
        file.write(static_cast<const char*>(rows.const_data_ptr()), rows.nbytes(), offset);
        offset += rows.nbytes();
      }
    }
    std::string head(kMagic, sizeof(kMagic));
    put(head, header_bytes);
    put(head, header_sum.value());
    put(head, data_sum.value());
    head += body;
    file.write(head.data(), head.size(), 0);
    file.sync();
  }
  if (::rename(temporary.path.c_str(), path.c_str()) != 0) fail("save", path);
  temporary.path.clear();
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  File("save", folder.empty() ? "." : folder.string(), O_RDONLY | O_DIRECTORY).sync();
}

ReplayBuffer ReplayBuffer::load(const std::string& path, at::Device device) {
  File file("load", path, O_RDONLY);
  char fixed[kFixedBytes];
  const bool has_head = file.read(fixed, kFixedBytes, 0) == kFixedBytes;
  TORCH_CHECK_VALUE(has_head && std::memcmp(fixed, kMagic, sizeof(kMagic)) == 0, "[replay::load] '", path,
                    "' is not a replay buffer");
  std::uint64_t header_bytes = 0, header_expected = 0, data_expected = 0;
  std::memcpy(&header_bytes, fixed + 8, 8);
  std::memcpy(&header_expected, fixed + 16, 8);
  std::memcpy(&data_expected, fixed + 24, 8);
  TORCH_CHECK_VALUE(header_bytes >= kPage && header_bytes <= file.bytes(), "[replay::load] '", path,
                    "' is truncated or damaged: it ends inside its header");
  std::string body(header_bytes - kFixedBytes, '\0');
  file.read(body.data(), body.size(), kFixedBytes);
  Checksum header_sum, data_sum;
  header_sum.add(body.data(), body.size());
  TORCH_CHECK_VALUE(header_sum.value() == header_expected, "[replay::load] '", path,
                    "' is damaged: the checksum of its header is wrong");

  constexpr int64_t kMost = int64_t{1} << 48;
  Reader reader(body);
  const int64_t capacity = reader.number(1, kMost), datasets = reader.number(1, kMost);
  const int64_t element_bytes = reader.number(2, 4), row_numbers = reader.number(1, kMost);
  const int64_t field_count = reader.number(1, kMost);
  std::vector<int64_t> sizes, heads;
  int64_t total = 0;
  for (int64_t d = 0; d < datasets && reader.good; ++d) {
    sizes.push_back(reader.number(0, capacity));
    heads.push_back(reader.number(0, capacity - 1));
    total += sizes.back();
  }
  std::vector<Field> fields;
  for (int64_t f = 0; f < field_count && reader.good; ++f) {
    Field field{reader.name(), {}};
    const int64_t dims = reader.number(0, 64);
    for (int64_t i = 0; i < dims; ++i) field.shape.push_back(reader.number(1, kMost));
    fields.push_back(std::move(field));
  }
  TORCH_CHECK_VALUE(reader.good, "[replay::load] '", path, "' is damaged: its header makes no sense");
  ReplayBuffer buffer(capacity, std::move(fields), device, datasets, element_bytes == 2 ? at::kBFloat16 : at::kFloat);
  TORCH_CHECK_VALUE(buffer.rows_.size(2) == row_numbers, "[replay::load] '", path,
                    "' is damaged: its rows do not fit its fields");
  const size_t expected_bytes = header_bytes + static_cast<size_t>(total * buffer.row_bytes());
  TORCH_CHECK_VALUE(file.bytes() == expected_bytes, "[replay::load] '", path, "' is truncated or damaged: it has ",
                    file.bytes(), " bytes instead of ", expected_bytes);

  size_t offset = header_bytes;
  const int64_t chunk = std::max<int64_t>(1, kChunk / buffer.row_bytes() / 8 * 8);
  for (int64_t d = 0; d < datasets; ++d) {
    for (int64_t row = 0; row < sizes[static_cast<size_t>(d)]; row += chunk) {
      const int64_t count = std::min(chunk, sizes[static_cast<size_t>(d)] - row);
      const at::Tensor target = buffer.rows_.select(0, d).narrow(0, row, count);
      const at::Tensor rows = target.is_cpu() ? target : at::empty_like(target, at::TensorOptions(at::kCPU));
      file.read(static_cast<char*>(rows.mutable_data_ptr()), rows.nbytes(), offset);
      data_sum.add(static_cast<const char*>(rows.const_data_ptr()), rows.nbytes());
      if (!target.is_cpu()) target.copy_(rows);
      offset += rows.nbytes();
    }
  }
  TORCH_CHECK_VALUE(data_sum.value() == data_expected, "[replay::load] '", path,
                    "' is damaged: the checksum of its rows is wrong");
  buffer.sizes_ = std::move(sizes);
  buffer.heads_ = std::move(heads);
  return buffer;
}

}  // namespace omar::replay
