#pragma once

#include <string_view>

namespace veredus::mail {

// The domain that a registry gave to somebody: news.example.co.uk is of example.co.uk (RFC 7489
// §3.2, by the public suffix list that libpsl was built with). `domain`: in A-labels and small
// letters. What is a public suffix itself, and a name of one label, is its own.
std::string_view organizational_domain(std::string_view domain);

// Whether a signature of `signer` speaks for an author of `author`: relaxed alignment (RFC 7489
// §3.1.1). Both in A-labels and small letters. Under 1 µs.
bool is_aligned(std::string_view signer, std::string_view author);

}  // namespace veredus::mail
