#include "engine/intake/feed_line.h"

#include <algorithm>

#include "engine/intake/feed_json.h"
#include "engine/mail/xtext.h"

namespace veredus::intake {
namespace {

using simdjson::ondemand::value;

static_assert(simdjson::SIMDJSON_PADDING <= LineReader::kPadding);

enum Place : uint8_t { kBatchLine = 1, kRecipientLine = 2, kBoth = 3 };
enum class Type : uint8_t { string, boolean, integer, meta, tags, vars, message, dkim, dsn };
struct Key {
  std::string_view name;
  Place place;
  Type type;
};
constexpr std::array<Key, kFields> kKeys = {{
    {"batch", kBatchLine, Type::string},
    {"tenant", kBatchLine, Type::string},
    {"campaign", kBatchLine, Type::string},
    {"sender", kBoth, Type::string},
    {"verp", kBatchLine, Type::boolean},
    {"priority", kBoth, Type::integer},
    {"not_before", kBoth, Type::string},
    {"expires", kBoth, Type::string},
    {"pool", kBoth, Type::string},
    {"unique", kBatchLine, Type::boolean},
    {"tags", kBatchLine, Type::tags},
    {"meta", kBoth, Type::meta},
    {"vars", kBoth, Type::vars},
    {"merge", kBatchLine, Type::boolean},
    {"message", kBoth, Type::message},
    {"dkim", kBatchLine, Type::dkim},
    {"dsn", kBatchLine, Type::dsn},
    {"tls", kBatchLine, Type::string},
    {"to", kRecipientLine, Type::string},
    {"id", kRecipientLine, Type::string},
    {"name", kRecipientLine, Type::string},
}};
constexpr std::array<std::string_view, 3> kDsnKeys = {"notify", "ret", "envid"};

size_t find_key(std::string_view name) {
  for (size_t i = 0; i < kFields; ++i) {
    if (kKeys[i].name == name) return i;
  }
  return kFields;
}

// Letters to change, add or take away to make `b` of `a`; both short.
size_t distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

}  // namespace

std::string nearest(std::string_view key, std::span<const std::string_view> known) {
  std::string_view best;
  size_t least = SIZE_MAX;
  for (const std::string_view other : known) {
    const size_t d = distance(key.substr(0, 64), other);
    if (d < least) least = d, best = other;
  }
  if (least <= 3 && least < best.size()) return "did you mean \"" + std::string(best) + "\"?";
  std::string all = "known keys here:";
  for (const std::string_view other : known) all += " " + std::string(other);
  return all;
}

std::string_view name_of(Field field) {
  return kKeys[static_cast<size_t>(field)].name;
}

class LineReader::Impl : private LineJson {
 public:
  explicit Impl(const FeedLimits& limits) : LineJson(limits) {}

  bool read(std::string_view line, bool batch_line, FeedLine& out, FeedError& error) {
    begin(line, error);
    out.seen = 0;
    out.vars.clear();
    out.dkim.clear();
    out.message.clear();
    simdjson::ondemand::document document;
    if (parser_.iterate(line.data(), line.size(), line.size() + kPadding).get(document))
      return syntax(0);
    simdjson::ondemand::object object;
    if (document.get_object().get(object)) return syntax(0, "a line is one JSON object");
    for (auto each : object) {
      simdjson::ondemand::field field;
      if (std::move(each).get(field)) return syntax(0);
      if (!read_field(field, batch_line, out)) return false;
    }
    const char* behind = nullptr;
    if (document.current_location().get(behind) == simdjson::OUT_OF_BOUNDS) return true;
    return syntax(behind == nullptr ? 0 : offset_of(behind), "something follows the JSON object");
  }

  void shrink() { parser_ = simdjson::ondemand::parser(); }

 private:
  bool read_field(simdjson::ondemand::field& field, bool batch_line, FeedLine& out) {
    const size_t key_at = offset_of(field.key().raw()) - 1;
    std::string_view key;
    if (field.unescaped_key().get(key)) return syntax(key_at);
    const size_t which = find_key(key);
    const Place here = batch_line ? kBatchLine : kRecipientLine;
    if (which == kFields) {
      std::vector<std::string_view> known;
      for (const Key& each : kKeys) {
        if ((each.place & here) != 0) known.push_back(each.name);
      }
      return refuse(key_at, "the key " + quoted(key) + " is not known", nearest(key, known));
    }
    if ((kKeys[which].place & here) == 0) {
      return refuse(key_at,
                    "the key " + quoted(key) + " belongs to " +
                        (batch_line ? "recipient lines" : "the batch line, the first of the body"));
    }
    if ((out.seen >> which & 1) != 0)
      return refuse(key_at, "the key " + quoted(key) + " is there twice");
    out.seen |= 1u << which;
    value& what = field.value();
    out.at[which] = static_cast<uint32_t>(offset_of(what.raw_json_token().data()));
    return read_value(which, what, out);
  }

