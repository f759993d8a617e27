#include "engine/mail/dkim_identity.h"

#include <array>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "engine/mail/content.h"
#include "engine/mail/dkim_record.h"
#include "tests/mail/dkim_test_keys.h"

namespace veredus::mail {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string pem_of(EVP_PKEY* key, const char* passphrase = nullptr) {
  BIO* const bio = BIO_new(BIO_s_mem());
  PEM_write_bio_PKCS8PrivateKey(bio, key, passphrase != nullptr ? EVP_aes_128_cbc() : nullptr,
                                passphrase, passphrase != nullptr ? 4 : 0, nullptr, nullptr);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  std::string text(data, static_cast<size_t>(size));
  BIO_free(bio);
  return text;
}

std::string refused(const std::string& pem) {
  const auto key = DkimKey::parse(pem);
  return key.ok() ? "taken" : std::string(key.status().message());
}

const std::shared_ptr<const DkimKey>& a_key() {
  static const std::shared_ptr<const DkimKey> key = testing::ed25519_key();
  return key;
}

DkimIdentity identity(std::string name, std::string domain) {
  DkimIdentity made;
  made.name = std::move(name);
  made.domain = std::move(domain);
  made.selector = "s1";
  made.key = a_key();
  return made;
}

std::string names_of(std::span<const DkimIdentity* const> identities) {
  std::string names;
  for (const DkimIdentity* each : identities) names += each->name + " ";
  return names;
}

TEST(DkimKey, OfPem) {
  for (const unsigned bits : {1024u, 2048u}) {
    const auto made = testing::rsa_key(bits);
    const auto key = DkimKey::parse(pem_of(made->native()));
    ASSERT_TRUE(key.ok()) << key.status();
    EXPECT_EQ((*key)->algorithm(), DkimAlgorithm::rsa_sha256);
    EXPECT_EQ((*key)->bits(), bits);
    EXPECT_THAT((*key)->public_record(), StartsWith("v=DKIM1; k=rsa; p=MI"));
    EXPECT_EQ((*key)->public_record(), made->public_record());
    DkimRecord record;
    std::string why;
    ASSERT_TRUE(parse_dkim_record((*key)->public_record(), record, why)) << why;
    EXPECT_EQ(EVP_PKEY_eq(record.key.get(), (*key)->native()), 1);
  }
  const auto key = DkimKey::parse("# ours\n" + pem_of(a_key()->native()));
  ASSERT_TRUE(key.ok()) << key.status();
  EXPECT_EQ((*key)->algorithm(), DkimAlgorithm::ed25519_sha256);
  EXPECT_EQ((*key)->bits(), 256u);
  EXPECT_EQ((*key)->public_record(), a_key()->public_record());
}

TEST(DkimKey, WhatIsNoKeyForDkimIsRefused) {
  EXPECT_THAT(refused(""), HasSubstr("has no private key in PEM form"));
  EXPECT_THAT(refused("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
              HasSubstr("has no private key in PEM form"));
  EXPECT_THAT(refused("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"),
              HasSubstr("has a public key"));
  EXPECT_THAT(refused(pem_of(a_key()->native(), "word")), HasSubstr("passphrase"));
  EXPECT_THAT(refused(std::string(kDkimKeyFileMax + 1, ' ')), HasSubstr("64 KiB"));
  EVP_PKEY* const small = EVP_RSA_gen(1023);
  EXPECT_THAT(refused(pem_of(small)), HasSubstr("RSA key of 1023 bits; 1024 to 4096"));
  EVP_PKEY_free(small);
  EVP_PKEY* const curve = EVP_EC_gen("P-256");
  EXPECT_THAT(refused(pem_of(curve)), HasSubstr("has a key of type EC; DKIM takes"));
  EVP_PKEY_free(curve);
}

std::string der_of(EVP_PKEY* key) {
  unsigned char* bytes = nullptr;
  const int size = i2d_PrivateKey(key, &bytes);
  std::string der(reinterpret_cast<const char*>(bytes), static_cast<size_t>(size));
  OPENSSL_free(bytes);
  return der;
}

// PKCS#1: the numbers of the key, and little else.
std::string rsa_pem_of(const std::string& der) {
  std::string text = "-----BEGIN RSA PRIVATE KEY-----\n", base64;
  append_base64(der, base64);
  for (size_t at = 0; at < base64.size(); at += 64) text += base64.substr(at, 64) + "\n";
  return text + "-----END RSA PRIVATE KEY-----\n";
}

// A file whose bits have changed on the disk, or by hand, often is a key still.
TEST(DkimKey, ADamagedOneIsRefused) {
  const std::string der = der_of(testing::rsa_key(1024)->native());
  ASSERT_EQ(refused(rsa_pem_of(der)), "taken");
  constexpr size_t kNumbersBegin = 8;  // behind the type, length and version
  size_t damaged = 0;
  for (size_t bit = kNumbersBegin * 8; bit < der.size() * 8; bit += 13) {
    std::string changed = der;
    changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ (1 << bit % 8));
    const std::string told = refused(rsa_pem_of(changed));
    EXPECT_NE(told, "taken") << bit;
    damaged += told.starts_with("has a damaged key") ? 1 : 0;
  }
  EXPECT_GT(damaged, 300u);
}

// Of a public key alone nobody can sign.
TEST(DkimKey, WithoutThePrivatePartItIsRefused) {
  std::array<unsigned char, 32> raw{};
  size_t size = raw.size();
  ASSERT_EQ(EVP_PKEY_get_raw_public_key(a_key()->native(), raw.data(), &size), 1);
  EVP_PKEY* const half = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, raw.data(), size);
  EXPECT_THAT(DkimKey::of(half).status().message(), HasSubstr("damaged"));
}

