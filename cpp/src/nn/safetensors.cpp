#include "nn/safetensors.h"

#include <algorithm>
#include <utility>

#include "core/json.h"

namespace omar::nn {
namespace {

constexpr std::size_t kLengthBytes = 8;
constexpr const char* kMetadata = "__metadata__";

/// Length of the header. \throws json::Error more than there are bytes
std::size_t header_bytes(std::string_view contents) {
  if (contents.size() < kLengthBytes) throw json::Error("it has fewer than 8 bytes");
  std::uint64_t length = 0;
  for (std::size_t i = kLengthBytes; i-- > 0;) length = length << 8 | static_cast<unsigned char>(contents[i]);
  if (length > contents.size() - kLengthBytes) throw json::Error("its header is longer than the file");
  return static_cast<std::size_t>(length);
}

/// The bytes of a tensor in those of all of them.
StoredTensor read_tensor(const json::Value& entry, std::string_view all) {
  StoredTensor tensor;
  tensor.dtype = entry.at("dtype").text();
  for (const json::Value& size : entry.at("shape").array()) tensor.shape.push_back(size.integer());
  const json::Array& offsets = entry.at("data_offsets").array();
  if (offsets.size() != 2) throw json::Error("a tensor has no two offsets");
  const auto begin = static_cast<std::size_t>(offsets[0].integer());
  const auto end = static_cast<std::size_t>(offsets[1].integer());
  if (begin > end || end > all.size()) throw json::Error("the bytes of a tensor lie outside the file");
  tensor.bytes = all.substr(begin, end - begin);
  return tensor;
}

/// One tensor after the other, from the first byte to the last.
void check_cover(const std::map<std::string, StoredTensor>& tensors, std::string_view all) {
  std::vector<std::string_view> pieces;
  for (const auto& [name, tensor] : tensors) pieces.push_back(tensor.bytes);
  std::sort(pieces.begin(), pieces.end(), [](std::string_view a, std::string_view b) {
    return std::pair(a.data(), a.size()) < std::pair(b.data(), b.size());
  });
  const char* end = all.data();
  for (const std::string_view piece : pieces) {
    if (piece.data() != end) throw json::Error("the bytes of its tensors have gaps or overlap");
    end += piece.size();
  }
  if (end != all.data() + all.size()) throw json::Error("it holds bytes that belong to no tensor");
}

}  // namespace

SafeTensors read_safetensors(std::string_view contents) {
  const std::size_t length = header_bytes(contents);
  const json::Value header = json::parse(contents.substr(kLengthBytes, length));
  const std::string_view all = contents.substr(kLengthBytes + length);
  SafeTensors file;
  for (const auto& [name, entry] : header.object()) {
    if (name != kMetadata) {
      file.tensors.emplace(name, read_tensor(entry, all));
      continue;
    }
    for (const auto& [key, value] : entry.object()) file.metadata.emplace(key, value.text());
  }
  check_cover(file.tensors, all);
  return file;
}

}  // namespace omar::nn
