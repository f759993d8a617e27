#include "engine/io/planted.h"

#ifdef VEREDUS_PLANTED

#include <cstdlib>
#include <utility>

#include "queue/planted.h"

namespace veredus::io {
namespace {

using Journal = queue::Planted;

constexpr std::pair<std::string_view, Planted> kOfEngine[] = {
    {"ack_before_sync", Planted::ack_before_sync},
    {"double_settle", Planted::double_settle},
    {"stale_ticket", Planted::stale_ticket},
    {"lost_ticket", Planted::lost_ticket},
    {"reply_shift", Planted::reply_shift},
    {"doubt_is_later", Planted::doubt_is_later},
    {"doubt_is_delivered", Planted::doubt_is_delivered},
    {"doubt_is_failed", Planted::doubt_is_failed},
    {"outcomes_late", Planted::outcomes_late},
    {"journals_left_out", Planted::journals_left_out},
    {"mark_not_written", Planted::mark_not_written},
    {"mark_place_early", Planted::mark_place_early},
    {"marks_removed_early", Planted::marks_removed_early},
    {"checkpoint_short", Planted::checkpoint_short},
    {"checkpoint_behind", Planted::checkpoint_behind},
    {"commit_not_restated", Planted::commit_not_restated},
    {"reclaim_early", Planted::reclaim_early},
    {"carried_early", Planted::carried_early},
    {"content_mixed", Planted::content_mixed},
    {"tickets_not_cancelled", Planted::tickets_not_cancelled},
    {"erasure_not_restated", Planted::erasure_not_restated},
    {"wrong_recipient", Planted::wrong_recipient},
    {"forgotten_unwritten", Planted::forgotten_unwritten},
    {"forgotten_restated", Planted::forgotten_restated},
    {"expiry_unwritten", Planted::expiry_unwritten},
    {"events_not_kept", Planted::events_not_kept},
    {"rates_forgotten", Planted::rates_forgotten},
    {"rates_anew", Planted::rates_anew},
    {"rates_of_any_boot", Planted::rates_of_any_boot},
    {"lowered_limit_kept", Planted::lowered_limit_kept},
    {"adopted_beyond", Planted::adopted_beyond},
    {"tokens_kept", Planted::tokens_kept},
    {"orders_forgotten", Planted::orders_forgotten},
    {"orders_unseen", Planted::orders_unseen},
    {"parked_lost", Planted::parked_lost},
    {"outdated_tickets", Planted::outdated_tickets}};
constexpr std::pair<std::string_view, Journal> kOfJournal[] = {
    {"sync_skipped", Journal::sync_skipped},
    {"recovery_unsynced", Journal::recovery_unsynced},
    {"epoch_kept", Journal::epoch_kept},
    {"torn_group_counts", Journal::torn_group_counts},
    {"needed_from_last", Journal::needed_from_last},
    {"tallies_added", Journal::tallies_added},
    {"carried_stays", Journal::carried_stays},
    {"expired_waits", Journal::expired_waits},
    {"forgotten_early", Journal::forgotten_early},
    {"forgotten_held", Journal::forgotten_held},
    {"slot_lent_twice", Journal::slot_lent_twice}};

}  // namespace

Planted planted = Planted::none;

bool plant(std::string_view name) {
  for (const auto& [known, defect] : kOfEngine) {
    if (known == name) return planted = defect, true;
  }
  for (const auto& [known, defect] : kOfJournal) {
    if (known == name) return queue::planted = defect, true;
  }
  return false;
}

bool plant_what_is_told() {
  const char* const told = std::getenv("VEREDUS_PLANT");
  return told == nullptr || plant(told);
}

}  // namespace veredus::io

#endif
