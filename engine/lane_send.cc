// From a work to a transaction, and from what the session heard to what goes home.

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <utility>

#include "engine/in_doubt.h"
#include "engine/io/kill_point.h"
#include "engine/io/planted.h"
#include "engine/lane.h"

namespace veredus {

namespace {

// Stored in 32 bits: an hour and eleven minutes; what took longer counts as that.
uint32_t us_of(int64_t ns) {
  return static_cast<uint32_t>(std::clamp<int64_t>(ns / 1000, 0, UINT32_MAX - 1));
}

// A server that takes so many messages per connection says so with 421 to the next MAIL, or just
// hangs up. That says nothing of this message, of which it has heard no more than the sender: it
// goes at once by another connection, whose first message is then not excused.
bool was_enough(const smtp::Session& session, const smtp::Outcome& outcome) {
  if (session.messages() < 2 || outcome.stage != smtp::Phase::mail) return false;
  return outcome.code == 421 || outcome.reason == smtp::Reason::connection_lost;
}

}  // namespace

int64_t Lanes::ends_mono_ns(const Work& work) {
  return work.batch->expires_mono_ns(work.lane->provider->retry, work.expires_wall_ns);
}

// Its time ended while it waited here.
void Lanes::expire(Work& work) {
  Returned& item = give_back(work);
  item.expired = true;
  item.verdict.result = smtp::Result::never;
  item.verdict.kind = smtp::Kind::soft;
  item.verdict.bounce_class = smtp::BounceClass::message_expired;
  item.verdict.rule = "maximum-age";
  item.enhanced = {5, 4, 7};
  text_of(work, item, "its time to be delivered in has passed", {}, {});
  free_work(work);
}

// Takes the next recipient, and those behind it that can share its transaction, and offers them to
// an idle session. False: nothing may go now, the session goes on idling.
bool Lanes::offer_next(Lane& lane, smtp::Session& session) {
  while (LaneQueue::Tenant* const tenant = lane.waiting.choose()) {
    if (held_back_left_ == 0) {
      list(lane);
      break;
    }
    if (shut(lane, *tenant)) continue;
    size_t allowed = recipients_allowed(lane);
    if (allowed == 0) break;
    if (!tenant_allowed(lane, *tenant, allowed)) continue;
    Work* const work = lane.waiting.pop(*tenant);
    uint32_t next = 0;
    if (!queue::read_entry(work->page->bytes, work->ticket.entry_offset, entry_, next).ok()) {
      lane.waiting.charge(*tenant, 0);
      on_work_unreadable(*work, "the recipient's entry in the spool is damaged");
      continue;
    }
    if (expired(*work)) {
      lane.waiting.charge(*tenant, 0);
      expire(*work);
      continue;
    }
    if (held_back(lane, *work)) {
      --held_back_left_;
      lane.waiting.charge(*tenant, 0);
      continue;
    }
    if (needs_tls(lane, *work) && !session.dialogue().secured()) {
      // Of others that are under TLS one will be free.
      if (lane.secured > 0) {
        lane.waiting.push_front(work, work->batch->tenant, weight_of(*work->batch));
        put_on_idle(session);
        std::rotate(lane.idle.begin(), lane.idle.end() - 1, lane.idle.end());  // it is used last
        return false;
      }
      lane.waiting.charge(*tenant, 0);
      put_off_for_tls(*work, session);
      continue;
    }
    if (!maker_.may_sign() && maker_.signs(*work)) {
      lane.waiting.push_front(work, work->batch->tenant, weight_of(*work->batch));
      if (!std::exchange(lane.listed, true)) to_sign_.push_back(&lane);
      break;
    }
    Load& load = *new_load();
    load.lane = &lane;
    load.session = &session;
    load.tenant = tenant->id;
    load.first_of_session = session.messages() == 0;
    load.works.push_back(work);
    load.recipients.push_back(work->to);
    if (io::is_planted(io::Planted::content_mixed) && shard_.random.below(50) == 0) {
      static_cast<void>(
          queue::read_entry(work->page->bytes, queue::kPageHeaderBytes, entry_, next));
    }
    if (io::is_planted(io::Planted::wrong_recipient) && shard_.random.below(50) == 0)
      load.recipients.back().remove_prefix(1);
    if (work->shareable) gather(*tenant, load, session, allowed);
    const auto recipients = static_cast<uint32_t>(load.works.size());
    if (!render(load, session, entry_)) {
      lane.waiting.charge(*tenant, 0);
      continue;
    }
    if (!bytes_allowed(lane, load)) {
      take_back(lane, load);
      break;
    }
    if (!tenant_bytes_allowed(lane, *tenant, load)) continue;
    take_message_tokens(lane, *tenant, load);
    lane.waiting.charge(*tenant, recipients);
    if (!maker_.finish(*work, entry_, form_for(session), load)) {
      not_made(load);
      continue;
    }
    mark(load);
    count_session(session, domain_of(load.recipients.front()));
    Counters::add(shard_.counters.transactions);
    session.offer(load);
    return true;
  }
  put_on_idle(session);
  return false;
}

// Recipients share a transaction within one domain, when content and sender are the same for all
// (RFC 5321 §4.5.3.1.8: every server takes a hundred). Only those that stand next are looked at.
void Lanes::gather(LaneQueue::Tenant& tenant, Load& load, const smtp::Session& session,
                   size_t allowed) {
  const Work& first = *load.works.front();
  Lane& lane = *load.lane;
  const uint16_t stated = session.capabilities().rcpt_max;
  size_t room = std::min<size_t>(lane.provider->recipients_per_transaction, smtp::kRecipientsMax);
  if (stated != 0) room = std::min<size_t>(room, stated);
  room = std::min({room, allowed, size_t{marks_.places_free()}});
  while (load.works.size() < room && !tenant.works.empty()) {
    Work& other = *tenant.works.head;
    if (!other.shareable || other.content != first.content) return;
    if (domain_of(other.to) != domain_of(first.to)) return;
    // A duplicate within the batch has an index of its own, and so a transaction of its own.
    if (std::find(load.recipients.begin(), load.recipients.end(), other.to) !=
        load.recipients.end())
      return;
    if (expired(other) || order_for(lane, other) != nullptr) return;
    lane.waiting.pop(tenant);
    load.works.push_back(&other);
    load.recipients.push_back(other.to);
  }
}

// What its recipients share in the envelope. False: the content could not be made; they went home
// with the reason.
bool Lanes::render(Load& load, const smtp::Session& session, queue::Entry& entry) {
  const Work& work = *load.works.front();
  const bool alone = load.works.size() == 1;
  if (!maker_.render(work, entry, alone, form_for(session), load)) return not_made(load), false;
  load.transaction.recipients = load.recipients;
  load.transaction.needs_tls = needs_tls(*load.lane, work);
  static_assert(
      queue::kDsnNever == smtp::kNotifyNever && queue::kDsnSuccess == smtp::kNotifySuccess &&
      queue::kDsnFailure == smtp::kNotifyFailure && queue::kDsnDelay == smtp::kNotifyDelay &&
      static_cast<uint8_t>(queue::DsnReturn::full) == smtp::kRetFull &&
      static_cast<uint8_t>(queue::DsnReturn::headers) == smtp::kRetHdrs);
  const queue::Dsn& dsn = work.batch->batch.dsn;
  load.transaction.dsn = {dsn.notify, static_cast<uint8_t>(dsn.ret), dsn.envid};
  return true;
}

MessageMaker::Form Lanes::form_for(const smtp::Session& session) {
  MessageMaker::Form form;
  form.dot_stuffed = !session.chunking();
  form.eight_bit = session.capabilities().has(smtp::Capability::eight_bit_mime);
  return form;
}

// Its recipients go home with what the maker says.
void Lanes::not_made(Load& load) {
  const MessageMaker::Fault& fault = maker_.fault();
  for (Work* each : load.works) {
    Returned& item = give_back(*each);
    item.verdict.result = fault.result;
    item.verdict.scope = smtp::Scope::recipient;
    item.verdict.kind = fault.kind;
    item.verdict.bounce_class = fault.bounce_class;
    item.verdict.rule = fault.rule;
    item.enhanced = fault.enhanced;
    text_of(*each, item, fault.reason, {}, {});
    free_work(*each);
  }
  end_load(load);
}

Lanes::Load* Lanes::new_load() {
  if (free_loads_.empty()) return &load_slab_.emplace_back();
  Load* const load = free_loads_.back();
  free_loads_.pop_back();
  return load;
}

void Lanes::free_load(Load& load) {
  load.works.clear();
  load.recipients.clear();
  load.content.clear();
  if (load.scratch.capacity() > kScratchKept) std::string().swap(load.scratch);
  free_loads_.push_back(&load);
}

// --------------------------------------------------------------------------------------- what the
// sessions report

void Lanes::on_session_ready(smtp::Session& session) {
  Lane& lane = *static_cast<Lane*>(session.place);
  if (session.listed_idle) return;
  if (!session.greeted) {
    session.greeted = true;
    lane.failed_dials = lane.tls_failures = 0;
    lane.clock.succeeded();
    --lane.dialling;
    if (session.dialogue().secured()) ++lane.secured;
    if (uint32_t* const known = peer_of(lane, session.peer())) {
      ++*known;
    } else {
      lane.peers.emplace_back(session.peer(), 1);
    }
    Counters::add(shard_.counters.connected);
    if (session.tls() != nullptr && !broken_tls_.empty())
      broken_tls_.erase(tls_key(lane, session.peer()));
  }
  put_on_idle(session);
  const unsigned idle_max = lane.provider->idle_max;
  if ((idle_max != 0 && lane.idle.size() > idle_max && lane.waiting.empty()) ||
      too_old(lane, session))
    spent_.push_back(&session);
  const unsigned most = lane.provider->messages_per_connection;
  const uint16_t stated = session.capabilities().mail_max;
  if ((most != 0 && session.messages() >= most) || (stated != 0 && session.messages() >= stated))
    spent_.push_back(&session);
  list(lane);
}

void Lanes::put_on_idle(smtp::Session& session) {
  session.listed_idle = true;
  Lane& lane = *static_cast<Lane*>(session.place);
  lane.idle.push_back(&session);
  append(*lane.idle_list, session);
}

void Lanes::append(IdleList& list, smtp::Session& session) {
  session.previous = list.newest;
  session.next = nullptr;
  (list.newest == nullptr ? list.oldest : list.newest->next) = &session;
  list.newest = &session;
  ++idle_;
}

void Lanes::remove(IdleList& list, smtp::Session& session) {
  (session.previous == nullptr ? list.oldest : session.previous->next) = session.next;
  (session.next == nullptr ? list.newest : session.next->previous) = session.previous;
  if (relieving_ == &session) relieving_ = session.next;
  --idle_;
}

void Lanes::take_off_idle(smtp::Session& session) {
  if (!session.listed_idle) return;
  session.listed_idle = false;
  Lane& lane = *static_cast<Lane*>(session.place);
  lane.idle.erase(std::find(lane.idle.rbegin(), lane.idle.rend(), &session).base() - 1);
  remove(*lane.idle_list, session);
}

void Lanes::on_session_outcome(smtp::Session& session, smtp::Outgoing* outgoing,
                               const smtp::Outcome& outcome, std::string_view text) {
  if (outgoing == nullptr) return session_ended(session, outcome, text);
  Load& load = *static_cast<Load*>(outgoing);
  Lane& lane = *load.lane;
  Work& work = *load.works[outcome.recipient];
  Returned& item = give_back(work);
  item.unsent = was_enough(session, outcome);
  item.verdict = outcome.verdict;
  settle_mark(work, item);
  if (item.unsent) return;
  item.stage = static_cast<uint8_t>(outcome.stage);
  item.code = outcome.code;
  item.enhanced = {outcome.enhanced.status_class, outcome.enhanced.subject,
                   outcome.enhanced.detail};
  item.bytes = static_cast<uint32_t>(std::min<uint64_t>(load.transaction.size, UINT32_MAX));
  item.source = session.source;
  const smtp::Outgoing::Moments& moments = load.moments;
  if (load.first_of_session) {
    item.timing.connect_us = static_cast<uint32_t>(session.connect_us());
    if (session.tls_us() >= 0) item.timing.tls_us = us_of(session.tls_us() * 1000);
  }
  item.timing.queued_us =
      us_of(moments.offered_ns - work.taken_up_mono_ns + int64_t{item.timing.queued_us} * 1000);
  if (load.first_of_session && lane.resolve_us != queue::kNotReached)
    item.timing.dns_us = std::exchange(lane.resolve_us, queue::kNotReached);
  // Each to where the next one began, or to the end.
  const bool at_data =
      outcome.stage >= smtp::Phase::data && outcome.stage <= smtp::Phase::end_of_data;
  const int64_t mail_end_ns = moments.data_ns != 0        ? moments.data_ns
                              : moments.body_sent_ns != 0 ? moments.body_sent_ns
                                                          : shard_.mono_ns;
  if (outcome.stage >= smtp::Phase::mail)
    item.timing.mail_us = us_of(mail_end_ns - moments.offered_ns);
  if (moments.data_ns != 0 && at_data) {
    const int64_t data_end_ns = moments.go_ahead_ns != 0 ? moments.go_ahead_ns : shard_.mono_ns;
    item.timing.data_us = us_of(data_end_ns - moments.data_ns);
  }
  if (moments.body_sent_ns != 0) {
    item.timing.dot_us = us_of(shard_.mono_ns - moments.body_sent_ns);
  }
  if (lane.peer_spelled != session.peer()) {
    lane.peer_spelled = session.peer();
    lane.peer_text = io::to_text(session.peer());
  }
  text_of(work, item, text, lane.site->hosts[session.host].name, lane.peer_text);
  if (session.tls() != nullptr) tls_of(work, item, *session.tls());
  note_outcome(lane, outcome.verdict.result, outcome.code, text);
  if (outcome.verdict.result == smtp::Result::delivered) {
    io::kill_point("reply_heard");
    Counters::add(shard_.counters.delivered_here);
  }
  // The work, and with it the pins on page and content, stays until the kernel has let go of the
  // bytes.
}

void Lanes::on_outgoing_free(smtp::Session&, smtp::Outgoing& outgoing) {
  Load& load = static_cast<Load&>(outgoing);
  Lane& lane = *load.lane;
  const int64_t took_ns = shard_.mono_ns - load.moments.offered_ns;
  lane.transaction_ns += (took_ns - lane.transaction_ns) / 8;
  lane.recipients += (static_cast<double>(load.works.size()) - lane.recipients) / 8;
  const auto bytes = static_cast<double>(load.transaction.size);
  lane.bytes += lane.bytes == 0 ? bytes : (bytes - lane.bytes) / 8;
  for (Work* const work : load.works) free_work(*work);
  end_load(load);
}

// Its works are gone.
void Lanes::end_load(Load& load) {
  Scope* const slot = std::exchange(load.tenant_slot, nullptr);
  free_load(load);
  if (slot == nullptr) return;
  limits_.release_slot(*slot);
  limits_.changed(*slot);
}

// The session itself failed. On the way to its greeting that says something of the host; later it
// says nothing more than its recipients' outcomes do.
void Lanes::session_ended(smtp::Session& session, const smtp::Outcome& outcome,
                          std::string_view text) {
  if (session.messages() > 0 || outcome.reason == smtp::Reason::local_close) return;
  Lane& lane = *static_cast<Lane*>(session.place);
  // Greeted, then closed before anything was offered: no matter when nothing waited; else such a
  // host is of no use, and would be dialled for ever.
  if (session.greeted && lane.waiting.empty()) return;
  lane.last_reply.keep(outcome.code, text);
  lane.last_reply_mono_ns = shard_.mono_ns;
  if (failed_for_tls(session, outcome)) count_failed_tls(session, outcome, text);
  if (goes_on_without(lane, session, outcome)) return end_race(session);
  Counters::add(shard_.counters.connect_failures);
  if (session.connect_error() == EADDRNOTAVAIL) {
    // Ours is missing, or all its ports are in use: no fault of the host.
    sources_.suspect(lane.source);
    lane.no_growth = Lane::NoGrowth::no_address;
    lane.no_growth_until_mono_ns = shard_.mono_ns + kAgainNs;
    look_again(lane, shard_.mono_ns + kAgainNs);
    return end_race(session);
  }
  const uint32_t own = session.greeted ? 1 : 0;
  const uint32_t* const there = peer_of(lane, session.peer());
  if (there != nullptr && *there > own) {
    // Others work there: it takes so many and no more. No reason to stop those.
    lane.no_growth_until_mono_ns = shard_.mono_ns + lane.provider->host_down_ns;
    lane.no_growth = Lane::NoGrowth::refused;
    return;
  }
  pass_over(lane, session.peer(),
            failed_at_tls(session, outcome) || outcome.stage == smtp::Phase::auth);
  if (session.rival != nullptr) return end_race(session);  // the other one is still to answer
  if (lane.peers.size() > own) return;  // others work elsewhere, and carry what waits
  lane.failure = Returned{};
  lane.failure.verdict = outcome.verdict;
  if (outcome.stage == smtp::Phase::idle) lane.failure.verdict.result = smtp::Result::later;
  lane.failure.stage = static_cast<uint8_t>(outcome.stage);
  lane.failure.code = outcome.code;
  lane.failure.enhanced = {outcome.enhanced.status_class, outcome.enhanced.subject,
                           outcome.enhanced.detail};
  lane.failure_text = text;
  lane.failure_mx = lane.site->hosts[session.host].name;
  lane.failure_address = io::to_text(session.peer());
  note_refused_auth(lane, outcome);
  // Each address of every host was tried once. Where that takes as long as an address is passed
  // over, another one is always free to be tried again, and what waits would never hear of it, nor
  // expire.
  ++lane.failed_dials;
  const bool all_asked = lane.hosts_asked == 0 && lane.hosts_resolved == lane.site->hosts.size();
  if (all_asked && lane.failed_dials >= lane.targets.size()) fail_waiting(lane);
}

bool Lanes::too_old(const Lane& lane, const smtp::Session& session) const {
  int64_t age_max = lane.provider->connection_age_ns;
  // What hosts and domains say of TLS is asked when one is dialled.
  if (tls_use(lane) != smtp::TlsUse::none && lane.site->route == RouteIndex::kNone)
    age_max = age_max == 0 ? kTlsAgeNs : std::min(age_max, kTlsAgeNs);
  return age_max != 0 && shard_.mono_ns - session.dialled_mono_ns() >= age_max;
}

void Lanes::on_session_closing(smtp::Session& session) {
  end_race(session);
  take_off_idle(session);
  Lane& lane = *static_cast<Lane*>(session.place);
  if (!session.greeted) {
    --lane.dialling;
  } else {
    if (session.dialogue().secured()) --lane.secured;
    if (--*peer_of(lane, session.peer()) == 0)
      std::erase_if(lane.peers, [](const auto& peer) { return peer.second == 0; });
  }
  session.greeted = true;
  ++lane.closing;
}

void Lanes::on_session_gone(smtp::Session& session) {
  Lane& lane = *static_cast<Lane*>(session.place);
  --lane.sessions;
  --lane.closing;
  --sessions_open_;
  Counters::take(shard_.counters.sessions);
  if (session.told_to_leave) {
    --lane.leaving;
    for (Scope* const scope : lane.slots) --scope->leaving;
  }
  give_back_connection(lane);
  if (lane.waiting.empty()) give_back_unwanted(lane);
  session.place = nullptr;
  session.dane.reset();
  free_sessions_.push_back(&session);
  list(lane);
}

smtp::Session* Lanes::new_session() {
  smtp::Session* session;
  if (free_sessions_.empty()) {
    session = &session_slab_.emplace_back(world_, *this);
  } else {
    session = free_sessions_.back();
    free_sessions_.pop_back();
  }
  session->greeted = false;
  session->counted = {};
  session->listed_idle = session->told_to_leave = false;
  session->rival = nullptr;
  return session;
}

bool Lanes::early_mail(const Lane& lane, uint16_t host) const {
  if (lane.provider->dialogue.allow_early_mail) return true;
  const std::string_view name = lane.site->hosts[host].name;
  const std::vector<std::string>& hosts = shard_.policy->early_mail_hosts;
  return std::any_of(hosts.begin(), hosts.end(),
                     [name](const std::string& pattern) { return fits_name(pattern, name); });
}

}  // namespace veredus
