// What a host's certificate must show, against OpenSSL's own server.

#include <cstdio>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/sha.h>
#include <unistd.h>

#include "engine/io/tls.h"
#include "tests/io/tls_server.h"

namespace veredus::io {
namespace {

using State = TlsChannel::State;
using test::TlsAuthority;
using test::TlsServer;
using test::TlsServerContext;
using testing::HasSubstr;

dns::TlsaRecord record(uint8_t usage, uint8_t selector, uint8_t matching, std::string bytes) {
  std::string digest(matching == 1 ? SHA256_DIGEST_LENGTH : SHA512_DIGEST_LENGTH, '\0');
  auto* const to = reinterpret_cast<unsigned char*>(digest.data());
  const auto* const from = reinterpret_cast<const unsigned char*>(bytes.data());
  if (matching == 1) SHA256(from, bytes.size(), to);
  if (matching == 2) SHA512(from, bytes.size(), to);
  if (matching != 0) bytes = digest;
  return {usage, selector, matching, {bytes.begin(), bytes.end()}};
}

class TlsCertificates : public testing::TestWithParam<int> {
 protected:
  TlsCertificates() : server_(GetParam()), known_("known"), other_("other") {
    const std::string file =
        testing::TempDir() + "authorities-" + std::to_string(getpid()) + ".pem";
    known_.write(file);
    auto loaded = TlsTrust::load(file);
    std::remove(file.c_str());
    trust_ = loaded.value();
    context_ = std::make_unique<TlsContext>(trust_);
  }

  // A handshake, and a word of the server, so that tickets arrive.
  TlsChannel& shake(const TlsPeer& peer, int64_t mono_ns = 0) {
    channel_ = std::make_unique<TlsChannel>(*context_, peer, "host", mono_ns);
    TlsServer server(server_);
    plaintext_.clear();
    for (int round = 0; round < 3; ++round) {
      server.receive(channel_->take_output());
      if (server.done() && round == 1) server.say("220 here\r\n");
      channel_->receive(server.take(), plaintext_);
    }
    server.receive(channel_->take_output());
    return *channel_;
  }
  TlsPeer authorities(bool enforced = true) const {
    TlsPeer peer{"mx.a.test"};
    peer.check = TlsCheck::authorities;
    peer.enforced = enforced;
    peer.names = {"mx.a.test"};
    return peer;
  }
  TlsPeer dane(std::vector<dns::TlsaRecord> records) {
    records_ = std::move(records);
    TlsPeer peer{"mx.a.test"};
    peer.check = TlsCheck::dane;
    peer.names = {"mx.a.test"};
    peer.records = records_;
    return peer;
  }

