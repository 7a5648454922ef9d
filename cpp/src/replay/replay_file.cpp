/// The file of a replay buffer: one header of whole 4,096-byte pages, then each dataset's rows as they lie in memory.
/// All numbers are little endian. Header: magic, header bytes, header checksum, data checksum, capacity, datasets,
/// bytes of a number (4 float32, 2 bfloat16), numbers of a stored row, number of fields; size and head of each dataset;
/// name and shape of each field.

#include <omar/core/check.h>
#include <omar/replay/replay_buffer.h>

#include <ATen/ops/empty_like.h>
#include <c10/util/Exception.h>
#include <fcntl.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <mutex>

#include "replay/buffer_impl.h"
#include "replay/file_io.h"

namespace omar::replay {
namespace {

static_assert(std::endian::native == std::endian::little, "the file format is written as memory lies");

constexpr std::string_view kSave = "replay::save";
constexpr std::string_view kLoad = "replay::load";
constexpr char kMagic[8] = {'O', 'M', 'A', 'R', 'R', 'P', 'L', '1'};
constexpr size_t kPage = 4096;
constexpr size_t kFixedBytes = 8 + 3 * sizeof(std::uint64_t);  // magic, header bytes and both checksums

/// The header after its fixed part.
struct Header {
  int64_t capacity;
  int64_t element_bytes;
  int64_t row_numbers;
  std::vector<int64_t> sizes;
  std::vector<int64_t> heads;
  std::vector<Field> fields;

