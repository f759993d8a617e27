// Examples of the RFCs, as they are printed there.

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>
#include <openssl/evp.h>

#include "engine/mail/dkim_identity.h"
#include "engine/mail/dkim_key.h"
#include "engine/mail/dkim_record.h"
#include "engine/mail/dkim_signer.h"
#include "engine/mail/dkim_verify.h"

namespace veredus::mail {
namespace {

constexpr std::string_view kMessage =
    "From: Joe SixPack <joe@football.example.com>\r\n"
    "To: Suzie Q <suzie@shopping.example.net>\r\n"
    "Subject: Is dinner ready?\r\n"
    "Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n"
    "Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n"
    "\r\n"
    "Hi.\r\n"
    "\r\n"
    "We lost the game.  Are you hungry yet?\r\n"
    "\r\n"
    "Joe.\r\n";

// RFC 8463 appendix A.2.
const std::map<std::string, std::string> kRecords8463 = {
    {"brisbane._domainkey.football.example.com",
     "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="},
    {"test._domainkey.football.example.com",
     "v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWR"
     "iGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutAC"
     "DfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3"
     "Ip3G+2kryOTIKT+l/K4w3QIDAQAB"},
};

// RFC 8463 appendix A.3.
constexpr std::string_view kSignatures8463 =
    "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n"
    " d=football.example.com; i=@football.example.com;\r\n"
    " q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n"
    " subject : date : message-id : from : subject : date;\r\n"
    " bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
    " b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus\r\n"
    " Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==\r\n"
    "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;\r\n"
    " d=football.example.com; i=@football.example.com;\r\n"
    " q=dns/txt; s=test; t=1528637909; h=from : to : subject :\r\n"
    " date : message-id : from : subject : date;\r\n"
    " bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
    " b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3\r\n"
    " DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz\r\n"
    " dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=\r\n";

// RFC 8463 appendix A.1.
constexpr std::string_view kRsaKey8463 =
    "-----BEGIN RSA PRIVATE KEY-----\n"
    "MIICXQIBAAKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQi\n"
    "Y/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqM\n"
    "KrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB\n"
    "AoGAH0cxOhFZDgzXWhDhnAJDw5s4roOXN4OhjiXa8W7Y3rhX3FJqmJSPuC8N9vQm\n"
    "6SVbaLAE4SG5mLMueHlh4KXffEpuLEiNp9Ss3O4YfLiQpbRqE7Tm5SxKjvvQoZZe\n"
    "zHorimOaChRL2it47iuWxzxSiRMv4c+j70GiWdxXnxe4UoECQQDzJB/0U58W7RZy\n"
    "6enGVj2kWF732CoWFZWzi1FicudrBFoy63QwcowpoCazKtvZGMNlPWnC7x/6o8Gc\n"
    "uSe0ga2xAkEA8C7PipPm1/1fTRQvj1o/dDmZp243044ZNyxjg+/OPN0oWCbXIGxy\n"
    "WvmZbXriOWoSALJTjExEgraHEgnXssuk7QJBALl5ICsYMu6hMxO73gnfNayNgPxd\n"
    "WFV6Z7ULnKyV7HSVYF0hgYOHjeYe9gaMtiJYoo0zGN+L3AAtNP9huqkWlzECQE1a\n"
    "licIeVlo1e+qJ6Mgqr0Q7Aa7falZ448ccbSFYEPD6oFxiOl9Y9se9iYHZKKfIcst\n"
    "o7DUw1/hz2Ck4N5JrgUCQQCyKveNvjzkkd8HjYs0SwM0fPjK16//5qDZ2UiDGnOe\n"
    "uEzxBDAr518Z8VFbR41in3W4Y3yCDgQlLlcETrS+zYcL\n"
    "-----END RSA PRIVATE KEY-----\n";
constexpr std::string_view kEd25519Seed = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";

DkimKeyLookup from(const std::map<std::string, std::string>& records) {
  return [&records](const std::string& name) {
    const auto found = records.find(name);
    if (found == records.end()) return DkimKeyAnswer{};
    return DkimKeyAnswer{DkimKeyAnswer::Status::found, {found->second}, ""};
  };
}

std::string results_of(const std::vector<DkimVerdict>& verdicts) {
  std::string text;
  for (const DkimVerdict& verdict : verdicts) {
    text += dkim_result_name(verdict.result);
    text += " " + verdict.algorithm + " " + verdict.reason + "\n";
  }
  return text;
}

TEST(DkimVectors, BothSignaturesOfRfc8463) {
  const std::string message = std::string(kSignatures8463) + std::string(kMessage);
  EXPECT_EQ(results_of(verify_dkim(message, 0, from(kRecords8463))),
            "pass ed25519-sha256 \npass rsa-sha256 \n");
}

TEST(DkimVectors, KeysOfRfc8463HaveItsRecords) {
  const auto rsa = DkimKey::parse(kRsaKey8463);
  ASSERT_TRUE(rsa.ok()) << rsa.status();
  EXPECT_EQ((*rsa)->public_record(), kRecords8463.at("test._domainkey.football.example.com"));
  std::string seed;
  ASSERT_TRUE(decode_dkim_base64(kEd25519Seed, seed));
  const auto ed25519 = DkimKey::of(EVP_PKEY_new_raw_private_key(
      EVP_PKEY_ED25519, nullptr, reinterpret_cast<const unsigned char*>(seed.data()), 32));
  ASSERT_TRUE(ed25519.ok()) << ed25519.status();
  EXPECT_EQ((*ed25519)->public_record(),
            kRecords8463.at("brisbane._domainkey.football.example.com"));
}

// What we sign with these keys is valid by the records printed there.
TEST(DkimVectors, SignedByUsWithTheKeysOfRfc8463) {
  std::string seed;
  ASSERT_TRUE(decode_dkim_base64(kEd25519Seed, seed));
  DkimIdentity ed25519, rsa;
  ed25519.domain = rsa.domain = "football.example.com";
  ed25519.selector = "brisbane";
  ed25519.key = DkimKey::of(EVP_PKEY_new_raw_private_key(
                                EVP_PKEY_ED25519, nullptr,
                                reinterpret_cast<const unsigned char*>(seed.data()), 32))
                    .value();
  rsa.selector = "test";
  rsa.key = DkimKey::parse(kRsaKey8463).value();
  DkimSigner signer;
  const DkimIdentity* const both[] = {&ed25519, &rsa};
  const Piece piece{kMessage.data(), kMessage.size()};
  std::string out;
  ASSERT_TRUE(signer.sign(both, {&piece, 1}, 1'528'637'909'000'000'000, nullptr, out).ok());
  EXPECT_EQ(results_of(verify_dkim(out + std::string(kMessage), 0, from(kRecords8463))),
            "pass ed25519-sha256 \npass rsa-sha256 \n");
  EXPECT_NE(out.find("bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8="), std::string::npos);
}

// RFC 6376 appendix A.2, with one blank in "game. Are" (two are printed, the hash is of one),
// and the key of appendix C.
constexpr std::string_view kSigned6376 =
    "DKIM-Signature: v=1; a=rsa-sha256; s=brisbane; d=example.com;\r\n"
    "      c=simple/simple; q=dns/txt; i=joe@football.example.com;\r\n"
    "      h=Received : From : To : Subject : Date : Message-ID;\r\n"
    "      bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
    "      b=AuUoFEfDxTDkHlLXSZEpZj79LICEps6eda7W3deTVFOk4yAUoqOB\r\n"
    "      4nujc7YopdG5dWLSdNg6xNAZpOPr+kHxt1IrE+NahM6L/LbvaHut\r\n"
    "      KVdkLLkpVaVVQPzeRDI009SO2Il5Lu7rDNH6mZckBdrIx0orEtZV\r\n"
    "      4bmp/YzhwvcubU4=;\r\n"
    "Received: from client1.football.example.com  [192.0.2.1]\r\n"
    "      by submitserver.example.com with SUBMISSION;\r\n"
    "      Fri, 11 Jul 2003 21:01:54 -0700 (PDT)\r\n"
    "From: Joe SixPack <joe@football.example.com>\r\n"
    "To: Suzie Q <suzie@shopping.example.net>\r\n"
    "Subject: Is dinner ready?\r\n"
    "Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n"
    "Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n"
    "\r\n"
    "Hi.\r\n"
    "\r\n"
    "We lost the game. Are you hungry yet?\r\n"
    "\r\n"
    "Joe.\r\n";

TEST(DkimVectors, TheExampleOfRfc6376) {
  const std::map<std::string, std::string> records = {
      {"brisbane._domainkey.example.com",
       "v=DKIM1; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQ"
       "DwIRP/UC3SBsEmGqZ9ZJW3/DkMoGeLnQg1fWn7/zYt"
       "IxN2SnFCjxOCKG9v3b4jYfcTNh5ijSsq631uBItLa7"
       "od+v/RtdC2UzJ1lWT947qR+Rcac2gbto/NMqJ0fzfV"
       "jH4OuKhitdY9tf6mcwGjaNBcWToIMmPSPDdQPNUYck"
       "cQ2QIDAQAB"}};
  EXPECT_EQ(results_of(verify_dkim(kSigned6376, 0, from(records))), "pass rsa-sha256 \n");
}

}  // namespace
}  // namespace veredus::mail
