#include "tools/veredus/spool.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <utility>

#include <sysexits.h>

#include "engine/intake/json_writer.h"
#include "queue/journal_check.h"
#include "tools/veredus/table.h"

namespace veredus::tools {
namespace {

using intake::JsonWriter;

int fail(const absl::Status& status) {
  complain(std::string(status.message()));
  return exit_status_of(status);
}

void put(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
}

// --- list ----------------------------------------------------------------------------------------

struct Listed {
  uint64_t segments = 0, bytes = 0, replayed = 0, waiting = 0, held = 0, batches = 0;
  uint64_t marks_files = 0, marked = 0, damage = 0;
  std::map<uint32_t, uint64_t> waiting_in;  // by segment
};

Listed list(const JournalRead& journal) {
  Listed listed;
  listed.segments = journal.recovered.files.size();
  for (const queue::SegmentFile& file : journal.recovered.files) listed.bytes += file.bytes;
  listed.replayed = journal.recovered.summary.replayed_bytes;
  for (const auto& [place, run] : journal.books.ledger.runs()) {
    listed.held += run.held();
    listed.waiting += run.live - run.held();
    listed.waiting_in[run.extent.at.segment] += run.live;
  }
  for (const auto& [number, known] : journal.books.ledger.batches())
    listed.batches += known.committed ? 1 : 0;
  listed.marks_files = journal.marks_files.size();
  listed.marked = journal.marks.size();
  listed.damage = journal.damage.size();
  return listed;
}

// What a segment is there for, in a word.
const char* state_of(const JournalRead& journal, const Listed& listed, uint32_t segment) {
  const auto& never = journal.recovered.never_used;
  if (std::find(never.begin(), never.end(), segment) != never.end()) return "spare";
  if (segment == journal.recovered.end.segment) return "last";
  const uint32_t from = journal.recovered.checkpoint_before.segment;
  if (segment >= from) return "replayed";
  return listed.waiting_in.contains(segment) ? "waited in" : "kept";
}

uint64_t waiting_in(const Listed& listed, uint32_t segment) {
  const auto found = listed.waiting_in.find(segment);
  return found == listed.waiting_in.end() ? 0 : found->second;
}

void write_counts(JsonWriter& json, const Listed& listed) {
  json.field("bytes", listed.bytes).field("replayed_bytes", listed.replayed);
  json.field("waiting", listed.waiting).field("in_doubt", listed.held);
  json.field("batches", listed.batches).field("marks_files", listed.marks_files);
  json.field("marks", listed.marked).field("damage", listed.damage);
}

std::vector<std::string> row_of(std::string name, std::string epoch, std::string checkpoint,
                                const Listed& listed) {
  return {std::move(name),
          std::to_string(listed.segments),
          std::to_string(listed.bytes),
          std::move(epoch),
          std::move(checkpoint),
          std::to_string(listed.replayed),
          std::to_string(listed.waiting),
          std::to_string(listed.held),
          std::to_string(listed.batches),
          std::to_string(listed.marks_files),
          std::to_string(listed.damage)};
}

void add(Listed& total, const Listed& listed) {
  total.segments += listed.segments;
  total.bytes += listed.bytes;
  total.replayed += listed.replayed;
  total.waiting += listed.waiting;
  total.held += listed.held;
  total.batches += listed.batches;
  total.marks_files += listed.marks_files;
  total.marked += listed.marked;
  total.damage += listed.damage;
}

void list_json(const Spool& spool, const Journals& journals, bool live) {
  std::string out;
  JsonWriter json(out);
  Listed total;
  json.begin_object().field("spool", spool.directory()).field("live", live);
  json.key("journals").begin_array();
  for (const auto& journal : journals) {
    const Listed listed = list(*journal);
    add(total, listed);
    const queue::Recovered& summary = journal->recovered.summary;
    json.begin_object().field("journal", journal->number).field("epoch", summary.epoch - 1);
    json.key("checkpoint");
    if (summary.checkpoint.segment == 0) {
      json.null();
    } else {
      json.begin_object().field("segment", summary.checkpoint.segment);
      json.field("offset", summary.checkpoint.offset);
      json.field("sequence", summary.checkpoint.sequence).end_object();
    }
    json.field("last_sequence", summary.last_sequence).field("events", summary.events);
    write_counts(json, listed);
    json.key("segments").begin_array();
    for (const queue::SegmentFile& file : journal->recovered.files) {
      json.begin_object().field("number", file.number).field("bytes", file.bytes);
      json.field("state", state_of(*journal, listed, file.number));
      json.field("waiting", waiting_in(listed, file.number)).end_object();
    }
    json.end_array().end_object();
  }
  json.end_array().key("total").begin_object().field("segments", total.segments);
  write_counts(json, total);
  json.end_object().end_object().newline();
  put(out);
}

void list_table(const Spool& spool, const Journals& journals, bool live, bool segments) {
  std::vector<std::vector<std::string>> rows = {{"journal", "segments", "bytes", "epoch",
                                                 "checkpoint", "replayed", "waiting", "in doubt",
                                                 "batches", "marks files", "damage"}};
  std::vector<std::vector<std::string>> files = {
      {"journal", "segment", "bytes", "state", "waiting"}};
  Listed total;
  for (const auto& journal : journals) {
    const Listed listed = list(*journal);
    add(total, listed);
    const queue::CheckpointPlace& place = journal->recovered.summary.checkpoint;
    rows.push_back(row_of(
        std::to_string(journal->number), std::to_string(journal->recovered.summary.epoch - 1),
        place.segment == 0 ? "none"
                           : std::to_string(place.segment) + ":" + std::to_string(place.offset),
        listed));
    for (const queue::SegmentFile& file : journal->recovered.files)
      files.push_back({std::to_string(journal->number), std::to_string(file.number),
                       std::to_string(file.bytes), state_of(*journal, listed, file.number),
                       std::to_string(waiting_in(listed, file.number))});
  }
  rows.push_back(row_of("all", "", "", total));
  std::printf("%s%s\n", spool.directory().c_str(), live ? " (live: an engine is at work)" : "");
  print_table(rows);
  if (!segments) return;
  std::puts("");
  print_table(files);
}

int run_list(Spool& spool, const Common& common, const SpoolOptions& options) {
  Journals journals;
  bool live = false;
  const absl::Status read = spool.look(
      [&]() -> absl::StatusOr<bool> {
        absl::StatusOr<Journals> got = spool.read();
        if (!got.ok()) return got.status();
        journals = *std::move(got);
        for (const auto& journal : journals) {
          if (!journal->damage.empty()) return false;
        }
        return true;
      },
      live);
  if (!read.ok()) return fail(read);
  if (common.json) {
    list_json(spool, journals, live);
  } else {
    list_table(spool, journals, live, options.segments);
  }
  return EX_OK;
}

// --- verify --------------------------------------------------------------------------------------

int run_verify(Spool& spool, const Common& common) {
  SpoolCheck check;
  bool live = false;
  const absl::Status read = spool.look(
      [&]() -> absl::StatusOr<bool> {
        absl::StatusOr<SpoolCheck> got = check_spool(spool);
        if (!got.ok()) return got.status();
        check = *std::move(got);
        return check.damage.empty();
      },
      live);
  if (!read.ok()) return fail(read);
  if (common.json) {
    std::string out;
    JsonWriter json(out);
    json.begin_object().field("spool", spool.directory()).field("live", live);
    json.field("journals", check.journals).field("segments", check.segments);
    json.field("extents", check.extents).field("recipients", check.recipients);
    json.field("marks_files", check.marks_files).key("damage").begin_array();
    for (const SpoolDamage& damage : check.damage) {
      json.begin_object().field("journal", damage.journal).field("segment", damage.segment);
      json.field("offset", damage.offset).field("what", damage.what).end_object();
    }
    json.end_array().end_object().newline();
    put(out);
  } else {
    for (const SpoolDamage& damage : check.damage) std::printf("%s\n", text_of(damage).c_str());
    std::printf(
        "%s%s: %zu places damaged; read were %llu journals, %llu segments, %llu extents "
        "with %llu recipients who wait, %llu files of marks\n",
        spool.directory().c_str(), live ? " (live)" : "", check.damage.size(),
        static_cast<unsigned long long>(check.journals),
        static_cast<unsigned long long>(check.segments),
        static_cast<unsigned long long>(check.extents),
        static_cast<unsigned long long>(check.recipients),
        static_cast<unsigned long long>(check.marks_files));
  }
  return check.damage.empty() ? EX_OK : EX_DATAERR;
}

// --- waiting -------------------------------------------------------------------------------------

// The lines of all who wait; false when somebody cannot be read.
using Rows = std::vector<std::vector<std::string>>;

std::string text_of(const queue::WaitingState& state) {
  return state.held           ? "held"
         : state.in_doubt     ? "in doubt"
         : state.attempts > 0 ? "deferred"
                              : "new";
}

absl::StatusOr<bool> waiting_lines(Spool& spool, const BatchFilter& filter, std::string& out,
                                   Rows& rows, bool as_json, std::vector<SpoolDamage>& damage) {
  absl::StatusOr<Journals> journals = spool.read();
  if (!journals.ok()) return journals.status();
  out.clear();
  rows = {{"batch", "index", "to", "attempts", "state"}};
  damage.clear();
  JsonWriter json(out);
  for (const auto& journal : *journals) {
    damage.insert(damage.end(), journal->damage.begin(), journal->damage.end());
    std::vector<queue::Damage> places;
    for (const auto& [place, run] : journal->books.ledger.runs()) {
      const queue::KnownBatch* known = find_committed(*journals, run.extent.batch);
      if (known == nullptr || !filter.takes(known->batch.tenant, known->batch.name)) continue;
      const auto line = [&, &of = run](const queue::Entry* entry, const queue::WaitingState& state,
                                       uint32_t index) {
        if (!as_json) {
          rows.push_back({known->batch.tenant + "/" + known->batch.name, std::to_string(index),
                          entry == nullptr ? "?" : std::string(entry->to),
                          std::to_string(state.attempts), text_of(state)});
          return;
        }
        json.begin_object().field("tenant", known->batch.tenant).field("batch", known->batch.name);
        json.field("index", index);
        if (entry != nullptr) json.field("to", entry->to);
        json.field("stream", journal->number).field("segment", of.extent.at.segment);
        json.field("attempts", state.attempts).field("in_doubt", state.in_doubt);
        json.field("held", state.held);
        if (state.due_wall_ns != 0) json.time_field("due", state.due_wall_ns);
        json.end_object().newline();
      };
      std::vector<bool> read(run.waits.size() * 64);
      const uint64_t lost = queue::visit_waiting(
          spool.disk(), journal->directory, run,
          [&](const queue::Entry& entry, const queue::WaitingState& state, uint32_t ordinal) {
            read[ordinal] = true;
            line(&entry, state, entry.index);
          },
          places);
      if (lost == 0) continue;
      for (uint32_t ordinal = 0; ordinal < read.size(); ++ordinal) {
        if (run.has(ordinal) && !read[ordinal])
          line(nullptr, run.state(ordinal), run.extent.first_index + ordinal);
      }
    }
    for (queue::Damage& place : places)
      damage.push_back({journal->number, place.segment, place.offset, std::move(place.what)});
  }
  return damage.empty();
}

int run_waiting(Spool& spool, const Common& common, const SpoolOptions& options) {
  std::string out;
  Rows rows;
  std::vector<SpoolDamage> damage;
  bool live = false;
  const absl::Status read = spool.look(
      [&] {
        return waiting_lines(spool, BatchFilter(options.batch), out, rows, common.json, damage);
      },
      live);
  if (!read.ok()) return fail(read);
  if (common.json) {
    put(out);
  } else {
    print_table(rows);
  }
  if (std::fflush(stdout) != 0) return EX_IOERR;
  for (const SpoolDamage& place : damage) complain(text_of(place));
  return damage.empty() ? EX_OK : EX_DATAERR;
}

}  // namespace

int run_spool(const Common& common, const SpoolOptions& options) {
  int exit_status = EX_OK;
  const std::unique_ptr<Spool> spool = Spool::open(common, options.spool, exit_status);
  if (spool == nullptr) return exit_status;
  if (options.what == "verify") return run_verify(*spool, common);
  if (options.what == "outcomes") return print_outcomes(*spool, common, options);
  if (options.what == "waiting") return run_waiting(*spool, common, options);
  if (options.what == "orders") return print_orders(*spool, common);
  return run_list(*spool, common, options);
}

}  // namespace veredus::tools