  bool read_value(size_t which, value& what, FeedLine& out) {
    const std::string_view key = kKeys[which].name;
    const size_t at = out.at[which];
    switch (kKeys[which].type) {
      case Type::string:
        return !what.get_string().get(out.text[which]) || wrong_type(at, key, "a string");
      case Type::boolean: {
        bool& flag = key == "verp" ? out.verp : key == "unique" ? out.unique : out.merge;
        return !what.get_bool().get(flag) || wrong_type(at, key, "true or false");
      }
      case Type::integer:
        return !what.get_int64().get(out.priority) ||
               wrong_type(at, key, "a whole number from 0 to 100");
      case Type::meta:
        return read_raw(which, what, out);
      case Type::tags:
        return read_tags(which, what, out);
      case Type::vars:
        return read_vars(what, at, out);
      case Type::message:
        return read_fed_message(*this, limits_, what, at, out.message);
      case Type::dkim:
        return read_dkim(what, at, out);
      case Type::dsn:
        return read_dsn(what, at, out.dsn);
    }
    return false;
  }

  // The raw text of an object, checked through and through.
  bool read_raw(size_t which, value& what, FeedLine& out) {
    const size_t at = out.at[which];
    simdjson::ondemand::object object;
    std::string_view text;
    if (what.get_object().get(object) || object.raw_json().get(text)) {
      return wrong_type(at, kKeys[which].name, "an object");
    }
    return keep_raw(which, text, out);
  }

  bool keep_raw(size_t which, std::string_view text, FeedLine& out) {
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t' || text.back() == '\r'))
      text.remove_suffix(1);
    const JsonFault fault = find_json_fault(text, limits_.nesting_max - 1);
    if (!fault.reason.empty()) return syntax(offset_of(text.data()) + fault.offset, fault.reason);
    text = compact_json(text, which == static_cast<size_t>(Field::meta) ? meta_ : tags_);
    if (text.size() > limits_.meta_bytes) {
      refuse(out.at[which], quoted(kKeys[which].name) + " is larger than " +
                                std::to_string(limits_.meta_bytes) + " bytes");
      error_->http = 413;
      error_->code = "too_large";
      return false;
    }
    out.text[which] = text;
    return true;
  }

  bool read_tags(size_t which, value& what, FeedLine& out) {
    const size_t at = out.at[which];
    simdjson::ondemand::array tags;
    if (what.get_array().get(tags)) return wrong_type(at, "tags", "an array of strings");
    uint32_t count = 0;
    for (auto each : tags) {
      std::string_view tag;
      if (each.get_string().get(tag)) return wrong_type(at, "tags", "an array of strings");
      if (++count > limits_.tags_max)
        return refuse(at, "more than " + std::to_string(limits_.tags_max) + " tags");
    }
    std::string_view text;
    if (tags.reset().error() || tags.raw_json().get(text)) return syntax(at);
    return keep_raw(which, text, out);
  }

  bool read_vars(value& what, size_t at, FeedLine& out) {
    simdjson::ondemand::object object;
    if (what.get_object().get(object)) return wrong_type(at, "vars", "an object");
    for (auto each : object) {
      simdjson::ondemand::field field;
      if (std::move(each).get(field)) return syntax(at);
      const size_t key_at = offset_of(field.key().raw()) - 1;
      std::string_view name, text;
      if (field.unescaped_key().get(name)) return syntax(key_at);
      if (!read_variable(field.value(), name, key_at, text)) return false;
      for (const auto& [other, other_text] : out.vars) {
        if (other == name) return refuse(key_at, "the key " + quoted(name) + " is there twice");
      }
      if (out.vars.size() == limits_.vars_max) {
        return refuse(key_at, "more than " + std::to_string(limits_.vars_max) + " variables");
      }
      out.vars.emplace_back(name, text);
    }
    return true;
  }

  // Strings as they are; numbers and booleans as they are written.
  bool read_variable(value& what, std::string_view name, size_t key_at, std::string_view& text) {
    simdjson::ondemand::json_type type;
    const std::string_view token = what.raw_json_token();
    if (what.type().get(type)) return syntax(key_at);
    switch (type) {
      case simdjson::ondemand::json_type::string:
        return !what.get_string().get(text) || syntax(key_at);
      case simdjson::ondemand::json_type::number: {
        simdjson::ondemand::number number;
        if (what.get_number().get(number))
          return syntax(key_at, "a number that is too large: put it in quotes");
        const size_t end = token.find_last_not_of(" \t\r");
        text = token.substr(0, end + 1);
        return true;
      }
      case simdjson::ondemand::json_type::boolean: {
        bool flag = false;
        if (what.get_bool().get(flag)) return syntax(key_at);
        text = flag ? "true" : "false";
        return true;
      }
      default:
        return wrong_type(key_at, name, "a string, a number, true or false: variables are texts");
    }
  }

