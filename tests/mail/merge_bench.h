#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "engine/mail/content.h"
#include "engine/mail/template.h"

namespace veredus::mail {

inline constexpr uint8_t kMerge = queue::kContentMerge;

// Renders one message to one string, by the real way.
struct Bench {
  Bench() {
    batch.number = 12;
    batch.name = "spring-7";
    batch.sender = "bounce@news.example";
    batch.accepted_wall_ns = 1782898205'000'000'000;
    entry.index = 5;
    entry.to = "ada@example.org";
    settings.hostname = "mx.news.example";
    settings.node = "n1";
    settings.trace = false;
  }
  std::string render(std::string_view clean, uint8_t flags, bool dot_stuffed = false) {
    absl::StatusOr<Template> compiled = Template::compile(clean, flags);
    if (!compiled.ok()) return "ERROR " + std::string(compiled.status().message());
    return render(&*compiled, dot_stuffed);
  }
  std::string render(const Template* compiled, bool dot_stuffed) {
    Renderer renderer(settings);
    RenderRequest request;
    request.batch = &batch;
    request.entry = &entry;
    request.dot_stuffed = dot_stuffed;
    const absl::Status made = renderer.render(compiled, request, reverse_path, scratch, out);
    if (!made.ok()) return "ERROR " + std::string(made.message());
    std::string all;
    for (const Piece& piece : out.pieces) all.append(piece.data, piece.size);
    EXPECT_EQ(out.size, all.size());
    return all;
  }
  queue::Batch batch;
  queue::Entry entry;
  RenderSettings settings;
  std::string reverse_path, scratch;
  Rendered out;
};

inline std::string refusal_of(std::string_view clean, const queue::Batch& batch,
                              const queue::Entry& entry) {
  absl::StatusOr<Template> compiled = Template::compile(clean, kMerge);
  EXPECT_TRUE(compiled.ok()) << compiled.status();
  Refusal refusal;
  return compiled->check(batch, entry, refusal)
             ? ""
             : std::string(refusal.status) + " " + refusal.reason;
}

inline std::string without_stuffing(std::string_view text) {
  std::string out;
  bool line_start = true;
  for (size_t at = 0; at < text.size(); ++at) {
    if (line_start && text[at] == '.') ++at;
    out += text[at];
    line_start = text[at] == '\n';
  }
  return out;
}

// What becomes of a message with these variables, from the door on: "REFUSED …", "ERROR …", or what
// is sent, which is the same for DATA and BDAT, from the batch and as the recipient's own.
inline std::string merged(std::string_view message,
                          std::vector<std::pair<std::string_view, std::string_view>> vars,
                          Bench& bench) {
  Normalised content;
  ContentError error;
  if (!normalise(message, true, content, error, ContentOrigin::built))
    return "ERROR " + error.reason;
  const auto flags = static_cast<uint8_t>(content.flags & ~0x18);
  const absl::StatusOr<Template> compiled = Template::compile(content.bytes, flags);
  if (!compiled.ok()) return "ERROR " + std::string(compiled.status().message());
  bench.entry.vars = std::move(vars);
  Refusal refusal;
  const bool good = compiled->check(bench.batch, bench.entry, refusal);
  // At the door the bytes may have gone when recipients come.
  absl::StatusOr<Template> kept;
  {
    std::string gone(content.bytes);
    kept = Template::compile_for_check(gone, flags);
    std::fill(gone.begin(), gone.end(), '{');
  }
  EXPECT_TRUE(kept.ok());
  Template moved = *std::move(kept);
  Refusal again;
  EXPECT_EQ(moved.check(bench.batch, bench.entry, again), good);
  EXPECT_EQ(again.reason, refusal.reason);
  if (!good) return "REFUSED " + refusal.reason;
  const std::string plain = bench.render(&*compiled, false);
  EXPECT_EQ(bench.out.stuffing, 0u);
  const std::string stuffed = bench.render(&*compiled, true);
  EXPECT_EQ(without_stuffing(stuffed), plain);
  EXPECT_EQ(stuffed.size() - plain.size(), bench.out.stuffing);
  bench.entry.message = content.bytes;
  bench.entry.content_flags = flags;
  EXPECT_EQ(bench.render(nullptr, true), stuffed);
  EXPECT_EQ(stuffed.size() - plain.size(), bench.out.stuffing);
  EXPECT_EQ(bench.render(nullptr, false), plain);
  bench.entry.message = {};
  return plain;
}

inline std::string merged(std::string_view message,
                          std::vector<std::pair<std::string_view, std::string_view>> vars) {
  Bench bench;
  return merged(message, std::move(vars), bench);
}

}  // namespace veredus::mail
