#include "engine/smtp/capabilities.h"

#include <initializer_list>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace veredus::smtp {
namespace {

struct Case {
  const char* text;
  std::vector<Capability> has;
  uint64_t size_limit = 0;
  uint16_t mail_max = 0;
  uint16_t rcpt_max = 0;
};

TEST(Capabilities, Table) {
  using C = Capability;
  const std::vector<Case> cases = {
      {"", {}},
      {"mx.example", {}},
      {"PIPELINING", {}},  // the first line is the host's name, whatever it says
      {"mx\nPIPELINING", {C::pipelining}},
      {"mx\npipelining \nChunking", {C::pipelining, C::chunking}},
      {"mx\nPIPELININGX\nXPIPELINING\nPIPE", {}},
      {"mx\n\n\nSIZE", {C::size}},
      {"mx\nSIZE 35882577", {C::size}, 35882577},
      {"mx\nSIZE 0", {C::size}},
      {"mx\nSIZE  1000 ", {C::size}, 1000},
      {"mx\nSIZE -1", {C::size}},
      {"mx\nSIZE 10x", {C::size}},
      {"mx\nSIZE 18446744073709551615", {C::size}, UINT64_MAX},
      {"mx\nSIZE 18446744073709551616", {C::size}},
      {"mx\n8BITMIME\nENHANCEDSTATUSCODES\nSTARTTLS\nSMTPUTF8\nDSN\nAUTH PLAIN LOGIN",
       {C::eight_bit_mime, C::enhanced_status_codes, C::starttls, C::smtputf8, C::dsn, C::auth,
        C::auth_plain, C::auth_login}},
      {"mx\nAUTH=LOGIN", {C::auth, C::auth_login}},
      {"mx\nauth=plain  Login", {C::auth, C::auth_plain, C::auth_login}},
      {"mx\nAUTH=", {C::auth}},
      {"mx\nAUTH CRAM-MD5 PLAINER XLOGIN", {C::auth}},
      {"mx\nAUTH LOGIN\nAUTH PLAIN", {C::auth, C::auth_plain, C::auth_login}},
      {"mx\nLIMITS MAILMAX=100 RCPTMAX=50 X=1", {C::limits}, 0, 100, 50},
      {"mx\nLIMITS rcptmax=70000 MAILMAX= =3 MAILMAX", {C::limits}},
      {"mx\nHELP\nVRFY\nETRN\nX-EXPS GSSAPI", {}},
      {"mx\r\nPIPELINING", {C::pipelining}},
  };
  for (const Case& it : cases) {
    Capabilities expected;
    for (const Capability capability : it.has) expected.bits |= static_cast<uint16_t>(capability);
    expected.size_limit = it.size_limit;
    expected.mail_max = it.mail_max;
    expected.rcpt_max = it.rcpt_max;
    EXPECT_EQ(parse_capabilities(it.text), expected) << it.text;
    for (const Capability capability : it.has) {
      EXPECT_TRUE(parse_capabilities(it.text).has(capability)) << it.text;
    }
  }
}

}  // namespace
}  // namespace veredus::smtp
