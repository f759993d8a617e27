#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "engine/control/config_special.h"
#include "engine/intake/json_writer.h"
#include "engine/mail/dkim_identity.h"
#include "engine/mail/dkim_key.h"
#include "tools/veredus/commands.h"
#include "tools/veredus/input.h"

namespace veredus::tools {
namespace {

using mail::DkimIdentities;
using mail::DkimIdentity;
using mail::DkimKey;

constexpr size_t kTxtStringMax = 255;  // bytes of one string of a TXT record (RFC 1035 §3.3)

// "rsa2048", "ed25519".
std::optional<unsigned> rsa_bits_of(const std::string& algorithm) {
  if (!algorithm.starts_with("rsa") || algorithm.size() != 7) return std::nullopt;
  const unsigned long bits = std::strtoul(algorithm.c_str() + 3, nullptr, 10);
  if (bits < mail::kDkimRsaBitsMin || bits > mail::kDkimRsaBitsMax || bits % 8 != 0)
    return std::nullopt;
  return static_cast<unsigned>(bits);
}

// "news-example-org": good as a name in the configuration.
std::string identity_name(const std::string& domain, const DkimKey& key) {
  std::string name = domain;
  std::replace(name.begin(), name.end(), '.', '-');
  return key.algorithm() == mail::DkimAlgorithm::ed25519_sha256 ? name + "-ed25519" : name;
}

// The domain and selector, checked and as they are to be written; empty: the user has been told.
std::unique_ptr<DkimIdentity> checked(const std::string& domain, const std::string& selector,
                                      std::shared_ptr<const DkimKey> key) {
  DkimIdentity identity;
  identity.name = domain;
  identity.domain = domain;
  identity.selector = selector;
  identity.key = std::move(key);
  std::vector<DkimIdentity> all;
  all.push_back(std::move(identity));
  const auto made = DkimIdentities::make(std::move(all));
  if (!made.ok()) {
    complain(std::string(made.status().message()));
    return nullptr;
  }
  auto good = std::make_unique<DkimIdentity>(*made->all().front());
  good->name = identity_name(good->domain, *good->key);
  return good;
}

std::string full_path(const std::string& file) {
  std::unique_ptr<char, decltype(&std::free)> path(realpath(file.c_str(), nullptr), &std::free);
  return path != nullptr ? path.get() : file;
}

std::vector<std::string> strings_of(const std::string& record) {
  std::vector<std::string> strings;
  for (size_t at = 0; at < record.size(); at += kTxtStringMax)
    strings.push_back(record.substr(at, kTxtStringMax));
  return strings;
}

std::string toml_of(const DkimIdentity& identity, const std::string& file) {
  return "[dkim." + identity.name + "]\ndomain = \"" + identity.domain + "\"\nselector = \"" +
         identity.selector + "\"\nkey_file = " + control::toml_text(file) +
         "\ncanonicalization = \"relaxed/relaxed\"\n"
         "# lifetime = \"14d\"  # signatures expire then; without it they do not\n";
}

void print_json(const DkimIdentity& identity, const std::string& file) {
  std::string out;
  intake::JsonWriter json(out);
  json.begin_object().field("name", identity.name).field("domain", identity.domain);
  json.field("selector", identity.selector).field("key_file", file);
  json.field("algorithm", mail::dkim_algorithm_name(identity.key->algorithm()));
  json.field("bits", identity.key->bits());
  json.field("dns_name", identity.selector + "._domainkey." + identity.domain);
  json.field("record", identity.key->public_record()).key("strings").begin_array();
  for (const std::string& each : strings_of(identity.key->public_record())) json.value(each);
  json.end_array().field("config", toml_of(identity, file)).end_object().newline();
  std::fputs(out.c_str(), stdout);
}

// What is to be published, as a line of a zone file, and what to be configured.
int print(const Common& common, const DkimIdentity& identity, const std::string& file) {
  if (common.json) {
    print_json(identity, file);
  } else {
    std::string text = "; To be published in the DNS:\n" + identity.selector + "._domainkey." +
                       identity.domain + ". IN TXT (";
    for (const std::string& each : strings_of(identity.key->public_record()))
      text += "\n  \"" + each + "\"";
    text += " )\n\n# To be put into the configuration:\n" + toml_of(identity, file);
    std::fputs(text.c_str(), stdout);
  }
  return std::fflush(stdout) == 0 ? EX_OK : EX_IOERR;
}

bool write_all(int fd, const char* data, size_t size) {
  while (size > 0) {
    const ssize_t written = write(fd, data, size);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    data += written;
    size -= static_cast<size_t>(written);
  }
  return true;
}

// A new file, which the group may read: the engine's, if it does not run as the file's owner.
int write_key_file(const std::string& file, const DkimKey& key) {
  BIO* const bio = BIO_new(BIO_s_mem());
  char* pem = nullptr;
  const bool made =
      bio != nullptr &&
      PEM_write_bio_PKCS8PrivateKey(bio, key.native(), nullptr, nullptr, 0, nullptr, nullptr) == 1;
  const long size = made ? BIO_get_mem_data(bio, &pem) : 0;
  int status = EX_OK;
  constexpr mode_t kMode = 0640;
  const int fd =
      made ? open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, kMode) : -1;
  if (!made) {
    complain("the key cannot be written as PEM: out of memory");
    status = EX_OSERR;
  } else if (fd < 0 && errno == EEXIST) {
    complain(file + " exists, and a key is never overwritten: name another file");
    status = EX_CANTCREAT;
  } else if (fd < 0) {
    complain(file + " cannot be made: " + std::strerror(errno));
    status = EX_CANTCREAT;
  } else {
    if (fchmod(fd, kMode) != 0 || !write_all(fd, pem, static_cast<size_t>(size)) ||
        fsync(fd) != 0) {
      complain(file + " cannot be written: " + std::strerror(errno));
      unlink(file.c_str());
      status = EX_IOERR;
    }
    close(fd);
  }
  if (size > 0) OPENSSL_cleanse(pem, static_cast<size_t>(size));
  BIO_free(bio);
  return status;
}

}  // namespace

