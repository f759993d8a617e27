#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>

namespace veredus::intake {

// Appends `text` as a JSON string, quotes included (RFC 8259 §7). Control bytes, '"' and '\' are
// escaped, DEL too (it disturbs terminals); bytes that are not UTF-8 become U+FFFD, so that what a
// remote server said never breaks a reader.
void append_json_string(std::string_view text, std::string& out);

// Appends JSON to a string, piece by piece; commas are put by themselves. Nesting is the caller's
// to keep right:
//   JsonWriter json(out);
//   json.begin_object().field("batch", name).field("accepted",
//   7).key("tags").begin_array().value("a").end_array(); json.end_object();
// `out` may hold other text in front; a writer on the same string can go on where another one
// stopped.
class JsonWriter {
 public:
  explicit JsonWriter(std::string& out) : out_(out), start_(out.size()) {}

  JsonWriter& begin_object() { return open('{'); }
  JsonWriter& end_object() { return close('}'); }
  JsonWriter& begin_array() { return open('['); }
  JsonWriter& end_array() { return close(']'); }
  // Keys are ours, not the world's: written as they are.
  JsonWriter& key(std::string_view name);

  JsonWriter& value(std::string_view text);
  JsonWriter& value(const char* text) { return value(std::string_view(text)); }
  JsonWriter& value(const std::string& text) { return value(std::string_view(text)); }
  JsonWriter& value(double number);  // NaN and infinities: null
  template <typename T>
  requires std::is_integral_v<T> JsonWriter& value(T number) {
    if constexpr (std::is_same_v<T, bool>) {
      return raw(number ? "true" : "false");
    } else if constexpr (std::is_signed_v<T>) {
      return signed_number(number);
    } else {
      return unsigned_number(number);
    }
  }
  JsonWriter& null() { return raw("null"); }
  // JSON text that is known to be well-formed and compact.
  JsonWriter& raw(std::string_view json);
  // Unix time in nanoseconds as an RFC 3339 string in UTC with milliseconds:
  // "2026-07-01T09:30:00.125Z".
  JsonWriter& time(int64_t wall_ns);

  template <typename T>
  JsonWriter& field(std::string_view name, const T& what) {
    return key(name).value(what);
  }
  // Left out when the text is empty.
  JsonWriter& field_if(std::string_view name, std::string_view text) {
    return text.empty() ? *this : key(name).value(text);
  }
  JsonWriter& raw_field(std::string_view name, std::string_view json) {
    return key(name).raw(json);
  }
  JsonWriter& time_field(std::string_view name, int64_t wall_ns) { return key(name).time(wall_ns); }
  // Ends a line of JSON lines; the next value starts afresh.
  JsonWriter& newline() {
    out_ += '\n';
    start_ = out_.size();
    return *this;
  }

 private:
  void comma();
  JsonWriter& open(char bracket);
  JsonWriter& close(char bracket);
  JsonWriter& signed_number(int64_t number);
  JsonWriter& unsigned_number(uint64_t number);

  std::string& out_;
  size_t start_;
};

}  // namespace veredus::intake
