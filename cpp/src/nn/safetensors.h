#pragma once
/// Files of safetensors: the length of the header (8 bytes, little endian), the header as JSON, the tensors' bytes.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace omar::nn {

/// A tensor where it lies in a file.
struct StoredTensor {
  std::string dtype;  ///< such as "F32"
  std::vector<std::int64_t> shape;
  std::string_view bytes;
};

struct SafeTensors {
  std::map<std::string, std::string> metadata;
  std::map<std::string, StoredTensor> tensors;  ///< views into the file's contents
};

/// The tensors cover all bytes after the header, without gap or overlap. \throws json::Error says what is wrong
SafeTensors read_safetensors(std::string_view contents);

}  // namespace omar::nn