int run_dkim_keygen(const Common& common, const DkimKeygenOptions& options) {
  const std::optional<unsigned> bits = rsa_bits_of(options.algorithm);
  if (!bits && options.algorithm != "ed25519") {
    complain("--algorithm: there is no \"" + options.algorithm +
             "\"; write rsa2048, another rsaBITS from rsa1024 to rsa4096, or ed25519");
    return EX_USAGE;
  }
  EVP_PKEY* const native =
      bits ? EVP_RSA_gen(*bits) : EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519");
  if (native == nullptr) {
    complain("the key cannot be made: " + std::string(ERR_reason_error_string(ERR_get_error())));
    return EX_OSERR;
  }
  const auto key = DkimKey::of(native);
  if (!key.ok()) {
    complain("what was made " + std::string(key.status().message()));
    return EX_SOFTWARE;
  }
  const auto identity = checked(options.domain, options.selector, *key);
  if (identity == nullptr) return EX_USAGE;
  if (const int status = write_key_file(options.file, **key); status != EX_OK) return status;
  return print(common, *identity, full_path(options.file));
}

int run_dkim_record(const Common& common, const DkimRecordOptions& options) {
  std::string pem;
  const int status = read_input(options.file, mail::kDkimKeyFileMax, pem);
  if (status != EX_OK) return status;
  const auto key = DkimKey::parse(pem);
  if (!key.ok()) {
    complain(options.file + " " + std::string(key.status().message()));
    return EX_DATAERR;
  }
  const auto identity = checked(options.domain, options.selector, *key);
  return identity == nullptr ? EX_USAGE : print(common, *identity, full_path(options.file));
}

}  // namespace veredus::tools
