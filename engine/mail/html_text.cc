#include "engine/mail/html_text.h"

#include <algorithm>
#include <array>
#include <vector>

#include "engine/mail/header_field.h"
#include "engine/mail/html_entity.h"
#include "engine/mail/html_markup.h"
#include "engine/mail/tag_span.h"
#include "engine/mail/utf8.h"

namespace veredus::mail {
namespace {

constexpr size_t kColumnsMax = 76;   // characters, of lines with a blank to break them at
constexpr size_t kListDepthMax = 8;  // lists within lists that are told apart

// Elements that begin a line, and end one.
constexpr std::array<std::string_view, 27> kLines = {
    "address", "article", "aside",  "body",    "caption",  "center", "dd",     "details", "div",
    "dl",      "dt",      "figure", "footer",  "fieldset", "form",   "header", "html",    "legend",
    "main",    "nav",     "option", "section", "summary",  "table",  "tbody",  "thead",   "tr"};
// … and have an empty line in front of them and behind.
constexpr std::array<std::string_view, 9> kParagraphs = {"blockquote", "h1", "h2", "h3", "h4",
                                                         "h5",         "h6", "p",  "pre"};
// Elements of a head: another one ends it, if </head> is missing.
constexpr std::array<std::string_view, 8> kOfHead = {"base",     "link",  "meta",   "noscript",
                                                     "template", "style", "script", "title"};
// Elements whose text is not shown, and is no HTML.
constexpr std::array<std::string_view, 5> kNotShown = {"iframe", "script", "style", "title", "xml"};

template <size_t N>
bool is_among(const std::array<std::string_view, N>& names, std::string_view name) {
  return std::any_of(names.begin(), names.end(),
                     [&](std::string_view each) { return same_name(name, each); });
}

bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f';
}

// Puts text on lines: blanks and breaks wait until something follows them.
class Lines {
 public:
  Lines(std::string& out, bool merge) : out_(out), merge_(merge) {}

  // 1: the next text begins a line; 2: with an empty one in front.
  void end_line(unsigned breaks) {
    if (!marker_.empty()) return;  // the item's first line is where its marker is
    breaks_ = std::max(breaks_, breaks);
    blank_ = false;
  }
  void add_break() {
    if (marker_.empty()) breaks_ = std::min(breaks_ + 1, 2u);
    blank_ = false;
  }
  void add_blank() { blank_ = breaks_ == 0 && marker_.empty() && text_on_line_; }
  // In <pre>.
  void add_exact_blank() {
    start();
    out_ += ' ';
    brace_ = false;
    ++column_;
  }
  void set_marker(std::string marker) {
    end_line(1);
    marker_ = std::move(marker);
  }
  void drop_marker() { marker_.clear(); }

  void add(uint32_t point) {
    const bool within = nothing_waits();
    // What looks like the begin of a tag and is none.
    const bool second = merge_ && point == '{' && within && brace_;
    start();
    if (second) {
      out_.pop_back();
      out_ += "{{\"{{\"}}";
      brace_ = false;
    } else {
      append_utf8(point, out_);
      brace_ = point == '{';
    }
    ++column_;
    wrap();
  }
  void add_tag(std::string_view tag) {
    if (brace_) out_ += ' ';  // {{{ would be another tag
    brace_ = false;
    // A section takes with it the blank, or the break, that is in front of its text: so there are
    // not two of them when it is left out.
    if (is_section(tag)) {
      out_ += tag;
      return;
    }
    start();
    out_ += tag;
    column_ += tag.size();
    wrap();
  }
  bool nothing_waits() const { return breaks_ == 0 && !blank_ && marker_.empty(); }
  size_t size() const { return out_.size(); }
  std::string_view since(size_t at) const { return std::string_view(out_).substr(at); }
  void finish() {
    if (any_text_) out_ += '\n';
  }

