// TLS over memory, against OpenSSL's own server.

#include "engine/io/tls.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/io/tls_server.h"

namespace veredus::io {
namespace {

using State = TlsChannel::State;
using test::TlsServer;
using test::TlsServerContext;
using testing::HasSubstr;

// The two ends, joined.
struct Pair {
  Pair(TlsContext& context, TlsServerContext& server_context, const std::string& name = "mx.test",
       const std::string& key = "a")
      : Pair(context, server_context, TlsPeer{name}, key) {}
  Pair(TlsContext& context, TlsServerContext& server_context, const TlsPeer& peer,
       const std::string& key = "a", int64_t mono_ns = 0)
      : client(context, peer, key, mono_ns), server(server_context) {}
  // Till nobody has anything to say. `cut`: the client gets so many bytes at a time.
  void run(size_t cut = 100'000) {
    for (bool more = true; more;) {
      const std::string up = client.take_output();
      server.receive(up);
      const std::string down = server.take();
      for (size_t at = 0; at < down.size(); at += cut) {
        client.receive(std::string_view(down).substr(at, cut), plaintext);
        server.receive(client.take_output());
      }
      more = !up.empty() || !down.empty();
    }
  }
  void send(std::string_view text) {
    const iovec piece{const_cast<char*>(text.data()), text.size()};
    std::string bytes;
    ASSERT_TRUE(client.send({&piece, 1}, bytes));
    server.receive(bytes);
  }
  TlsChannel client;
  TlsServer server;
  std::string plaintext;
};

class TlsVersions : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Of, TlsVersions, testing::Values(TLS1_2_VERSION, TLS1_3_VERSION),
                         [](const auto& version) {
                           return version.param == TLS1_2_VERSION ? "Tls12" : "Tls13";
                         });

TEST_P(TlsVersions, BothWaysHoweverItIsCut) {
  TlsContext context;
  TlsServerContext server_context(GetParam());
  for (const size_t cut : {size_t{1}, size_t{7}, size_t{100'000}}) {
    Pair pair(context, server_context, "mx.test", "cut" + std::to_string(cut));
    pair.run(cut);
    ASSERT_EQ(pair.client.state(), State::open) << pair.client.why();
    EXPECT_EQ(pair.server.server_name(), "mx.test");
    EXPECT_FALSE(pair.client.resumed());
    EXPECT_EQ(pair.client.protocol(), GetParam() == TLS1_2_VERSION ? "TLSv1.2" : "TLSv1.3");
    EXPECT_FALSE(pair.client.cipher().empty());
    pair.server.say("250 hello\r\n");
    pair.run(cut);
    EXPECT_EQ(pair.plaintext, "250 hello\r\n");
    pair.send("EHLO client\r\n");
    EXPECT_EQ(pair.server.heard(), "EHLO client\r\n");
  }
}

TEST_P(TlsVersions, PiecesBecomeWholeRecords) {
  TlsContext context;
  TlsServerContext server_context(GetParam());
  Pair pair(context, server_context);
  pair.run();
  std::string expected;
  std::vector<std::string> texts;
  for (size_t i = 0; i < 300; ++i) texts.push_back(std::string(i * i % 997, char('a' + i % 26)));
  texts.push_back(std::string(50'000, 'x'));  // more than a record
  std::vector<iovec> pieces;
  for (std::string& text : texts) {
    pieces.push_back({text.data(), text.size()});
    expected += text;
  }
  std::string bytes;
  ASSERT_TRUE(pair.client.send(pieces, bytes));
  const size_t records = (expected.size() + 16383) / 16384 + 2;
  EXPECT_LE(bytes.size(), expected.size() + records * 40);
  pair.server.receive(bytes);
  EXPECT_EQ(pair.server.heard(), expected);
}

TEST_P(TlsVersions, ASessionIsResumedWithTheSameHostOnly) {
  TlsContext context;
  TlsServerContext server_context(GetParam());
  for (const auto& [key, resumed] :
       {std::pair("a", false), std::pair("a", true), std::pair("b", false), std::pair("a", true)}) {
    Pair pair(context, server_context, "mx.test", key);
    pair.run();
    pair.server.say("250 hello\r\n");
    pair.run();
    ASSERT_EQ(pair.client.state(), State::open) << pair.client.why();
    EXPECT_EQ(pair.client.resumed(), resumed) << key;
  }
  EXPECT_EQ(context.sessions(), 2u);
  // A server that does not know it any more makes a new one.
  TlsServerContext restarted(GetParam());
  Pair pair(context, restarted);
  pair.run();
  EXPECT_EQ(pair.client.state(), State::open) << pair.client.why();
  EXPECT_FALSE(pair.client.resumed());
}

// Connections are opened side by side: one that has resumed, and has no new ticket yet, takes
// nothing from those behind it.
TEST_P(TlsVersions, ManyResumeAtTheSameTime) {
  TlsContext context;
  TlsServerContext server_context(GetParam());
  Pair(context, server_context).run();
  Pair first(context, server_context), second(context, server_context);
  first.server.receive(first.client.take_output());
  first.client.receive(first.server.take(), first.plaintext);
  Pair third(context, server_context);  // no new ticket has come
  for (Pair* pair : {&third, &second, &first}) {
    pair->run();
    ASSERT_EQ(pair->client.state(), State::open) << pair->client.why();
    EXPECT_TRUE(pair->client.resumed());
  }
}

TEST_P(TlsVersions, AnEndThatIsSaidIsOne) {
  TlsContext context;
  TlsServerContext server_context(GetParam());
  Pair pair(context, server_context);
  pair.run();
  pair.server.say("221 bye\r\n");
  pair.server.say_goodbye();
  pair.run();
  EXPECT_EQ(pair.client.state(), State::ended);
  EXPECT_EQ(pair.plaintext, "221 bye\r\n");
}

TEST_P(TlsVersions, TooManyCertificates) {
  for (const int chain : {TlsContext::kCertificatesMax - 1, TlsContext::kCertificatesMax}) {
    TlsContext context;
    TlsServerContext server_context(GetParam(), chain);
    Pair pair(context, server_context);
    pair.run();
    const bool fits = chain < TlsContext::kCertificatesMax;
    EXPECT_EQ(pair.client.state(), fits ? State::open : State::failed) << chain;
    EXPECT_EQ(context.sessions(), fits ? 1u : 0u);
    if (!fits) {
      EXPECT_THAT(pair.client.why(), HasSubstr("certificates"));
    }
  }
}

TEST_P(TlsVersions, TooManyBytesOfCertificates) {
  TlsContext context;
  TlsServerContext server_context(GetParam(), 400);
  Pair pair(context, server_context);
  pair.run();
  EXPECT_EQ(pair.client.state(), State::failed);
  EXPECT_THAT(pair.client.why(), HasSubstr("excessive"));
}

// Replaces the server's: `hours` till it ends, for `name`.
void use_certificate(TlsServerContext& context, EVP_PKEY* key, const EVP_MD* digest, long hours,
                     const char* name) {
  SSL_CTX_set_security_level(context.get(), 0);
  X509* const certificate = X509_new();
  X509_gmtime_adj(X509_getm_notBefore(certificate), -1000 * 3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate), hours * 3600);
  X509_set_pubkey(certificate, key);
  X509_NAME* const subject = X509_get_subject_name(certificate);
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(name), -1, -1, 0);
  X509_set_issuer_name(certificate, subject);
  EXPECT_GT(X509_sign(certificate, key, digest), 0);
  EXPECT_EQ(SSL_CTX_use_certificate(context.get(), certificate), 1);
  EXPECT_EQ(SSL_CTX_use_PrivateKey(context.get(), key), 1);
  X509_free(certificate);
  EVP_PKEY_free(key);
}

// Better under TLS with somebody than in clear with everybody (RFC 7435). Who must know with whom
// looks at the certificate by himself.
TEST_P(TlsVersions, CertificatesThatProveNothingGoOn) {
  for (const char* const which : {"expired", "of another name", "weak"}) {
    TlsContext context;
    TlsServerContext server_context(GetParam());
    const std::string_view is = which;
    use_certificate(server_context, is == "weak" ? EVP_RSA_gen(1024) : EVP_EC_gen("P-256"),
                    is == "weak" ? EVP_sha1() : EVP_sha256(), is == "expired" ? -1 : 1,
                    is == "of another name" ? "mx.example" : "mx.test");
    Pair pair(context, server_context);
    pair.run();
    EXPECT_EQ(pair.client.state(), State::open) << which << ": " << pair.client.why();
  }
}

TEST_P(TlsVersions, WhatIsNotTlsFails) {
  for (const std::string& bytes : {std::string("554 5.7.1 go away\r\n"), std::string(5, '\0'),
                                   std::string(300, '\xff'), std::string("220 x\r\n")}) {
    TlsContext context;
    TlsChannel client(context, TlsPeer{"mx.test"}, "a", 0);
    EXPECT_TRUE(client.has_output());
    std::string plaintext;
    EXPECT_EQ(client.receive(bytes, plaintext), State::failed);
    EXPECT_FALSE(client.why().empty());
    EXPECT_TRUE(client.in_clear());
    EXPECT_EQ(plaintext, "");
  }
}

// It is TLS, and not for us.
TEST_P(TlsVersions, AnAlertFails) {
  TlsContext context;
  TlsChannel client(context, TlsPeer{"mx.test"}, "a", 0);
  std::string plaintext;
  EXPECT_EQ(client.receive(std::string_view("\x15\x03\x03\x00\x02\x02\x28", 7), plaintext),
            State::failed);
  EXPECT_FALSE(client.in_clear());
}

// Warnings, or records of nothing: they could come for ever.
TEST_P(TlsVersions, AFloodOfNothingFails) {
  for (const std::string_view record : {std::string_view("\x15\x03\x03\x00\x02\x01\x70", 7),
                                        std::string_view("\x16\x03\x03\x00\x00", 5)}) {
    TlsContext context;
    TlsChannel client(context, TlsPeer{"mx.test"}, "a", 0);
    std::string plaintext;
    unsigned count = 0;
    while (count < 1000 && client.receive(record, plaintext) == State::handshake) ++count;
    EXPECT_EQ(client.state(), State::failed);
    EXPECT_LT(count, 50u);
  }
}

// In the middle of it, or a record that was changed on its way.
TEST_P(TlsVersions, WhatCannotBeDecryptedFails) {
  TlsContext context;
  TlsServerContext server_context(GetParam());
  Pair pair(context, server_context);
  pair.run();
  pair.server.say("250 hello\r\n");
  std::string record = pair.server.take();
  record.back() = static_cast<char>(record.back() ^ 1);
  EXPECT_EQ(pair.client.receive(record, pair.plaintext), State::failed);
  EXPECT_EQ(pair.plaintext, "");
  const iovec piece{};
  EXPECT_FALSE(pair.client.send({&piece, 1}, record));
}

TEST(TlsTest, RenegotiationIsRefused) {
  TlsContext context;
  TlsServerContext server_context(TLS1_2_VERSION);
  Pair pair(context, server_context);
  pair.run();
  ASSERT_EQ(pair.client.state(), State::open);
  pair.server.ask_to_renegotiate();
  pair.client.receive(pair.server.take(), pair.plaintext);
  EXPECT_EQ(pair.client.state(), State::failed);
  EXPECT_THAT(pair.client.why(), HasSubstr("again"));
}

TEST(TlsTest, OldVersionsAreRefused) {
  TlsContext context;
  TlsServerContext server_context(TLS1_1_VERSION);
  SSL_CTX_set_security_level(server_context.get(), 0);
  Pair pair(context, server_context);
  pair.run();
  EXPECT_EQ(pair.client.state(), State::failed);
}

TEST(TlsTest, SessionsAreBounded) {
  TlsContext context;
  TlsServerContext server_context;
  for (size_t i = 0; i < TlsContext::kSessionsMax + 5; ++i) {
    Pair pair(context, server_context, "mx.test", std::to_string(i));
    pair.run();
    ASSERT_EQ(pair.client.state(), State::open);
  }
  EXPECT_EQ(context.sessions(), TlsContext::kSessionsMax);
}

}  // namespace
}  // namespace veredus::io
