#include "core/json.h"

#include <charconv>
#include <cmath>
#include <locale>
#include <sstream>

namespace omar::json {
namespace {

constexpr int kDeepest = 64;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

void append_utf8(std::string& text, std::uint32_t point) {
  const auto put = [&](std::uint32_t byte) { text += static_cast<char>(byte); };
  if (point < 0x80) {
    put(point);
  } else if (point < 0x800) {
    put(0xC0 | point >> 6);
    put(0x80 | (point & 0x3F));
  } else if (point < 0x10000) {
    put(0xE0 | point >> 12);
    put(0x80 | (point >> 6 & 0x3F));
    put(0x80 | (point & 0x3F));
  } else {
    put(0xF0 | point >> 18);
    put(0x80 | (point >> 12 & 0x3F));
    put(0x80 | (point >> 6 & 0x3F));
    put(0x80 | (point & 0x3F));
  }
}

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Value whole() {
    Value value = read(0);
    skip_space();
    if (at_ != text_.size()) fail("more text after its JSON");
    return value;
  }

 private:
  [[noreturn]] void fail(const char* what) const {
    throw Error(std::string(what) + " at byte " + std::to_string(at_) + " of its JSON");
  }

  bool ended() const { return at_ == text_.size(); }
  char peek() const { return ended() ? '\0' : text_[at_]; }
  void skip_space() {
    while (!ended() && (peek() == ' ' || peek() == '\t' || peek() == '\n' || peek() == '\r')) ++at_;
  }
  bool take(char c) {
    if (ended() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!take(c)) fail("another character than expected");
  }
  bool take_word(std::string_view word) {
    if (text_.substr(at_, word.size()) != word) return false;
    at_ += word.size();
    return true;
  }

  Value read(int depth) {
    if (depth > kDeepest) fail("values nested too deep");
    skip_space();
    switch (peek()) {
      case '{': return Value(read_object(depth));
      case '[': return Value(read_array(depth));
      case '"': return Value(read_text());
      default: break;
    }
    if (take_word("null")) return Value();
    if (take_word("true")) return Value(true);
    if (take_word("false")) return Value(false);
    return Value(read_number());
  }

  Object read_object(int depth) {
    Object object;
    expect('{');
    skip_space();
    if (take('}')) return object;
    for (;;) {
      skip_space();
      std::string name = read_text();
      skip_space();
      expect(':');
      Value value = read(depth + 1);
      if (!object.emplace(std::move(name), std::move(value)).second) fail("a name twice in an object");
      skip_space();
      if (take('}')) return object;
      expect(',');
    }
  }

  Array read_array(int depth) {
    Array array;
    expect('[');
    skip_space();
    if (take(']')) return array;
    for (;;) {
      array.push_back(read(depth + 1));
      skip_space();
      if (take(']')) return array;
      expect(',');
    }
  }

  void take_digits() {
    if (!is_digit(peek())) fail("no digit of a number");
    while (is_digit(peek())) ++at_;
  }

  Value::Number read_number() {
    const std::size_t first = at_;
    take('-');
    if (!take('0')) take_digits();
    if (take('.')) take_digits();
    if (take('e') || take('E')) {
      if (!take('+')) take('-');
      take_digits();
    }
    return {std::string(text_.substr(first, at_ - first))};
  }

  std::string read_text() {
    std::string text;
    expect('"');
    for (;;) {
      if (ended()) fail("a text without an end");
      const auto byte = static_cast<unsigned char>(text_[at_]);
      if (byte == '"') {
        ++at_;
        return text;
      }
      if (byte < 0x20) fail("a control character in a text");
      if (byte == '\\') {
        ++at_;
        read_escape(text);
      } else {
        read_utf8(text);
      }
    }
  }

  void read_escape(std::string& text) {
    constexpr std::string_view names = "\"\\/bfnrt", meanings = "\"\\/\b\f\n\r\t";
    const char c = peek();
    const std::size_t known = ended() ? std::string_view::npos : names.find(c);
    if (known != std::string_view::npos) {
      ++at_;
      text += meanings[known];
      return;
    }
    expect('u');
    std::uint32_t point = read_unit();
    if (point >= 0xD800 && point < 0xDC00 && take_word("\\u")) {
      const std::uint32_t low = read_unit();
      if (low < 0xDC00 || low > 0xDFFF) fail("half of a character");
      point = 0x10000 + ((point - 0xD800) << 10) + (low - 0xDC00);
    }
    if (point >= 0xD800 && point < 0xE000) fail("half of a character");
    append_utf8(text, point);
  }

  std::uint32_t read_unit() {
    std::uint32_t unit = 0;
    const std::string_view digits = text_.substr(at_, 4);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), unit, 16);
    if (error != std::errc() || end != digits.data() + 4) fail("no four hexadecimal digits");
    at_ += 4;
    return unit;
  }

  /// One character beyond ASCII or of it, as it stands: no shorter form of another, no surrogate.
  void read_utf8(std::string& text) {
    const auto lead = static_cast<unsigned char>(text_[at_]);
    const std::size_t length = lead < 0x80 ? 1 : lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    constexpr std::uint32_t masks[] = {0x7F, 0x1F, 0x0F, 0x07}, least[] = {0, 0x80, 0x800, 0x10000};
    std::uint32_t point = lead & masks[length - 1];
    const bool lead_is_one = lead < 0x80 || (lead >= 0xC0 && lead < 0xF8);
    if (!lead_is_one || text_.size() - at_ < length) fail("a text that is not UTF-8");
    for (std::size_t i = 1; i < length; ++i) {
      const auto byte = static_cast<unsigned char>(text_[at_ + i]);
      if ((byte & 0xC0) != 0x80) fail("a text that is not UTF-8");
      point = point << 6 | (byte & 0x3F);
    }
    if (point < least[length - 1] || point > 0x10FFFF || (point >= 0xD800 && point < 0xE000)) {
      fail("a text that is not UTF-8");
    }
    text.append(text_.substr(at_, length));
    at_ += length;
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

}  // namespace

double Value::number() const {
  std::istringstream stream(get<Number>("a number").text);
  stream.imbue(std::locale::classic());
  double value = 0.0;
  if (!(stream >> value) || !std::isfinite(value)) throw Error("a number is too large");
  return value;
}

std::int64_t Value::integer() const {
  const std::string& text = get<Number>("a number").text;
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0) {
    throw Error("a number is not an integer of at least 0");
  }
  return value;
}

const Value& Value::at(std::string_view name) const {
  const Object& entries = object();
  const auto found = entries.find(name);
  if (found == entries.end()) throw Error("an object has no entry \"" + std::string(name) + "\"");
  return found->second;
}

Value parse(std::string_view text) { return Parser(text).whole(); }

}  // namespace omar::json