  std::string text() const;
  /// \throws c10::ValueError a text that is no header
  static Header read(const std::string& path, std::string_view text);
};

std::string Header::text() const {
  std::string text;
  put(text, static_cast<std::uint64_t>(capacity));
  put(text, sizes.size());
  put(text, static_cast<std::uint64_t>(element_bytes));
  put(text, static_cast<std::uint64_t>(row_numbers));
  put(text, fields.size());
  for (size_t d = 0; d < sizes.size(); ++d) {
    put(text, static_cast<std::uint64_t>(sizes[d]));
    put(text, static_cast<std::uint64_t>(heads[d]));
  }
  for (const Field& field : fields) {
    put(text, field.name.size());
    text += field.name;
    put(text, field.shape.size());
    for (const int64_t size : field.shape) put(text, static_cast<std::uint64_t>(size));
  }
  return text;
}

Header Header::read(const std::string& path, std::string_view text) {
  constexpr int64_t kMost = int64_t{1} << 48;
  Reader reader(text);
  Header header{};
  header.capacity = reader.number(1, kMost);
  const int64_t datasets = reader.number(1, kMost);
  header.element_bytes = reader.number(2, 4);
  header.row_numbers = reader.number(1, kMost);
  const int64_t field_count = reader.number(1, kMost);
  for (int64_t d = 0; d < datasets && reader.good; ++d) {
    header.sizes.push_back(reader.number(0, header.capacity));
    header.heads.push_back(reader.number(0, header.capacity - 1));
  }
  for (int64_t f = 0; f < field_count && reader.good; ++f) {
    Field field{reader.name(), {}};
    const int64_t dims = reader.number(0, 64);
    for (int64_t i = 0; i < dims; ++i) field.shape.push_back(reader.number(1, kMost));
    header.fields.push_back(std::move(field));
  }
  TORCH_CHECK_VALUE(reader.good, "[", kLoad, "] '", path, "' is damaged: its header makes no sense");
  return header;
}

/// Calls body(rows) for all rows of a dataset, some megabytes at a time, in whole rounds of the checksum's chains.
template <class Body>
void for_chunks(const at::Tensor& rows, int64_t size, const Body& body) {
  constexpr int64_t kChunk = int64_t{4} << 20;
  const int64_t row_bytes = rows.size(1) * static_cast<int64_t>(rows.element_size());
  const int64_t chunk = std::max<int64_t>(1, kChunk / row_bytes / 8 * 8);
  for (int64_t row = 0; row < size; row += chunk) body(rows.narrow(0, row, std::min(chunk, size - row)));
}

/// The header's text, its checksum tested, and the data's checksum.
std::pair<std::string, std::uint64_t> read_header(const std::string& path, File& file) {
  char fixed[kFixedBytes];
  const bool has_head = file.read(fixed, kFixedBytes, 0) == kFixedBytes;
  TORCH_CHECK_VALUE(has_head && std::memcmp(fixed, kMagic, sizeof(kMagic)) == 0, "[", kLoad, "] '", path,
                    "' is not a replay buffer");
  std::uint64_t header_bytes = 0, header_expected = 0, data_expected = 0;
  std::memcpy(&header_bytes, fixed + 8, 8);
  std::memcpy(&header_expected, fixed + 16, 8);
  std::memcpy(&data_expected, fixed + 24, 8);
  TORCH_CHECK_VALUE(header_bytes >= kPage && header_bytes <= file.bytes(), "[", kLoad, "] '", path,
                    "' is truncated or damaged: it ends inside its header");
  std::string text(header_bytes - kFixedBytes, '\0');
  file.read(text.data(), text.size(), kFixedBytes);
  Checksum sum;
  sum.add(text.data(), text.size());
  TORCH_CHECK_VALUE(sum.value() == header_expected, "[", kLoad, "] '", path,
                    "' is damaged: the checksum of its header is wrong");
  return {std::move(text), data_expected};
}

/// The rows that a header speaks of fill the rest of the file, so that nobody allocates memory for a false header.
void check_bytes(const std::string& path, const Header& header, const Layout& layout, size_t header_bytes,
                 size_t file_bytes) {
  TORCH_CHECK_VALUE(layout.padded_count(header.element_bytes) == header.row_numbers, "[", kLoad, "] '", path,
                    "' is damaged: its rows do not fit its fields");
  int64_t rows = 0;
  for (const int64_t size : header.sizes) rows += size;  // below 2^63: the header would not hold so many sizes
  const int64_t data = check::product(kLoad, "the rows of a file", {rows, header.row_numbers, header.element_bytes});
  const size_t expected = header_bytes + static_cast<size_t>(data);
  TORCH_CHECK_VALUE(file_bytes == expected, "[", kLoad, "] '", path, "' is truncated or damaged: it has ", file_bytes,
                    " bytes instead of ", expected);
}

}  // namespace

void ReplayBuffer::save(const std::string& path) const {
  TORCH_CHECK_VALUE(!is_view(), "[", kSave,
                    "] this buffer is a view of its columns: there is nothing of its own to save");
  const Impl& m = *impl_;
  const std::shared_lock lock(m.mutex);
  const auto element_bytes = static_cast<int64_t>(m.rows.element_size());
  std::string text = Header{m.capacity, element_bytes, m.rows.size(2), m.sizes, m.heads, m.layout.fields()}.text();
  const size_t header_bytes = (kFixedBytes + text.size() + kPage - 1) / kPage * kPage;
  text.resize(header_bytes - kFixedBytes, '\0');
  Checksum header_sum, data_sum;
  header_sum.add(text.data(), text.size());

  Replacement target(kSave, path);
  size_t offset = header_bytes;
  for (int64_t d = 0; d < m.datasets(); ++d) {
    for_chunks(m.rows.select(0, d), m.size(d), [&](const at::Tensor& chunk) {
      const at::Tensor rows = chunk.to(at::kCPU);
      data_sum.add(const_bytes_of(rows), rows.nbytes());
      target.file().write(const_bytes_of(rows), rows.nbytes(), offset);
      offset += rows.nbytes();
    });
  }
  std::string head(kMagic, sizeof(kMagic));
  put(head, header_bytes);
  put(head, header_sum.value());
  put(head, data_sum.value());
  head += text;
  target.file().write(head.data(), head.size(), 0);
  target.commit();
}

ReplayBuffer ReplayBuffer::load(const std::string& path, at::Device device) {
  File file(kLoad, path, O_RDONLY);
  const auto [text, data_expected] = read_header(path, file);
  const size_t header_bytes = kFixedBytes + text.size();
  Header header = Header::read(path, text);
  check_bytes(path, header, Layout(header.fields), header_bytes, file.bytes());
  ReplayBuffer buffer(header.capacity, header.fields, device, static_cast<int64_t>(header.sizes.size()),
                      header.element_bytes == 2 ? at::kBFloat16 : at::kFloat);
  Impl& m = *buffer.impl_;
  Checksum data_sum;
  size_t offset = header_bytes;
  for (int64_t d = 0; d < m.datasets(); ++d) {
    for_chunks(m.rows.select(0, d), header.sizes[static_cast<size_t>(d)], [&](const at::Tensor& target) {
      const at::Tensor rows = target.is_cpu() ? target : at::empty_like(target, at::TensorOptions(at::kCPU));
      file.read(bytes_of(rows), rows.nbytes(), offset);
      data_sum.add(const_bytes_of(rows), rows.nbytes());
      if (!target.is_cpu()) target.copy_(rows);
      offset += rows.nbytes();
    });
  }
  TORCH_CHECK_VALUE(data_sum.value() == data_expected, "[", kLoad, "] '", path,
                    "' is damaged: the checksum of its rows is wrong");
  m.sizes = std::move(header.sizes);
  m.heads = std::move(header.heads);
  return buffer;
}

}  // namespace omar::replay