  std::vector<dns::TlsaRecord> records_;
  TlsServerContext server_;
  TlsAuthority known_, other_;
  std::shared_ptr<const TlsTrust> trust_;
  std::unique_ptr<TlsContext> context_;
  std::unique_ptr<TlsChannel> channel_;
  std::string plaintext_;
};
INSTANTIATE_TEST_SUITE_P(Of, TlsCertificates, testing::Values(TLS1_2_VERSION, TLS1_3_VERSION),
                         [](const auto& version) {
                           return version.param == TLS1_2_VERSION ? "Tls12" : "Tls13";
                         });

TEST_P(TlsCertificates, AnAuthorityMustBeKnownAndTheNameRight) {
  struct Case {
    const char* what;
    TlsAuthority& by;
    std::vector<std::string> names;
    long from, until;
    TlsFault fault;
    const char* why;
  };
  const Case cases[] = {
      {"right", known_, {"mx.a.test"}, -60, 60, TlsFault::none, ""},
      {"one of its names", known_, {"a.test", "MX.A.Test"}, -60, 60, TlsFault::none, ""},
      {"a wildcard", known_, {"*.a.test"}, -60, 60, TlsFault::none, ""},
      {"another's", known_, {"a.test"}, -60, 60, TlsFault::host_mismatch, "ostname"},
      {"a part of a label", known_, {"m*.a.test"}, -60, 60, TlsFault::host_mismatch, "ostname"},
      {"no name but in the subject", known_, {}, -60, 60, TlsFault::host_mismatch, "ostname"},
      {"over", known_, {"mx.a.test"}, -60, -30, TlsFault::expired, "expired"},
      {"to come", known_, {"mx.a.test"}, 30, 60, TlsFault::expired, "not yet valid"},
      {"nobody's", other_, {"mx.a.test"}, -60, 60, TlsFault::not_trusted, "self"},
  };
  for (const Case& each : cases) {
    SCOPED_TRACE(each.what);
    each.by.issue(server_, each.names, each.from, each.until);
    const bool right = each.fault == TlsFault::none;
    {
      context_ = std::make_unique<TlsContext>(trust_);
      const TlsChannel& channel = shake(authorities());
      EXPECT_EQ(channel.state(), right ? State::open : State::failed) << channel.why();
      EXPECT_EQ(channel.fault(), each.fault);
      EXPECT_EQ(channel.verified(), right ? TlsCheck::authorities : TlsCheck::nothing);
      EXPECT_THAT(channel.why(), HasSubstr(each.why));
      EXPECT_EQ(plaintext_, right ? "220 here\r\n" : "");
      EXPECT_EQ(context_->sessions(), right ? 1u : 0u);
    }
    // The same, but told only.
    context_ = std::make_unique<TlsContext>(trust_);
    const TlsChannel& channel = shake(authorities(false));
    EXPECT_EQ(channel.state(), State::open) << channel.why();
    EXPECT_EQ(channel.fault(), each.fault);
    EXPECT_EQ(channel.verified(), right ? TlsCheck::authorities : TlsCheck::nothing);
  }
}

TEST_P(TlsCertificates, WithoutAuthoritiesNobodyIsKnown) {
  context_ = std::make_unique<TlsContext>();
  known_.issue(server_, {"mx.a.test"});
  EXPECT_EQ(shake(authorities()).state(), State::failed);
  EXPECT_EQ(channel_->fault(), TlsFault::not_trusted);
  EXPECT_EQ(shake(TlsPeer{"mx.a.test"}).state(), State::open) << "nothing is asked of it";
}

TEST_P(TlsCertificates, ARecordOfDaneMustFit) {
  other_.issue(server_, {"a.test"}, -60, -30);  // neither the name nor the time is asked about
  const std::string leaf = other_.leaf(), key = other_.leaf_key();
  struct Case {
    const char* what;
    std::vector<dns::TlsaRecord> records;
    TlsFault fault;
  };
  const Case cases[] = {
      {"the key's digest", {record(3, 1, 1, key)}, TlsFault::none},
      {"its longer digest", {record(3, 1, 2, key)}, TlsFault::none},
      {"the key", {record(3, 1, 0, key)}, TlsFault::none},
      {"the certificate's digest", {record(3, 0, 1, leaf)}, TlsFault::none},
      {"the certificate", {record(3, 0, 0, leaf)}, TlsFault::none},
      {"one of two", {record(3, 1, 1, "old"), record(3, 1, 1, key)}, TlsFault::none},
      {"another key", {record(3, 1, 1, "old")}, TlsFault::validation},
      {"the key where the certificate should be", {record(3, 0, 1, key)}, TlsFault::validation},
      // Of a kind of digest only the strongest counts (RFC 7671 §9).
      {"the weaker digest fits",
       {record(3, 1, 1, key), record(3, 1, 2, "old")},
       TlsFault::validation},
  };
  for (const Case& each : cases) {
    SCOPED_TRACE(each.what);
    const bool right = each.fault == TlsFault::none;
    const TlsChannel& channel = shake(dane(each.records));
    EXPECT_EQ(channel.state(), right ? State::open : State::failed) << channel.why();
    EXPECT_EQ(channel.fault(), each.fault) << channel.why();
    EXPECT_EQ(channel.verified(), right ? TlsCheck::dane : TlsCheck::nothing);
    EXPECT_FALSE(channel.resumed()) << "with other records";
  }
}

TEST_P(TlsCertificates, AnAuthorityOfDaneVouchesForNames) {
  const std::vector<dns::TlsaRecord> records = {record(2, 0, 1, other_.certificate())};
  other_.issue(server_, {"mx.a.test"});
  EXPECT_EQ(shake(dane(records)).state(), State::open) << channel_->why();
  EXPECT_EQ(channel_->verified(), TlsCheck::dane);
  context_ = std::make_unique<TlsContext>(trust_);
  other_.issue(server_, {"a.test"});
  EXPECT_EQ(shake(dane(records)).state(), State::failed);
  EXPECT_EQ(channel_->fault(), TlsFault::host_mismatch);
  other_.issue(server_, {"mx.a.test"}, -60, -30);
  EXPECT_EQ(shake(dane(records)).fault(), TlsFault::expired);
  // A known authority's certificate does not do: it is not the one that the record names.
  known_.issue(server_, {"mx.a.test"});
  EXPECT_EQ(shake(dane(records)).state(), State::failed);
}

TEST_P(TlsCertificates, WithoutAUsableRecordNothingIsAsked) {
  other_.issue(server_, {"a.test"});
  const TlsChannel& channel = shake(dane({{3, 1, 0, {0x30, 0x00}}}));  // in full, but no key
  EXPECT_EQ(channel.state(), State::open) << channel.why();
  EXPECT_EQ(channel.verified(), TlsCheck::nothing);
  EXPECT_EQ(channel.fault(), TlsFault::none);
}

// What no record says, a policy may.
TEST_P(TlsCertificates, WithoutAUsableRecordSomethingElseIsAsked) {
  const auto fallback = [this] {
    TlsPeer peer = dane({{3, 1, 0, {0x30, 0x00}}});
    peer.otherwise = TlsCheck::authorities;
    return peer;
  };
  other_.issue(server_, {"mx.a.test"});
  EXPECT_EQ(shake(fallback()).state(), State::failed);
  EXPECT_EQ(channel_->fault(), TlsFault::not_trusted);
  EXPECT_TRUE(channel_->untrusted());
  known_.issue(server_, {"mx.a.test"});
  EXPECT_EQ(shake(fallback()).verified(), TlsCheck::authorities);
}

// Groups that the server chooses may be as large as he likes.
TEST_P(TlsCertificates, NoGroupsOfTheServersOwn) {
  EVP_PKEY* const key = EVP_RSA_gen(2048);
  X509* const certificate = X509_new();
  X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 60);
  X509_set_pubkey(certificate, key);
  X509_sign(certificate, key, EVP_sha256());
  SSL_CTX_use_certificate(server_.get(), certificate);
  SSL_CTX_use_PrivateKey(server_.get(), key);
  X509_free(certificate);
  EVP_PKEY_free(key);
  EXPECT_EQ(shake(TlsPeer{"mx.a.test"}).state(), State::open);
  context_ = std::make_unique<TlsContext>(trust_);
  SSL_CTX_set_cipher_list(server_.get(), "kDHE");
  SSL_CTX_set_dh_auto(server_.get(), 1);
  SSL_CTX_set1_groups_list(server_.get(), "ffdhe8192");
  EXPECT_EQ(shake(TlsPeer{"mx.a.test"}).state(), State::failed);
}

// What was found in the handshake that made it holds for a session that is resumed, and only for
// the same question.
TEST_P(TlsCertificates, WhatIsResumedIsAsGoodAsItWas) {
  other_.issue(server_, {"mx.a.test"});
  EXPECT_EQ(shake(authorities(false)).fault(), TlsFault::not_trusted);
  EXPECT_EQ(shake(authorities(false)).fault(), TlsFault::not_trusted);
  EXPECT_TRUE(channel_->resumed());
  EXPECT_EQ(channel_->verified(), TlsCheck::nothing);
  EXPECT_EQ(shake(authorities()).state(), State::failed) << "no such session makes it trusted";
  EXPECT_EQ(shake(TlsPeer{"mx.a.test"}).state(), State::open);
  EXPECT_FALSE(channel_->resumed());
  EXPECT_EQ(shake(authorities()).state(), State::failed) << "nor one that was not asked";

  known_.issue(server_, {"mx.a.test"});
  EXPECT_EQ(shake(authorities()).verified(), TlsCheck::authorities);
  EXPECT_EQ(shake(authorities()).verified(), TlsCheck::authorities);
  EXPECT_TRUE(channel_->resumed());
  const std::vector<dns::TlsaRecord> records = {record(3, 1, 1, known_.leaf_key())};
  EXPECT_EQ(shake(dane(records)).verified(), TlsCheck::dane);
  EXPECT_FALSE(channel_->resumed());
  EXPECT_EQ(shake(dane(records)).verified(), TlsCheck::dane);
  EXPECT_TRUE(channel_->resumed());
}

// However often it is resumed: after an hour the certificate is shown again.
TEST_P(TlsCertificates, AfterAnHourItIsShownAgain) {
  known_.issue(server_, {"mx.a.test"});
  constexpr int64_t kMinute = 60'000'000'000;
  shake(authorities(), kMinute);
  EXPECT_TRUE(shake(authorities(), 40 * kMinute).resumed());
  EXPECT_TRUE(shake(authorities(), 60 * kMinute).resumed());
  EXPECT_FALSE(shake(authorities(), 61 * kMinute).resumed());
  EXPECT_TRUE(shake(authorities(), 120 * kMinute).resumed());
}

TEST(TlsTrustFile, WhatCannotBeReadIsNamed) {
  const auto missing = TlsTrust::load("/nowhere/authorities.pem");
  ASSERT_FALSE(missing.ok());
  EXPECT_THAT(std::string(missing.status().message()), HasSubstr("/nowhere/authorities.pem"));
  EXPECT_FALSE(TlsTrust::load("/dev/null").ok()) << "there is none in it";
}

}  // namespace
}  // namespace veredus::io
