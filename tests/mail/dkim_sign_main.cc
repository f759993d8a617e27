// Messages of random shape, signed: for verifiers that are not ours (dkim_verifiers_test.py).
//
//   dkim_sign DIRECTORY COUNT SEED
//
// writes DIRECTORY/N.eml, and DIRECTORY/records: a line "NAME RECORD" for each key. Messages cannot
// be made again from their seed to the last bit, for the keys are new each time.

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "engine/mail/content.h"
#include "engine/mail/dkim_identity.h"
#include "engine/mail/dkim_signer.h"
#include "tests/mail/dkim_test_keys.h"
#include "tests/mail/random_message.h"

namespace veredus::mail {
namespace {

// Each kind of key in all canonicalizations.
DkimIdentities identities() {
  const std::pair<const char*, std::shared_ptr<const DkimKey>> keys[] = {
      {"rsa1024", testing::rsa_key(1024)},
      {"rsa2048", testing::rsa_key(2048)},
      {"ed25519", testing::ed25519_key()},
  };
  std::vector<DkimIdentity> made;
  for (const auto& [name, key] : keys) {
    for (const bool header : {false, true}) {
      for (const bool body : {false, true}) {
        DkimIdentity identity;
        identity.name = std::string(name) + (header ? "-r" : "-s") + (body ? "r" : "s");
        identity.domain = identity.name + ".example.org";
        identity.selector = "s1";
        identity.relaxed_header = header;
        identity.relaxed_body = body;
        identity.lifetime_ns = header ? 864'000'000'000'000 : 0;
        identity.key = key;
        made.push_back(std::move(identity));
      }
    }
  }
  return DkimIdentities::make(std::move(made)).value();
}

int run(const std::string& directory, size_t count, uint32_t seed, int64_t wall_ns) {
  const DkimIdentities all = identities();
  std::ofstream records(directory + "/records");
  for (const auto& identity : all.all())
    records << identity->selector << "._domainkey." << identity->domain << " "
            << identity->key->public_record() << "\n";
  std::mt19937 random(seed);
  testing::RandomMessage shapes(random);
  DkimSigner signer;
  for (size_t i = 0; i < count; ++i) {
    const std::string message = shapes.make();
    Normalised clean;
    ContentError error;
    if (!normalise(message, false, clean, error) || clean.bytes.data() != message.data()) {
      std::fprintf(stderr, "message %zu is not clean: %s\n", i, error.reason.c_str());
      return 1;
    }
    std::vector<const DkimIdentity*> signers;
    for (size_t n = 1 + random() % 3; n > 0; --n)
      signers.push_back(all.all()[random() % all.all().size()].get());
    std::string out;
    const absl::Status status = signer.sign(signers, shapes.cut(message), wall_ns, nullptr, out);
    if (!status.ok()) {
      std::fprintf(stderr, "message %zu: %s\n", i, status.ToString().c_str());
      return 1;
    }
    std::ofstream file(directory + "/" + std::to_string(i) + ".eml", std::ios::binary);
    file << out << message;
    if (!file.flush()) return 1;
  }
  return records.flush() ? 0 : 1;
}

}  // namespace
}  // namespace veredus::mail

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: dkim_sign DIRECTORY COUNT SEED\n");
    return 64;
  }
  const int64_t wall_ns = int64_t{time(nullptr)} * 1'000'000'000;
  return veredus::mail::run(argv[1], std::strtoul(argv[2], nullptr, 10),
                            static_cast<uint32_t>(std::strtoul(argv[3], nullptr, 10)), wall_ns);
}
