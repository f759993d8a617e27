#include "engine/control/event_line.h"

#include <array>
#include <charconv>

#include "engine/control/order_json.h"
#include "engine/intake/json_writer.h"
#include "engine/smtp/phase.h"
#include "engine/smtp/verdict.h"

namespace veredus::control {
namespace {

using intake::JsonWriter;

constexpr int kEventVersion = 1;

void write_head(JsonWriter& json, const EventHead& head, std::string_view type, int64_t wall_ns) {
  json.field("v", kEventVersion).field("node", head.node).field("stream", head.stream);
  json.field("seq", head.seq).time_field("time", wall_ns).field("type", type);
}

void write_batch(JsonWriter& json, const queue::Batch* batch) {
  if (batch == nullptr) return;
  json.field("tenant", batch->tenant).field("batch", batch->name);
  json.field_if("campaign", batch->campaign);
}

void write_recipient(JsonWriter& json, const queue::Entry* entry, std::string_view sender) {
  if (entry == nullptr) return;
  json.field_if("id", entry->id).field("to", entry->to).field("sender", sender);
}

void write_kept(JsonWriter& json, const queue::Batch* batch, const queue::Entry* entry) {
  if (batch != nullptr && !batch->tags_json.empty()) json.raw_field("tags", batch->tags_json);
  if (entry != nullptr && !entry->meta_json.empty()) {
    json.raw_field("meta", entry->meta_json);
  } else if (batch != nullptr && !batch->meta_json.empty()) {
    json.raw_field("meta", batch->meta_json);
  }
}

// Milliseconds with three decimals.
void write_time(JsonWriter& json, std::string_view name, uint32_t us) {
  if (us == queue::kNotReached) return;
  std::array<char, 16> text{};
  char* end = std::to_chars(text.data(), text.data() + 10, us / 1000).ptr;
  const uint32_t rest = us % 1000;
  if (rest != 0) {
    *end++ = '.';
    *end++ = static_cast<char>('0' + rest / 100);
    *end++ = static_cast<char>('0' + rest / 10 % 10);
    *end++ = static_cast<char>('0' + rest % 10);
  }
  json.raw_field(name, std::string_view(text.data(), static_cast<size_t>(end - text.data())));
}

// "version cipher", and behind a further blank what the host was verified by.
void write_tls(JsonWriter& json, std::string_view tls) {
  const size_t blank = tls.find(' ');
  if (blank == std::string_view::npos) return;
  const std::string_view cipher = tls.substr(blank + 1);
  const size_t end = cipher.find(' ');
  json.key("tls").begin_object();
  json.field("version", tls.substr(0, blank)).field("cipher", cipher.substr(0, end));
  json.field("verified", end != std::string_view::npos).end_object();
}

void write_timing(JsonWriter& json, const queue::Timing& timing) {
  json.key("timing").begin_object();
  write_time(json, "queued", timing.queued_us);
  write_time(json, "dns", timing.dns_us);
  write_time(json, "connect", timing.connect_us);
  write_time(json, "tls", timing.tls_us);
  write_time(json, "mail", timing.mail_us);
  write_time(json, "data", timing.data_us);
  write_time(json, "dot", timing.dot_us);
  json.end_object();
}

void write_response(JsonWriter& json, const queue::Outcome& outcome) {
  json.key("response").begin_object();
  if (outcome.code != 0) json.field("code", outcome.code);
  if (outcome.enhanced[0] != 0) {
    std::array<char, 24> text{};
    char* at = text.data();
    for (size_t i = 0; i < 3; ++i) {
      if (i > 0) *at++ = '.';
      at = std::to_chars(at, text.data() + text.size(), outcome.enhanced[i]).ptr;
    }
    json.field("enhanced", std::string_view(text.data(), static_cast<size_t>(at - text.data())));
  }
  json.field_if("text", outcome.text);
  if (outcome.stage < smtp::kPhases) {
    json.field("command", smtp::name_of(static_cast<smtp::Phase>(outcome.stage)));
  }
  json.end_object();
}

void write_class(JsonWriter& json, const queue::Outcome& outcome) {
  if (outcome.bounce_class < smtp::kBounceClasses) {
    json.field_if("class", smtp::name_of(static_cast<smtp::BounceClass>(outcome.bounce_class)));
  }
  if (outcome.kind != 0 && outcome.kind <= static_cast<uint8_t>(smtp::Kind::other)) {
    json.field("kind", smtp::name_of(static_cast<smtp::Kind>(outcome.kind)));
  }
  json.field_if("rule", outcome.rule);
}

void write_flags(JsonWriter& json, const queue::Outcome& outcome) {
  // Delivered without a reply: that is what the policy `assume-delivered` makes of one in doubt.
  const bool assumed = outcome.type == queue::OutcomeType::delivered && outcome.code == 0;
  const bool held = outcome.type == queue::OutcomeType::in_doubt && outcome.next_due_wall_ns == 0;
  if (!assumed && !held) return;
  json.key("flags").begin_array();
  if (assumed) json.value("assumed");
  if (held) json.value("held");
  json.end_array();
}

}  // namespace

std::string_view type_name(queue::OutcomeType type) {
  switch (type) {
    case queue::OutcomeType::delivered:
      return "delivered";
    case queue::OutcomeType::deferred:
      return "deferred";
    case queue::OutcomeType::failed:
      return "failed";
    case queue::OutcomeType::expired:
      return "expired";
    case queue::OutcomeType::cancelled:
      return "cancelled";
    case queue::OutcomeType::in_doubt:
      return "in_doubt";
    case queue::OutcomeType::suppressed:
      return "suppressed";
  }
  return "unknown";
}

void append_accepted(const EventHead& head, const queue::Batch* batch, const queue::Entry& entry,
                     std::string_view sender, std::string& out) {
  JsonWriter json(out);
  json.begin_object();
  write_head(json, head, "accepted", batch == nullptr ? 0 : batch->accepted_wall_ns);
  write_batch(json, batch);
  json.field("index", entry.index);
  write_recipient(json, &entry, sender);
  write_kept(json, batch, &entry);
  json.end_object().newline();
}

void append_outcome(const EventHead& head, const queue::Batch* batch, const queue::Entry* entry,
                    std::string_view sender, const queue::Outcome& outcome, std::string& out) {
  JsonWriter json(out);
  json.begin_object();
  write_head(json, head, type_name(outcome.type), outcome.wall_ns);
  write_batch(json, batch);
  json.field("index", outcome.index);
  write_recipient(json, entry, sender);
  json.field_if("site", outcome.site).field_if("source", outcome.source);
  if (!outcome.mx_name.empty() || !outcome.mx_address.empty()) {
    json.key("mx").begin_object();
    json.field_if("name", outcome.mx_name).field_if("addr", outcome.mx_address).end_object();
  }
  write_response(json, outcome);
  write_class(json, outcome);
  json.field("attempt", outcome.attempt);
  if (outcome.next_due_wall_ns != 0) json.time_field("next", outcome.next_due_wall_ns);
  write_timing(json, outcome.timing);
  if (outcome.bytes != 0) json.field("bytes", outcome.bytes);
  write_tls(json, outcome.tls);
  write_flags(json, outcome);
  write_kept(json, batch, entry);
  json.end_object().newline();
}

void append_order(const EventHead& head, const queue::Order& order, std::string& out) {
  const bool given = order.state == queue::Order::State::given;
  JsonWriter json(out);
  json.begin_object();
  write_head(json, head, "order", given ? order.given_wall_ns : order.ended_wall_ns);
  write_order(json, order);
  json.end_object().newline();
}

void append_gap(const EventHead& head, uint64_t from_seq, std::string_view reason,
                std::string& out) {
  JsonWriter json(out);
  json.begin_object().field("v", kEventVersion).field("node", head.node);
  json.field("stream", head.stream).field("seq", head.seq).field("type", "gap");
  if (from_seq != 0) json.field("from_seq", from_seq).field("to_seq", head.seq);
  json.field("reason", reason).end_object().newline();
}

void append_cursor_line(std::string_view cursor, std::string& out) {
  JsonWriter json(out);
  json.begin_object().field("v", kEventVersion).field("type", "cursor").field("cursor", cursor);
  json.end_object().newline();
}

}  // namespace veredus::control
