#pragma once

namespace veredus::queue {

// Defects of the journal and of intake that the simulated world must find, as engine/io/planted.h
// has them of the engine: only builds with VEREDUS_PLANTED can plant one.
enum class Planted {
  none,
  sync_skipped,       // a group counts as durable when it is written
  recovery_unsynced,  // what recovery read is acted upon though it may be on no disk
  epoch_kept,         // recovery goes on in the epoch that it found, and cuts nothing
  torn_group_counts,  // recovery takes a group whose checksum is wrong
  needed_from_last,   // the checkpoint before the last one may be reclaimed
  tallies_added,      // a checkpoint's tallies are added to what is known, instead of replacing it
  carried_stays,      // who is carried forward waits at the old place, too
  expired_waits,      // after a start who had expired waits again
  forgotten_early,    // a batch is forgotten as soon as it is finished
  forgotten_held,     // those held in doubt count as finished
  slot_lent_twice,    // of each limit one is lent to two holders
};

#ifdef VEREDUS_PLANTED
inline Planted planted = Planted::none;
inline bool is_planted(Planted defect) {
  return planted == defect;
}
#else
constexpr bool is_planted(Planted) {
  return false;
}
#endif

}  // namespace veredus::queue
