// What a DKIM signature costs beside what it cannot do without: the RSA or Ed25519 operation, and
// SHA-256 of the same bytes.
//
// The `*_to_bare` rows do both in turn, within one run, and have the quotient of the medians as the
// counter `ratio`.

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <benchmark/benchmark.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include "engine/mail/dkim_canon.h"
#include "engine/mail/dkim_identity.h"
#include "engine/mail/dkim_signer.h"
#include "engine/mail/template.h"

namespace veredus::mail {
namespace {

constexpr int64_t kWall = 1'782'898'205'000'000'000;

// HTML as newsletters have it: indentation, some lines with white space at their end.
std::string html_of(size_t bytes) {
  std::string text;
  for (size_t line = 0; text.size() < bytes; ++line) {
    text += std::string(line % 5 * 2, ' ');
    text += "<td class=\"cell\"><a href=\"https://news.example.org/offers/";
    text += std::to_string(line) + "\">An offer of the week</a></td>";
    text += line % 9 == 0 ? " \r\n" : "\r\n";
  }
  text.resize(bytes - 2);
  return text + "\r\n";
}

// A message as the engine renders it: a trace field and Date made at sending, a header of usual
// size, a body with ten variables.
class Message {
 public:
  explicit Message(size_t body_bytes, bool slots_in_body = true) {
    text_ =
        "From: Example News <news@news.example.org>\r\nTo: {{to}}\r\nReply-To: Example "
        "<help@news.example.org>\r\nSubject: {{first}}, the offers of this week are here\r\n"
        "MIME-Version: 1.0\r\nContent-Type: text/html; charset=utf-8\r\n"
        "Content-Transfer-Encoding: 8bit\r\nList-Id: News <news.example.org>\r\n"
        "List-Unsubscribe: <https://news.example.org/u/{{id}}>, "
        "<mailto:u-{{id}}@news.example.org>\r\n"
        "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
        "Feedback-ID: spring:acme:bulk:veredus\r\n\r\n";
    std::string body = html_of(body_bytes);
    for (size_t i = 0; i < 10 && slots_in_body; ++i) {
      const size_t at = body.find("offers/", i * body_bytes / 11) + 7;
      body.insert(at, "{{first}}/");
    }
    text_ += body;
    compiled_ = std::make_unique<Template>(*Template::compile(
        text_, queue::kContentMerge | queue::kContentNoDate | queue::kContentNoMessageId));
    settings_.hostname = "mx1.news.example.org";
    renderer_ = std::make_unique<Renderer>(settings_);
    batch_.number = 3;
    batch_.sender = "bounce@news.example.org";
    batch_.accepted_wall_ns = kWall;
    entry_.to = "ada.lovelace@mail.example.net";
    entry_.id = "4711";
    entry_.vars.emplace_back("first", "Ada");
    RenderRequest request;
    request.batch = &batch_;
    request.entry = &entry_;
    std::string reverse_path;
    if (!renderer_->render(compiled_.get(), request, reverse_path, scratch_, rendered_).ok())
      abort();
  }
  std::span<const Piece> pieces() const { return rendered_.pieces; }
  std::string whole() const {
    std::string text;
    for (const Piece& piece : rendered_.pieces) text.append(piece.data, piece.size);
    return text;
  }