  bool read_dkim(value& what, size_t at, FeedLine& out) {
    simdjson::ondemand::array names;
    if (what.get_array().get(names)) return wrong_type(at, "dkim", "an array of names");
    for (auto each : names) {
      std::string_view name;
      if (each.get_string().get(name)) return wrong_type(at, "dkim", "an array of names");
      if (std::find(out.dkim.begin(), out.dkim.end(), name) != out.dkim.end())
        return refuse(at, "\"dkim\" has " + quoted(name) + " twice");
      if (out.dkim.size() == limits_.dkim_max)
        return refuse(at, "more than " + std::to_string(limits_.dkim_max) + " signing identities");
      out.dkim.push_back(name);
    }
    return !out.dkim.empty() || whole();
  }

  bool read_dsn(value& what, size_t at, queue::Dsn& dsn) {
    dsn = {};
    simdjson::ondemand::object object;
    if (what.get_object().get(object)) return wrong_type(at, "dsn", "an object");
    unsigned seen = 0;
    for (auto each : object) {
      simdjson::ondemand::field field;
      if (std::move(each).get(field)) return syntax(at);
      const size_t key_at = offset_of(field.key().raw()) - 1;
      std::string_view key, text;
      if (field.unescaped_key().get(key)) return syntax(key_at);
      const auto known = std::find(kDsnKeys.begin(), kDsnKeys.end(), key);
      if (known == kDsnKeys.end())
        return refuse(key_at, "the key " + quoted(key) + " is not known", nearest(key, kDsnKeys));
      const unsigned bit = 1u << (known - kDsnKeys.begin());
      if ((seen & bit) != 0) return refuse(key_at, "the key " + quoted(key) + " is there twice");
      seen |= bit;
      if (key == "notify") {
        if (!read_notify(field.value(), key_at, dsn.notify)) return false;
        continue;
      }
      if (field.value().get_string().get(text)) return wrong_type(key_at, key, "a string");
      if (key == "ret") {
        if (text != "full" && text != "hdrs")
          return refuse(key_at, "\"ret\" is \"full\" or \"hdrs\"");
        dsn.ret = text == "full" ? queue::DsnReturn::full : queue::DsnReturn::headers;
      } else if (!read_envid(text, key_at, dsn.envid)) {
        return false;
      }
    }
    return seen != 0 || whole();
  }

  bool read_notify(value what, size_t key_at, uint8_t& notify) {
    static constexpr std::array<std::string_view, 4> kWords = {"never", "success", "failure",
                                                               "delay"};
    simdjson::ondemand::array words;
    if (what.get_array().get(words)) return wrong_type(key_at, "notify", "an array of strings");
    for (auto each : words) {
      std::string_view word;
      if (each.get_string().get(word)) return wrong_type(key_at, "notify", "an array of strings");
      const auto known = std::find(kWords.begin(), kWords.end(), word);
      if (known == kWords.end()) {
        return refuse(key_at, "\"notify\" does not know " + quoted(word),
                      "\"success\", \"failure\", \"delay\", or \"never\" alone");
      }
      notify |= static_cast<uint8_t>(1u << (known - kWords.begin()));
    }
    if (notify == 0) {
      return whole() && refuse(key_at, "\"notify\" is empty",
                               "[\"never\"] asks receivers for no notification");
    }
    if ((notify & queue::kDsnNever) == 0 || notify == queue::kDsnNever) return true;
    return refuse(key_at, "\"notify\": \"never\" stands alone (RFC 3461 section 4.1)");
  }

  bool read_envid(std::string_view text, size_t key_at, std::string& envid) {
    if (text.empty()) return refuse(key_at, "\"envid\" is empty", "leave it out");
    for (const char c : text) {
      if (c < 32 || c > 126)
        return refuse(key_at, "\"envid\" is printable ASCII (RFC 3461 section 4.4)");
    }
    if (mail::xtext_bytes(text) > mail::kEnvidBytesMax) {
      return refuse(key_at, "\"envid\" is longer than 100 bytes as xtext (RFC 3461 section 4.4)",
                    "blanks, + and = take three bytes each");
    }
    envid = text;
    return true;
  }

  simdjson::ondemand::parser parser_;
  std::string meta_, tags_;
};

LineReader::LineReader(const FeedLimits& limits) : impl_(std::make_unique<Impl>(limits)) {}
LineReader::~LineReader() = default;

bool LineReader::read(std::string_view line, bool batch_line, FeedLine& out, FeedError& error) {
  return impl_->read(line, batch_line, out, error);
}

void LineReader::shrink() {
  impl_->shrink();
}

}  // namespace veredus::intake
