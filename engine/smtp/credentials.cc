#include "engine/smtp/credentials.h"

#include <algorithm>
#include <array>

#include "absl/strings/escaping.h"
#include "absl/strings/string_view.h"

namespace veredus::smtp {
namespace {

constexpr std::string_view kInstead = "(credentials)";
// A shorter run of letters may be a word.
constexpr size_t kPartMin = 8;

void replace_all(std::string& text, std::string_view what) {
  if (what.empty()) return;
  for (size_t at = text.find(what); at != std::string::npos;
       at = text.find(what, at + kInstead.size()))
    text.replace(at, what.size(), kInstead);
}

bool is_base64(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' ||
         c == '/' || c == '=';
}

}  // namespace

std::string base64(std::string_view text) {
  return absl::Base64Escape(absl::string_view(text.data(), text.size()));
}

std::string plain_response(const Credentials& credentials) {
  std::string text(1, '\0');
  text.append(credentials.user).append(1, '\0').append(credentials.password);
  return base64(text);
}

std::string without_credentials(std::string_view text, const Credentials& credentials) {
  const std::array<std::string, 3> coded = {plain_response(credentials),
                                            base64(credentials.password), base64(credentials.user)};
  std::string out(text);
  for (const std::string& secret : coded) replace_all(out, secret);
  replace_all(out, credentials.password);
  // A line that was cut, or is told over several.
  for (size_t at = 0; at < out.size();) {
    const auto begin = out.begin() + static_cast<std::ptrdiff_t>(at);
    const auto end = std::find_if_not(begin, out.end(), is_base64);
    const std::string run(begin, end);
    const bool part = run.size() >= kPartMin &&
                      std::any_of(coded.begin(), coded.end(), [&run](const std::string& secret) {
                        return secret.find(run) != std::string::npos;
                      });
    if (part) out.replace(at, run.size(), kInstead);
    at += (part ? kInstead.size() : run.size()) + 1;
  }
  return out;
}

}  // namespace veredus::smtp