 private:
  std::string text_;
  std::unique_ptr<Template> compiled_;
  RenderSettings settings_;
  std::unique_ptr<Renderer> renderer_;
  queue::Batch batch_;
  queue::Entry entry_;
  std::string scratch_;
  Rendered rendered_;
};

struct KeyFree {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
using Key = std::unique_ptr<EVP_PKEY, KeyFree>;

Key make_key(bool rsa) {
  return Key(rsa ? EVP_RSA_gen(2048) : EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
}

DkimIdentity identity_of(const Key& key, bool relaxed = true) {
  EVP_PKEY_up_ref(key.get());
  DkimIdentity identity;
  identity.name = "news";
  identity.domain = "news.example.org";
  identity.selector = "s2026";
  identity.relaxed_header = identity.relaxed_body = relaxed;
  identity.lifetime_ns = 864'000'000'000'000;
  identity.key = DkimKey::of(key.get()).value();
  return identity;
}

// The least that OpenSSL lets one do: a signature over the header with a context that was made
// before, a hash of the body, both in one piece.
class Bare {
 public:
  Bare(const Key& key, bool rsa, std::string_view header, std::string_view body)
      : rsa_(rsa), key_(key.get()), header_(header), body_(body) {
    sha_ = EVP_MD_fetch(nullptr, "SHA2-256", nullptr);
    hash_ = EVP_MD_CTX_new();
    ready_ = EVP_MD_CTX_new();
    work_ = EVP_MD_CTX_new();
    EVP_DigestSignInit(ready_, nullptr, rsa ? EVP_sha256() : nullptr, nullptr, key_);
  }
  ~Bare() {
    EVP_MD_CTX_free(hash_);
    EVP_MD_CTX_free(ready_);
    EVP_MD_CTX_free(work_);
    EVP_MD_free(sha_);
  }
  void hash() {
    unsigned size = 0;
    EVP_DigestInit_ex2(hash_, sha_, nullptr);
    EVP_DigestUpdate(hash_, body_.data(), body_.size());
    EVP_DigestFinal_ex(hash_, digest_.data(), &size);
  }
  void sign() {
    size_t size = signature_.size();
    if (rsa_) {
      EVP_MD_CTX_copy_ex(work_, ready_);
      EVP_DigestSign(work_, signature_.data(), &size,
                     reinterpret_cast<const unsigned char*>(header_.data()), header_.size());
      return;
    }
    unsigned hashed = 0;
    EVP_DigestInit_ex2(hash_, sha_, nullptr);
    EVP_DigestUpdate(hash_, header_.data(), header_.size());
    EVP_DigestFinal_ex(hash_, digest_.data(), &hashed);
    EVP_DigestSignInit(work_, nullptr, nullptr, nullptr, key_);
    EVP_DigestSign(work_, signature_.data(), &size, digest_.data(), hashed);
  }
  unsigned char last() const { return signature_[0]; }

 private:
  const bool rsa_;
  EVP_PKEY* const key_;
  const std::string_view header_, body_;
  EVP_MD* sha_;
  EVP_MD_CTX *hash_, *ready_, *work_;
  std::array<unsigned char, 32> digest_{};
  std::array<unsigned char, 512> signature_{};
};

double median(std::vector<double>& values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

template <class Work>
double timed_ns(const Work& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - begin;
  return took.count();
}

// The bytes that are hashed for the header, about: what is signed, made canonical.
std::string header_data(const Message& message, size_t body_bytes) {
  const std::string whole = message.whole();
  return whole.substr(0, whole.size() - body_bytes) + std::string(700, 'x');
}

void sign_to_bare(benchmark::State& state, bool rsa, bool relaxed, bool constant_body) {
  const auto bytes = static_cast<size_t>(state.range(0));
  const Message message(bytes, !constant_body);
  const Key key = make_key(rsa);
  const DkimIdentity identity = identity_of(key, relaxed);
  const DkimIdentity* const identities[] = {&identity};
  const std::string whole = message.whole();
  const size_t body = whole.find("\r\n\r\n") + 4;
  const std::string header = header_data(message, whole.size() - body);
  Bare bare(key, rsa, header, std::string_view(whole).substr(body));
  DkimSigner signer;
  DkimBodyHashes hashes;
  std::string out;
  std::vector<double> ours, theirs;
  for (auto _ : state) {
    ours.push_back(timed_ns([&] {
      out.clear();
      const absl::Status status =
          signer.sign(identities, message.pieces(), kWall, constant_body ? &hashes : nullptr, out);
      benchmark::DoNotOptimize(status.ok());
    }));
    theirs.push_back(timed_ns([&] {
      bare.sign();
      if (!constant_body) bare.hash();
      benchmark::DoNotOptimize(bare.last());
    }));
  }
  const double signing = median(ours), least = median(theirs);
  state.counters["sign_us"] = signing / 1000;
  state.counters["bare_us"] = least / 1000;
  state.counters["more_us"] = (signing - least) / 1000;
  state.counters["ratio"] = signing / least;
}
BENCHMARK_CAPTURE(sign_to_bare, rsa2048_personalised, true, true, false)->Arg(10240);
BENCHMARK_CAPTURE(sign_to_bare, rsa2048_personalised_simple, true, false, false)->Arg(10240);
BENCHMARK_CAPTURE(sign_to_bare, rsa2048_constant_body, true, true, true)->Arg(10240);
BENCHMARK_CAPTURE(sign_to_bare, ed25519_personalised, false, true, false)->Arg(10240);
BENCHMARK_CAPTURE(sign_to_bare, ed25519_constant_body, false, true, true)->Arg(10240);

struct Nothing final : CanonSink {
  void take(const char* data, size_t size) override {
    benchmark::DoNotOptimize(data);
    bytes += size;
  }
  size_t bytes = 0;
};

void body_canon(benchmark::State& state, DkimCanon canon) {
  const Message message(static_cast<size_t>(state.range(0)));
  Nothing sink;
  for (auto _ : state) {
    DkimBodyCanon body(canon, sink);
    for (const Piece& piece : message.pieces()) body.update({piece.data, piece.size});
    body.finish();
  }
  state.SetBytesProcessed(static_cast<int64_t>(sink.bytes));
}
BENCHMARK_CAPTURE(body_canon, relaxed, DkimCanon::relaxed)->Arg(2048)->Arg(10240)->Arg(102400);
BENCHMARK_CAPTURE(body_canon, simple, DkimCanon::simple)->Arg(2048)->Arg(10240)->Arg(102400);

void body_sha256(benchmark::State& state) {
  const std::string body = html_of(static_cast<size_t>(state.range(0)));
  Sha256 sha;
  Sha256Digest digest{};
  for (auto _ : state) {
    sha.begin();
    sha.update(body.data(), body.size());
    benchmark::DoNotOptimize(sha.finish(digest));
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * body.size()));
}
BENCHMARK(body_sha256)->Arg(2048)->Arg(10240)->Arg(102400);

void header_fields(benchmark::State& state) {
  const Message message(2048);
  DkimHeader header;
  std::string out;
  for (auto _ : state) {
    header.read(message.pieces());
    out.clear();
    for (size_t i = 0; i < header.size(); ++i)
      append_canonical_field(DkimCanon::relaxed, header.field(i), out);
    benchmark::DoNotOptimize(out.data());
  }
}
BENCHMARK(header_fields);

}  // namespace
}  // namespace veredus::mail

BENCHMARK_MAIN();