 private:
  static bool is_section(std::string_view tag) {
    return tag.size() > 2 && std::string_view("#^/").find(tag[2]) != std::string_view::npos;
  }
  void start() {
    if (breaks_ != 0 && any_text_) {
      out_.append(breaks_, '\n');
      begin_line(0);
    }
    if (!marker_.empty()) {
      out_ += marker_;
      column_ += marker_.size();
    } else if (blank_ && breaks_ == 0) {
      last_blank_ = out_.size();
      at_last_blank_ = column_ + 1;
      out_ += ' ';
      ++column_;
    }
    if (breaks_ != 0 || blank_ || !marker_.empty()) brace_ = false;
    marker_.clear();
    breaks_ = 0;
    blank_ = false;
    any_text_ = text_on_line_ = true;
  }
  void begin_line(size_t column) {
    column_ = column;
    text_on_line_ = column != 0;
    last_blank_ = std::string::npos;
  }
  void wrap() {
    if (column_ <= kColumnsMax || last_blank_ == std::string::npos) return;
    out_[last_blank_] = '\n';
    begin_line(column_ - at_last_blank_);
  }

  std::string& out_;
  const bool merge_;
  size_t column_ = 0;  // characters on the open line
  size_t last_blank_ = std::string::npos, at_last_blank_ = 0;
  unsigned breaks_ = 0;
  bool blank_ = false;
  bool any_text_ = false, text_on_line_ = false;
  bool brace_ = false;  // the last character is a { of the text
  std::string marker_;
};

class Reader {
 public:
  Reader(std::string_view html, bool merge, std::string& out)
      : rest_(html), merge_(merge), lines_(out, merge) {}

  bool run() {
    while (!rest_.empty()) {
      if (merge_ && rest_.starts_with("{{")) {
        const size_t length = tag_length(rest_, 0);
        if (length == std::string_view::npos) return false;
        if (!in_head_) lines_.add_tag(rest_.substr(0, length));
        rest_.remove_prefix(length);
      } else if (rest_.front() == '<') {
        markup();
      } else {
        text();
      }
    }
    end_link();
    lines_.finish();
    return true;
  }

 private:
  void text() {
    uint32_t point = 0;
    const char c = rest_.front();
    if (c != '&' || !take_entity(rest_, point)) {
      if (is_blank(c)) {
        rest_.remove_prefix(1);
        return blank(c);
      }
      point = take_code_point(rest_);
    }
    if (!in_head_) character(point);
  }

  void blank(char c) {
    if (in_head_) return;
    if (pre_ == 0) {
      lines_.add_blank();
    } else if (c == '\n') {
      lines_.add_break();
    } else if (c != '\r') {
      lines_.add_exact_blank();
    }
  }

  void character(uint32_t point) {
    const bool control = point < 32 || (point >= 127 && point < 160);
    if (control || point == 0xA0 || (point >= 0x2002 && point <= 0x200A)) return lines_.add_blank();
    // Not seen: soft hyphen, joiner of graphemes, zero width blank, word joiner, byte order mark.
    if (point == 0xAD || point == 0x34F || point == 0x200B || point == 0x2060 || point == 0xFEFF)
      return;
    // These join letters. Between blanks they are what fills the preview of a message.
    if ((point == 0x200C || point == 0x200D) && !lines_.nothing_waits()) return;
    lines_.add(point);
  }

  // An attribute's value, decoded.
  void value(std::string_view text) {
    while (!text.empty()) {
      uint32_t point = 0;
      if (merge_ && text.starts_with("{{")) {
        const size_t length = tag_length(text, 0);
        if (length != std::string_view::npos) {
          lines_.add_tag(text.substr(0, length));
          text.remove_prefix(length);
          continue;
        }
      }
      const char c = text.front();
      if (c == '&' && take_entity(text, point)) {
        character(point);
      } else if (is_blank(c)) {
        text.remove_prefix(1);
        lines_.add_blank();
      } else {
        character(take_code_point(text));
      }
    }
  }

  void markup() {
    Markup found;
    if (!take_markup(rest_, merge_, found)) return character_of_text();
    if (found.name.empty()) return;  // a comment
    if (same_name(found.name, "head")) {
      in_head_ = !found.closes;
    } else if (in_head_ && !is_among(kOfHead, found.name)) {
      in_head_ = false;
    }
    if (!found.closes && is_among(kNotShown, found.name)) return skip_to_end_of(rest_, found.name);
    if (!in_head_) element(found);
  }

