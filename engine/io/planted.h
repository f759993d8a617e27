#pragma once

#include <string_view>

namespace veredus::io {

// Defects that the simulated world must find: it is run with one of them planted, to see that it
// would. Only builds with VEREDUS_PLANTED (the test presets) can plant anything; in a release every
// question is a constant `false`.
enum class Planted {
  none,
  ack_before_sync,  // intake is answered when its frames are gathered, not when they are durable
  double_settle,    // now and then an outcome that is "later" is settled twice
  stale_ticket,    // now and then the same ticket is sent twice: one of them is stale when it comes
                   // back
  lost_ticket,     // now and then a ticket does not come back
  reply_shift,     // now and then a reply nobody sent is taken for the next one
  doubt_is_later,  // what is in doubt is tried again soon, like an ordinary failure
  doubt_is_delivered,   // what is in doubt is called delivered
  doubt_is_failed,      // what is in doubt is called failed
  outcomes_late,        // outcomes wait for two seconds, if nothing else is flushed
  content_mixed,        // now and then the page's first recipient is rendered for another one
  journals_left_out,    // those beyond the number of shards
  mark_not_written,     // content leaves without attempt marks
  mark_place_early,     // a mark's place is used again when the outcome is known, not yet durable
  marks_removed_early,  // those of earlier lives, before what they left in doubt is durable
  checkpoint_short,     // a checkpoint ends after the first turn's share of records
  checkpoint_behind,  // what was settled meanwhile is journaled behind what the checkpoint says of
                      // it
  commit_not_restated,  // a checkpoint does not know of the commit of a batch that is not announced
                        // yet
  reclaim_early,        // segments are removed when what was in them is written, not yet durable
  carried_early,        // who is carried forward lies at the new place before that is durable
  tickets_not_cancelled,  // who is being sent to goes on when it comes back, though he was to be
                          // forgotten
  erasure_not_restated,   // a checkpoint does not know of the segments that are to be emptied
  wrong_recipient,        // now and then the address in the envelope lacks its first character
  forgotten_unwritten,    // a batch is forgotten, and the journal does not hear of it
  forgotten_restated,     // … or hears of it, and the next checkpoint brings it back
  expiry_unwritten,       // who expires leaves without an outcome
  events_not_kept,        // however long they are to be
  rates_forgotten,        // what rates have granted is not looked for after a start
  rates_anew,             // … and each begins as if nothing had been granted for long
  rates_of_any_boot,      // … and is believed though a power cut may have taken the last of it
  lowered_limit_kept,     // after a reload a smaller limit is not applied where it is lent from
  adopted_beyond,         // … what sessions bring under a limit is allowed beyond it
  tokens_kept,            // tokens of a rate are used long after their lease is over
  orders_forgotten,       // a start knows of no operator's order
  orders_unseen,          // lanes do not look at orders: what is out goes on
  parked_lost,            // one of those who waited under a suspension is not found when it ends
  outdated_tickets,       // what waits at a lane when the rules change leaves by the old ones
};

#ifdef VEREDUS_PLANTED
extern Planted planted;
inline bool is_planted(Planted defect) {
  return planted == defect;
}
// The defect of that name, of the engine or of the journal (queue/planted.h). False: there is none.
bool plant(std::string_view name);
// The one that the environment names, in VEREDUS_PLANT: for tests of whole processes. False: none
// is of that name.
bool plant_what_is_told();
#else
constexpr bool plant(std::string_view) {
  return false;
}
constexpr bool plant_what_is_told() {
  return true;
}
constexpr bool is_planted(Planted) {
  return false;
}
#endif

}  // namespace veredus::io
