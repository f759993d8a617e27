#pragma once

#include <string_view>

namespace veredus::mail {

// The domain that a registry gave to somebody: news.example.co.uk is of example.co.uk (RFC 7489
// §3.2, by the public suffix list that libpsl was built with). `domain`: in A-labels and small
// letters. What is a public suffix itself, and a name of one label, is its own. Under 1 µs.
std::string_view organizational_domain(std::string_view domain);

}  // namespace veredus::mail
