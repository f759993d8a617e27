#include "engine/mail/html_markup.h"

#include <algorithm>

#include "engine/mail/tag_span.h"

namespace veredus::mail {
namespace {

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f';
}
char in_small(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}

bool same_letters(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return in_small(x) == in_small(y); });
}

// Reads what stands between the name and the >. Every step takes a byte at least.
class Attributes {
 public:
  Attributes(std::string_view html, size_t at, bool merge) : html_(html), at_(at), merge_(merge) {}

  // Behind the >.
  size_t run(Markup& found) {
    while (true) {
      while (!ended() && (is_blank(html_[at_]) || html_[at_] == '/')) ++at_;
      if (ended()) return at_;
      if (html_[at_] == '>') return at_ + 1;
      const size_t begin = at_;
      do {
        step();
      } while (!ended() && !is_blank(html_[at_]) && html_[at_] != '=' && html_[at_] != '>' &&
               html_[at_] != '/');
      const std::string_view name = html_.substr(begin, at_ - begin);
      while (!ended() && is_blank(html_[at_])) ++at_;
      std::string_view value;
      if (!ended() && html_[at_] == '=') value = behind_equals();
      if (found.attribute_count < Markup::kAttributesMax)
        found.attributes[found.attribute_count++] = {name, value};
    }
  }

 private:
  bool ended() const { return at_ == html_.size(); }
  void step() {
    if (merge_ && html_.substr(at_).starts_with("{{")) {
      const size_t length = tag_length(html_, at_);
      if (length != std::string_view::npos) {
        at_ += length;
        return;
      }
      merge_ = false;  // one that is not closed: nobody looks for its end again
    }
    ++at_;
  }
  std::string_view behind_equals() {
    ++at_;
    while (!ended() && is_blank(html_[at_])) ++at_;
    if (ended()) return {};
    const char quote = html_[at_];
    const size_t begin = at_;
    if (quote != '"' && quote != '\'') {
      while (!ended() && !is_blank(html_[at_]) && html_[at_] != '>') step();
      return html_.substr(begin, at_ - begin);
    }
    ++at_;
    while (!ended() && html_[at_] != quote) step();
    const std::string_view value = html_.substr(begin + 1, at_ - begin - 1);
    if (!ended()) ++at_;
    return value;
  }

  std::string_view html_;
  size_t at_;
  bool merge_;
};

void skip_behind(std::string_view& html, std::string_view end, size_t from) {
  const size_t found = html.find(end, from);
  html.remove_prefix(found == std::string_view::npos ? html.size() : found + end.size());
}

}  // namespace

std::string_view Markup::attribute(std::string_view small) const {
  for (size_t i = 0; i < attribute_count; ++i) {
    if (same_letters(attributes[i].first, small)) return attributes[i].second;
  }
  return {};
}

bool take_markup(std::string_view& html, bool merge, Markup& found) {
  found.name = {};
  found.closes = false;
  found.attribute_count = 0;
  if (html.starts_with("<!--")) {
    skip_behind(html, "-->", 2);  // <!--> is a whole one
    return true;
  }
  if (html.starts_with("<!") || html.starts_with("<?")) {
    skip_behind(html, ">", 2);
    return true;
  }
  found.closes = html.starts_with("</");
  const size_t begin = found.closes ? 2 : 1;
  if (begin == html.size() || !is_letter(html[begin])) return false;
  size_t end = begin;
  while (end < html.size() && !is_blank(html[end]) && html[end] != '>' && html[end] != '/') ++end;
  found.name = html.substr(begin, end - begin);
  html.remove_prefix(Attributes(html, end, merge).run(found));
  return true;
}

void skip_to_end_of(std::string_view& html, std::string_view name) {
  for (size_t at = 0; (at = html.find("</", at)) != std::string_view::npos; at += 2) {
    if (!same_letters(html.substr(at + 2, name.size()), name)) continue;
    skip_behind(html, ">", at);
    return;
  }
  html = {};
}

}  // namespace veredus::mail
