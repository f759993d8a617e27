#pragma once

// What the tests of intake stand on: shards that answer when told, a listener, and batches.

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "engine/intake/intake.h"
#include "engine/intake/json_check.h"
#include "queue/extent.h"

namespace veredus::intake {

using queue::FrameType;

// Shards with journals in memory. Requests are answered when the test says so: well, or lost.
class ScriptedPort : public ShardPort {
 public:
  explicit ScriptedPort(unsigned shards) : journals(shards), waiting(shards) {}
  unsigned shards() const override { return static_cast<unsigned>(journals.size()); }
  void append(unsigned shard, AppendRequest request) override {
    ++appends;
    waiting[shard].push_back(std::move(request));
  }
  void announce(std::shared_ptr<const queue::LiveBatch> batch) override {
    EXPECT_TRUE(exists(batch->batch.number)) << "announced before it was durable";
    EXPECT_TRUE(announced.insert(batch->batch.number).second) << "announced twice";
    live[batch->batch.number] = std::move(batch);
  }
  void discard(uint64_t batch) override {
    EXPECT_FALSE(announced.contains(batch));
    discarded.insert(batch);
  }
  void forget(uint64_t batch) override {
    EXPECT_FALSE(exists(batch)) << "let go of before that was durable";
    EXPECT_TRUE(forgotten.insert(batch).second) << "let go of twice";
  }
  uint64_t waiting_recipients() const override { return waiting_elsewhere; }
  bool accepting(std::string& reason) const override {
    if (!open) reason = "the disk is full";
    return open;
  }
  uint64_t last_order() const override { return orders; }
  int64_t wall_ns() const override { return wall; }
  int64_t mono_ns() const override { return mono; }

  // The shard's oldest request becomes durable, or is lost.
  bool answer(Intake& intake, unsigned shard, bool well = true) {
    if (waiting[shard].empty()) return false;
    AppendRequest request = std::move(waiting[shard].front());
    waiting[shard].pop_front();
    AppendAnswer answer;
    answer.token = request.token;
    if (well) {
      write(shard, request, answer);
    } else {
      answer.status = absl::DataLossError("I/O error");
    }
    if (request.token != 0) intake.on_answer(answer);
    return true;
  }
  void answer_all(Intake& intake) {
    for (bool some = true; some;) {
      some = false;
      for (unsigned i = 0; i < shards(); ++i) some = answer(intake, i) || some;
    }
  }

  struct Frame {
    FrameType type;
    std::string payload;
  };
  // What recovery would make of the durable frames: recipients of each batch that exists.
  std::map<uint64_t, std::vector<std::string>> recovered() const {
    std::map<uint64_t, std::vector<std::string>> batches;
    std::map<uint64_t, queue::Commit> commits;
    std::map<uint64_t, std::vector<std::string>> found;
    std::map<uint64_t, uint32_t> extents;
    std::set<uint64_t> begun, aborted;
    for (const std::vector<Frame>& journal : journals) {
      for (const Frame& frame : journal) {
        switch (frame.type) {
          case FrameType::batch:
            begun.insert(queue::decode_batch(frame.payload)->number);
            break;
          case FrameType::commit: {
            const auto commit = queue::decode_commit(frame.payload);
            commits[commit->number] = *commit;
            break;
          }
          case FrameType::abort:
          case FrameType::forgotten:
            aborted.insert(number_of(frame.payload));
            break;
          case FrameType::extent: {
            const auto head = queue::read_extent_header(frame.payload);
            ++extents[head->batch];
            read_extent(frame.payload, found[head->batch]);
            break;
          }
          default:
            break;
        }
      }
    }
    for (const auto& [number, commit] : commits) {
      if (aborted.contains(number)) continue;
      EXPECT_TRUE(begun.contains(number)) << number;
      EXPECT_EQ(extents[number], commit.extents) << "a commit without all of its extents";
      EXPECT_EQ(found[number].size(), commit.accepted);
      batches[number] = found[number];
    }
    return batches;
  }
  bool exists(uint64_t number) const { return recovered().contains(number); }
  size_t frames_of(FrameType type) const {
    size_t count = 0;
    for (const auto& journal : journals) {
      for (const Frame& frame : journal) count += frame.type == type;
    }
    return count;
  }