TEST(DkimIdentities, OfAnAuthor) {
  std::vector<DkimIdentity> all;
  all.push_back(identity("org", "Example.ORG"));
  all.push_back(identity("news-rsa", "news.example.org"));
  all.push_back(identity("news-ed", "news.example.org"));
  all.push_back(identity("other", "example.com"));
  all.push_back(identity("idn",
                         "b\xc3\xbc"
                         "cher.example"));
  const auto made = DkimIdentities::make(std::move(all));
  ASSERT_TRUE(made.ok()) << made.status();
  const std::pair<const char*, const char*> rows[] = {
      {"example.org", "org "},
      {"EXAMPLE.org", "org "},
      {"a.b.example.org", "org "},
      {"news.example.org", "news-rsa news-ed "},
      {"x.News.example.org", "news-rsa news-ed "},
      {"wnews.example.org", "org "},
      {"example.com", "other "},
      {"notexample.com", ""},
      {"com", ""},
      {"", ""},
      {".", ""},
      {"b\xc3\xbc"
       "cher.example",
       "idn "},
      {"xn--bcher-kva.example", "idn "},
      {"\xff.example.org", ""},
  };
  for (const auto& [domain, expected] : rows)
    EXPECT_EQ(names_of(made->for_author(domain)), expected) << domain;
  EXPECT_EQ(names_of(made->for_author(std::string(300, 'x') + ".example.org")), "");
  EXPECT_EQ(made->named("idn")->domain, "xn--bcher-kva.example");
  EXPECT_EQ(made->named("nobody"), nullptr);
  EXPECT_EQ(names_of(DkimIdentities().for_author("example.org")), "");
}

TEST(DkimIdentities, WhatIsWrongIsNamed) {
  const auto error_of = [](const auto& change) {
    DkimIdentity changed = identity("it", "example.org");
    change(changed);
    std::vector<DkimIdentity> all;
    all.push_back(std::move(changed));
    const auto made = DkimIdentities::make(std::move(all));
    return made.ok() ? "taken" : std::string(made.status().message());
  };
  EXPECT_EQ(error_of([](DkimIdentity&) {}), "taken");
  EXPECT_EQ(error_of([](DkimIdentity& it) { it.domain.clear(); }),
            "the DKIM identity \"it\" has no domain (d=)");
  EXPECT_THAT(error_of([](DkimIdentity& it) { it.domain = "a..b"; }), HasSubstr("no name in the"));
  EXPECT_THAT(error_of([](DkimIdentity& it) { it.domain = "a;b=c"; }), HasSubstr("no name in"));
  EXPECT_THAT(error_of([](DkimIdentity& it) { it.selector = "s\r\n1"; }), HasSubstr("selector"));
  EXPECT_THAT(error_of([](DkimIdentity& it) { it.selector.clear(); }), HasSubstr("no selector"));
  EXPECT_THAT(error_of([](DkimIdentity& it) {
                it.domain =
                    std::string(60, 'a') + "." + std::string(60, 'b') + "." + std::string(60, 'c');
                it.selector = std::string(59, 's');
              }),
              "taken");
  EXPECT_THAT(error_of([](DkimIdentity& it) {
                it.domain = std::string(60, 'a') + "." + std::string(60, 'b') + "." +
                            std::string(60, 'c') + "." + std::string(60, 'd');
              }),
              HasSubstr("too long together"));
  EXPECT_THAT(error_of([](DkimIdentity& it) { it.key = nullptr; }), HasSubstr("has no key"));
  std::vector<DkimIdentity> keyless;
  keyless.push_back(identity("it", "example.org"));
  keyless.back().key = nullptr;
  EXPECT_TRUE(DkimIdentities::make(std::move(keyless), DkimKeys::optional).ok());
  EXPECT_THAT(error_of([](DkimIdentity& it) { it.lifetime_ns = 1; }), HasSubstr("under an hour"));
  EXPECT_THAT(error_of([](DkimIdentity& it) { it.signed_fields = {"to"}; }),
              HasSubstr("does not sign From"));
  EXPECT_THAT(error_of([](DkimIdentity& it) { it.signed_fields.push_back("To"); }),
              HasSubstr("signed_fields has \"To\", which is no name"));
  EXPECT_THAT(error_of([](DkimIdentity& it) { it.oversigned_fields.push_back("a b"); }),
              HasSubstr("oversigned_fields has \"a b\""));
  EXPECT_THAT(error_of([](DkimIdentity& it) { it.signed_fields.push_back("to"); }),
              HasSubstr("\"to\" twice"));
  EXPECT_THAT(error_of([](DkimIdentity& it) { it.signed_fields.push_back("return-path"); }),
              HasSubstr("changed on the way"));
  std::vector<DkimIdentity> twins, five;
  for (int i = 0; i < 2; ++i) twins.push_back(identity("twin", "example.org"));
  EXPECT_THAT(DkimIdentities::make(std::move(twins)).status().message(),
              HasSubstr("\"twin\" is there twice"));
  for (int i = 0; i < 5; ++i) five.push_back(identity(std::to_string(i), "example.org"));
  EXPECT_THAT(DkimIdentities::make(std::move(five)).status().message(),
              HasSubstr("\"4\" is one too many for example.org"));
}

}  // namespace
}  // namespace veredus::mail