  void character_of_text() {
    const char c = rest_.front();
    rest_.remove_prefix(1);
    if (!in_head_) character(static_cast<unsigned char>(c));
  }

  void element(const Markup& found) {
    const std::string_view name = found.name;
    if (same_name(name, "br")) {
      lines_.add_break();
    } else if (same_name(name, "a")) {
      end_link();
      if (!found.closes) begin_link(found.attribute("href"));
    } else if (same_name(name, "img")) {
      value(found.attribute("alt"));
    } else if (same_name(name, "td") || same_name(name, "th")) {
      lines_.add_blank();
    } else if (same_name(name, "ul") || same_name(name, "ol")) {
      list(found.closes, same_name(name, "ol"));
    } else if (same_name(name, "li")) {
      item(found.closes);
    } else if (same_name(name, "hr")) {
      lines_.end_line(1);
      value("----------");
      lines_.end_line(1);
    } else if (is_among(kParagraphs, name)) {
      if (same_name(name, "pre")) pre_ = found.closes ? 0 : 1;
      lines_.end_line(lists_.empty() ? 2 : 1);
    } else if (is_among(kLines, name)) {
      lines_.end_line(1);
    }
  }

  void list(bool closes, bool numbered) {
    lines_.drop_marker();
    lines_.end_line(lists_.empty() || (closes && lists_.size() == 1) ? 2 : 1);
    if (!closes) {
      lists_.push_back(numbered ? 1 : 0);
      // As if the outer ones had ended: nobody sees where they did.
      if (lists_.size() > kListDepthMax) lists_.erase(lists_.begin());
    } else if (!lists_.empty()) {
      lists_.pop_back();
    }
  }

  void item(bool closes) {
    lines_.drop_marker();
    if (closes) return lines_.end_line(1);
    std::string marker(lists_.empty() ? 0 : 2 * (lists_.size() - 1), ' ');
    if (!lists_.empty() && lists_.back() != 0) {
      marker += std::to_string(lists_.back()++) + ". ";
    } else {
      marker += "* ";
    }
    lines_.set_marker(std::move(marker));
  }

  void begin_link(std::string_view address) {
    const size_t begin = std::min(address.find_first_not_of(" \t\r\n"), address.size());
    address.remove_prefix(begin);
    address = address.substr(0, address.find_last_not_of(" \t\r\n") + 1);
    const bool leads_somewhere = !address.empty() && address.front() != '#' &&
                                 !same_name(address.substr(0, 11), "javascript:");
    if (!leads_somewhere) return;
    link_ = address;
    link_text_ = lines_.size();
  }

  // The address, unless the link's text is just that.
  void end_link() {
    if (link_.empty()) return;
    std::string_view shown = lines_.since(link_text_);
    const size_t begin = std::min(shown.find_first_not_of(" \n"), shown.size());
    shown.remove_prefix(begin);
    std::string_view address = link_;
    link_ = {};
    if (same_name(address.substr(0, 7), "mailto:")) address.remove_prefix(7);
    if (shown == address || is_without_scheme(shown, address)) return;
    if (shown.empty()) return value(address);
    lines_.add_blank();
    lines_.add('(');
    value(address);
    lines_.add(')');
  }

  // www.example.org of https://www.example.org/
  static bool is_without_scheme(std::string_view shown, std::string_view address) {
    const size_t scheme = address.find("://");
    if (scheme == std::string_view::npos) return false;
    address.remove_prefix(scheme + 3);
    if (address.ends_with('/') && !shown.ends_with('/')) address.remove_suffix(1);
    return shown == address;
  }

  std::string_view rest_;
  const bool merge_;
  Lines lines_;
  std::vector<unsigned> lists_;  // number of the next item; 0: they have none
  std::string_view link_;
  size_t link_text_ = 0;
  unsigned pre_ = 0;
  bool in_head_ = false;
};

}  // namespace

bool append_html_text(std::string_view html, bool merge, std::string& out) {
  const size_t begin = out.size();
  // So nobody looks for the end of one tag after the other, in vain.
  if (merge && !tag_fault(html).empty()) return false;
  if (!Reader(html, merge, out).run()) return false;
  return !merge || tag_fault(std::string_view(out).substr(begin)).empty();
}

}  // namespace veredus::mail