  static uint64_t number_of(std::string_view payload) {
    uint64_t number = 0;
    for (unsigned i = 0; i < 8; ++i)
      number |= uint64_t{static_cast<unsigned char>(payload[i])} << (8 * i);
    return number;
  }

  std::vector<std::vector<Frame>> journals;
  std::vector<std::deque<AppendRequest>> waiting;
  std::map<uint64_t, std::shared_ptr<const queue::LiveBatch>> live;
  std::set<uint64_t> announced, discarded, forgotten;
  int64_t wall = 1'782'898'205'000'000'000, mono = 0;
  unsigned appends = 0;
  uint64_t orders = 0;
  bool open = true;
  uint64_t waiting_elsewhere = 0;

 private:
  void write(unsigned shard, AppendRequest& request, AppendAnswer& answer) {
    std::vector<Frame>& journal = journals[shard];
    const auto place = [&](size_t length) {
      queue::Location at;
      at.journal = static_cast<uint16_t>(shard);
      at.segment = 1;
      at.offset = static_cast<uint32_t>(journal.size());
      at.length = static_cast<uint32_t>(length);
      return at;
    };
    if (request.begins) {
      if (!request.content.empty()) {
        request.meta_to_write.content = answer.content = place(request.content.size());
        journal.push_back({FrameType::content, request.content});
      }
      std::string meta;
      queue::encode_batch(request.meta_to_write, meta);
      journal.push_back({FrameType::batch, meta});
    }
    for (AppendRequest::Frame& frame : request.frames) {
      if (frame.type == FrameType::refusals) answer.refusals.push_back(place(frame.payload.size()));
      if (frame.type == FrameType::extent) {
        EXPECT_NE(request.meta, nullptr);
        EXPECT_EQ(request.meta->number, request.batch);
      }
      journal.push_back({frame.type, std::move(frame.payload)});
    }
  }
  static void read_extent(std::string_view extent, std::vector<std::string>& out) {
    uint32_t offset = queue::kExtentHeaderBytes;
    while (offset < extent.size()) {
      const auto page = queue::read_page(extent, offset);
      ASSERT_TRUE(page.ok()) << page.status();
      uint32_t at = queue::kPageHeaderBytes;
      for (uint32_t i = 0; i < page->count; ++i) {
        queue::Entry entry;
        uint32_t next = 0;
        ASSERT_TRUE(queue::read_entry(page->bytes, at, entry, next).ok());
        out.push_back(std::to_string(entry.index) + " " + std::string(entry.to));
        at = next;
      }
      offset += static_cast<uint32_t>(page->bytes.size());
    }
  }
};

struct Listener : UploadListener {
  void on_answer(const Answer& told) override {
    ++answers;
    answer = told;
  }
  void on_resume() override { ++resumes; }
  unsigned answers = 0, resumes = 0;
  Answer answer;
};

inline const std::string kHead =
    R"(,"sender":"b@news.example","message":{"raw":"A: b\r\n\r\nHello\r\n"}})"
    "\n";

inline std::string body_of(const std::string& name, unsigned recipients,
                           const std::string& tenant = "") {
  std::string body = "{\"batch\":\"" + name + "\"" +
                     (tenant.empty() ? "" : ",\"tenant\":\"" + tenant + "\"") + kHead;
  for (unsigned i = 0; i < recipients; ++i)
    body += "{\"to\":\"u" + std::to_string(i) + "@example.org\"}\n";
  return body;
}

// Extents of eight recipients, so that a few dozen are a large batch.
inline IntakeSettings small_extents() {
  IntakeSettings settings;
  settings.extent_recipients = 8;
  return settings;
}

struct Fed {
  explicit Fed(Intake& intake, const std::string& body = "", bool finish = true)
      : upload(intake.begin_upload(listener)) {
    if (body.empty()) return;
    upload->feed(body);
    if (finish) upload->finish();
  }
  Listener listener;
  std::shared_ptr<Upload> upload;
};

}  // namespace veredus::intake
