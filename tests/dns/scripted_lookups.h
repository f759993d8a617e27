#pragma once

#include <cassert>
#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dns/lookup.h"
#include "tests/dns/message.h"

namespace veredus::dns::testing {

// Lookups that a test answers by hand: it notes what is asked, in order, and answers when told to.
class ScriptedLookups final : public Lookups {
 public:
  using Key = std::pair<std::string, RecordType>;

  void query(std::string_view name, RecordType type, Query& query) override {
    assert(!query.linked());
    const Key key{std::string(name), type};
    asked.push_back(key);
    pending_[key].push_back(query);
  }
  void cancel(Query& query) override {
    if (query.linked()) ++cancelled;
    query.unlink();
  }

  // False if nobody is waiting for it.
  bool give(std::string_view name, RecordType type, QueryStatus status, const Bytes& raw = {}) {
    Query* query = pending_[{std::string(name), type}].pop_front();
    if (query != nullptr) query->on_answer(status, raw);
    return query != nullptr;
  }
  // Answers the question that the message repeats.
  bool give(const Message& message) {
    Name name;
    uint16_t type = 0;
    const bool good = parse_question(message.bytes(), name, type);
    assert(good);
    (void)good;
    return give(name.view(), static_cast<RecordType>(type), QueryStatus::answered, message.bytes());
  }
  bool pending(std::string_view name, RecordType type) {
    return !pending_[{std::string(name), type}].empty();
  }

  std::vector<Key> asked;
  int cancelled = 0;

 private:
  std::map<Key, List<Query>> pending_;
};

}  // namespace veredus::dns::testing
