#pragma once
/// Strict JSON (RFC 8259): what a damaged or hostile file may hold is refused, in bounded time and memory.

#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace omar::json {

/// Text that is no JSON, or a value of another kind than was asked for; one short sentence without a full stop.
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class Value;
using Array = std::vector<Value>;
using Object = std::map<std::string, Value, std::less<>>;

/// One value. Members \throws Error where it is of another kind.
class Value {
 public:
  /// A number as it was written: integers lose no digit.
  struct Number {
    std::string text;
  };

  Value() = default;
  template <class T>
  explicit Value(T value) : value_(std::move(value)) {}

  bool is_null() const { return std::holds_alternative<std::monostate>(value_); }
  const Object& object() const { return get<Object>("an object"); }
  const Array& array() const { return get<Array>("an array"); }
  const std::string& text() const { return get<std::string>("text"); }
  double number() const;         ///< finite
  std::int64_t integer() const;  ///< at least 0, without fraction and exponent
  /// Entry of an object.
  const Value& at(std::string_view name) const;

 private:
  template <class T>
  const T& get(const char* kind) const {
    const T* found = std::get_if<T>(&value_);
    if (found == nullptr) throw Error(std::string("a value is not ") + kind);
    return *found;
  }

  std::variant<std::monostate, bool, Number, std::string, Array, Object> value_;
};

/// The value of a whole text in UTF-8. Names of an object are distinct, values nest at most 64 deep.
Value parse(std::string_view text);

}  // namespace omar::json
