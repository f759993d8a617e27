#include "queue/ticket_queue.h"

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <random>
#include <thread>
#include <vector>

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include "gtest/gtest.h"

namespace veredus::queue {
namespace {

Ticket make_ticket(unsigned band, uint32_t number, uint16_t producer = 0) {
  Ticket ticket;
  ticket.slot = number;
  ticket.batch = ~number;
  ticket.segment = number * 2654435761u;
  ticket.queued_ms = number ^ producer;
  ticket.home = producer;
  ticket.band = static_cast<uint8_t>(band);
  return ticket;
}

// Every field was written by the same push.
bool is_whole(const Ticket& ticket) {
  return ticket.batch == ~ticket.slot && ticket.segment == ticket.slot * 2654435761u &&
         ticket.queued_ms == (ticket.slot ^ ticket.home);
}

TEST(TicketQueue, HigherBandsFirstAndFifoWithinABand) {
  TicketQueue queue(16);
  const std::array<unsigned, 8> bands = {3, 1, 2, 0, 1, 0, 3, 2};
  for (uint32_t i = 0; i < bands.size(); ++i) ASSERT_TRUE(queue.push(make_ticket(bands[i], i)));
  EXPECT_EQ(queue.approximate_size(), 8u);
  EXPECT_EQ(queue.approximate_size(3), 2u);
  std::vector<uint32_t> order;
  for (Ticket ticket; queue.pop(ticket);) order.push_back(ticket.slot);
  EXPECT_EQ(order, (std::vector<uint32_t>{3, 5, 1, 4, 2, 7, 0, 6}));
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.approximate_size(), 0u);
}

TEST(TicketQueue, AFullBandRefusesAndTheOthersTakeOn) {
  TicketQueue queue(4);
  for (uint32_t i = 0; i < 4; ++i) ASSERT_TRUE(queue.push(make_ticket(2, i)));
  EXPECT_FALSE(queue.push(make_ticket(2, 4)));
  EXPECT_TRUE(queue.push(make_ticket(1, 100)));
  Ticket ticket;
  ASSERT_TRUE(queue.pop(ticket));
  EXPECT_EQ(ticket.slot, 100u);
  EXPECT_FALSE(queue.push(make_ticket(2, 4)));
  ASSERT_TRUE(queue.pop(ticket));
  EXPECT_EQ(ticket.slot, 0u);
  EXPECT_TRUE(queue.push(make_ticket(2, 4)));
  EXPECT_FALSE(queue.push(make_ticket(2, 5)));
  for (uint32_t i = 1; i <= 4; ++i) {
    ASSERT_TRUE(queue.pop(ticket));
    EXPECT_EQ(ticket.slot, i);
  }
  EXPECT_FALSE(queue.pop(ticket));
}

TEST(TicketQueue, CapacityIsRoundedUp) {
  TicketQueue queue(5);
  EXPECT_EQ(queue.capacity_per_band(), 8u);
  for (uint32_t i = 0; i < 8; ++i) ASSERT_TRUE(queue.push(make_ticket(0, i)));
  EXPECT_FALSE(queue.push(make_ticket(0, 8)));
}

TEST(TicketQueue, ABurstTakesItsFrontWhenRoomIsShort) {
  TicketQueue queue(8);
  std::vector<Ticket> burst;
  for (uint32_t i = 0; i < 6; ++i) burst.push_back(make_ticket(1, i));
  EXPECT_EQ(queue.push(1, burst), 6u);
  EXPECT_EQ(queue.push(1, burst), 2u);
  EXPECT_EQ(queue.push(1, burst), 0u);
  EXPECT_EQ(queue.push(1, {}), 0u);
  std::array<Ticket, 16> out;
  ASSERT_EQ(queue.pop(out), 8u);
  for (uint32_t i = 0; i < 8; ++i) EXPECT_EQ(out[i].slot, i % 6);
}

TEST(TicketQueue, AMixedBurstSaysWhatEachBandTook) {
  TicketQueue queue(2);
  std::vector<Ticket> burst;
  for (uint32_t i = 0; i < 9; ++i) burst.push_back(make_ticket(i % 3, i));
  EXPECT_EQ(queue.push(burst), (TicketQueue::Taken{2, 2, 2, 0}));
  EXPECT_EQ(queue.push(burst), (TicketQueue::Taken{0, 0, 0, 0}));
  std::array<Ticket, 16> out;
  ASSERT_EQ(queue.pop(out), 6u);
  const std::array<uint32_t, 6> expected = {0, 3, 1, 4, 2, 5};
  for (size_t i = 0; i < 6; ++i) EXPECT_EQ(out[i].slot, expected[i]);
}

TEST(TicketQueue, PositionsMayWrap) {
  MpscRing<Ticket> ring(4, (uint64_t{1} << 32) - 10);
  std::array<Ticket, 8> out;
  uint32_t in = 0, expected = 0;
  for (int round = 0; round < 10; ++round) {
    uint64_t first = 0;
    ASSERT_EQ(ring.claim(3, first), 3u);
    EXPECT_FALSE(ring.readable());
    for (uint64_t i = 0; i < 3; ++i) ring.fill(first + i, make_ticket(0, in++));
    ASSERT_EQ(ring.take(out), 3u);
    for (size_t i = 0; i < 3; ++i) EXPECT_EQ(out[i].slot, expected++);
  }
}

TEST(TicketQueue, WhatIsClaimedButNotFilledHoldsBackWhatFollows) {
  MpscRing<Ticket> ring(4);
  uint64_t early = 0, late = 0;
  ASSERT_EQ(ring.claim(1, early), 1u);
  ASSERT_EQ(ring.claim(1, late), 1u);
  ring.fill(late, make_ticket(0, 2));
  std::array<Ticket, 4> out;
  EXPECT_EQ(ring.take(out), 0u);
  ring.fill(early, make_ticket(0, 1));
  ASSERT_EQ(ring.take(out), 2u);
  EXPECT_EQ(out[0].slot, 1u);
  EXPECT_EQ(out[1].slot, 2u);
}

TEST(TicketQueue, AllBandsFullShareFourteenToOne) {
  TicketQueue queue(4096);
  for (unsigned band = 0; band < kBands; ++band) {
    for (uint32_t i = 0; i < 4096; ++i) ASSERT_TRUE(queue.push(make_ticket(band, i)));
  }
  std::array<uint32_t, kBands> taken{};
  for (int i = 0; i < 17 * 100; ++i) {
    Ticket ticket;
    ASSERT_TRUE(queue.pop(ticket));
    ++taken[ticket.band];
  }
  EXPECT_NEAR(taken[0], 1400, 6);
  for (unsigned band = 1; band < kBands; ++band) EXPECT_NEAR(taken[band], 100, 2) << band;
}

// Random pushes and pops, alone and in bursts, against a deque per band.
TEST(TicketQueue, AgreesWithAModelAndNeverPassesABandOverTooLong) {
  for (uint32_t seed = 1; seed <= 200; ++seed) {
    std::mt19937 random(seed);
    TicketQueue queue(64);
    std::array<std::deque<uint32_t>, kBands> model;
    std::array<uint32_t, kBands> passed{};
    const unsigned favoured = random() % kBands;
    uint32_t number = 0;
    const auto on_popped = [&](const Ticket& ticket) {
      ASSERT_FALSE(model[ticket.band].empty());
      ASSERT_EQ(ticket.slot, model[ticket.band].front());
      model[ticket.band].pop_front();
      for (unsigned band = 0; band < kBands; ++band) {
        passed[band] = band == ticket.band || model[band].empty() ? 0 : passed[band] + 1;
        ASSERT_LE(passed[band], TicketQueue::kPassedMax) << "seed " << seed << " band " << band;
      }
    };
    for (int step = 0; step < 600; ++step) {
      std::vector<Ticket> burst(random() % 20);
      for (Ticket& ticket : burst) {
        ticket = make_ticket(random() % 2 ? favoured : random() % kBands, number++);
      }
      const TicketQueue::Taken taken = queue.push(burst);
      TicketQueue::Taken seen{};
      for (const Ticket& ticket : burst) {
        if (seen[ticket.band]++ < taken[ticket.band]) model[ticket.band].push_back(ticket.slot);
      }
      for (unsigned band = 0; band < kBands; ++band) {
        ASSERT_LE(model[band].size(), 64u);
        if (taken[band] == seen[band]) continue;
        ASSERT_EQ(model[band].size(), 64u) << "refused with room";
      }
      std::vector<Ticket> out(random() % 24);
      const size_t count = queue.pop(out);
      size_t left = 0;
      for (const auto& band : model) left += band.size();
      ASSERT_EQ(count, std::min(out.size(), left));
      for (size_t i = 0; i < count; ++i) {
        on_popped(out[i]);
        if (HasFatalFailure()) return;
      }
    }
  }
}

// --- several threads ---

constexpr uint16_t kProducers = 3;
constexpr std::chrono::seconds kPatient(120);  // a broken queue must fail, not hang
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr uint32_t kItems = 60'000;
#else
constexpr uint32_t kItems = 500'000;
#endif

// Spreads the threads over the processors: left alone, the kernel may well keep them on one, where
// they hardly meet.
void pin(unsigned thread) {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (sched_getaffinity(getpid(), sizeof allowed, &allowed) != 0) return;
  unsigned left = thread % static_cast<unsigned>(CPU_COUNT(&allowed));
  for (unsigned cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &allowed) || left-- != 0) continue;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    pthread_setaffinity_np(pthread_self(), sizeof one, &one);
    return;
  }
}

// Pushes `kItems` tickets, singly, in one-band bursts and in mixed ones; what is refused is pushed
// again, so that each band of this producer stays in order.
void produce(TicketQueue& queue, uint16_t producer, const std::atomic<bool>& stop) {
  pin(producer);
  std::mt19937 random(producer + 1);
  std::array<uint32_t, kBands> number{};
  for (uint32_t sent = 0; sent < kItems && !stop.load(std::memory_order_relaxed);) {
    const unsigned band = random() % kBands;
    const unsigned way = random() % 3;
    const uint32_t length = std::min<uint32_t>(1 + random() % 30, kItems - sent);
    if (way == 0) {
      if (queue.push(make_ticket(band, number[band], producer))) {
        ++number[band];
        ++sent;
        continue;
      }
    } else {
      std::vector<Ticket> burst;
      std::array<uint32_t, kBands> next = number;
      for (uint32_t i = 0; i < length; ++i) {
        const unsigned of = way == 1 ? band : random() % kBands;
        burst.push_back(make_ticket(of, next[of]++, producer));
      }
      uint32_t taken = 0;
      if (way == 1) {
        taken = static_cast<uint32_t>(queue.push(band, burst));
        number[band] += taken;
      } else {
        const TicketQueue::Taken each = queue.push(burst);
        for (unsigned of = 0; of < kBands; ++of) {
          number[of] += each[of];
          taken += each[of];
        }
      }
      sent += taken;
      if (taken == length) continue;
    }
    std::this_thread::yield();
  }
}

// Nothing lost, nothing doubled, nothing torn, each producer's tickets of a band in order.
TEST(TicketQueueStress, ConservesAndKeepsOrder) {
  TicketQueue queue(64);
  std::atomic<bool> stop{false};
  std::vector<std::thread> producers;
  for (uint16_t i = 0; i < kProducers; ++i) {
    producers.emplace_back(produce, std::ref(queue), i, std::cref(stop));
  }
  std::array<std::array<uint32_t, kBands>, kProducers> expected{};
  uint64_t received = 0, broken = 0, disordered = 0;
  std::array<Ticket, 48> out;
  const auto deadline = std::chrono::steady_clock::now() + kPatient;
  for (uint32_t turn = 0; received < uint64_t{kProducers} * kItems; ++turn) {
    const size_t count = queue.pop(std::span(out).first(turn % 2 ? out.size() : 1));
    for (const Ticket& ticket : std::span(out).first(count)) {
      if (!is_whole(ticket) || ticket.home >= kProducers || ticket.band >= kBands) {
        ++broken;
        continue;
      }
      uint32_t& next = expected[ticket.home][ticket.band];
      if (ticket.slot != next) ++disordered;
      next = ticket.slot + 1;
    }
    received += count;
    if (count != 0) continue;
    if (std::chrono::steady_clock::now() > deadline) break;
    std::this_thread::yield();
  }
  stop = true;
  for (std::thread& producer : producers) producer.join();
  EXPECT_EQ(received, uint64_t{kProducers} * kItems);
  EXPECT_EQ(broken, 0u);
  EXPECT_EQ(disordered, 0u);
  EXPECT_TRUE(queue.empty());
  for (const auto& bands : expected) {
    uint32_t sum = 0;
    for (uint32_t count : bands) sum += count;
    EXPECT_EQ(sum, kItems);
  }
}

// While band 0 never runs dry, what waits in band 3 comes out at the promised pace.
TEST(TicketQueueStress, TheLowestBandIsNotStarvedByHammeringProducers) {
  constexpr uint32_t kWaiting = 256;
  TicketQueue queue(kWaiting);
  for (uint32_t i = 0; i < kWaiting; ++i) ASSERT_TRUE(queue.push(make_ticket(3, i)));
  std::atomic<bool> stop{false};
  std::vector<std::thread> producers;
  for (uint16_t producer = 0; producer < kProducers; ++producer) {
    producers.emplace_back([&queue, &stop, producer] {
      pin(producer);
      for (uint32_t number = 0; !stop.load(std::memory_order_relaxed);) {
        if (queue.push(make_ticket(number % 3, number, producer))) {
          ++number;
        } else {
          std::this_thread::yield();
        }
      }
    });
  }
  while (queue.approximate_size(0) < kWaiting / 2) std::this_thread::yield();
  uint32_t since = 0, worst = 0, next = 0, disordered = 0;
  uint64_t others = 0;
  std::array<Ticket, 24> out;
  const auto deadline = std::chrono::steady_clock::now() + kPatient;
  while (next < kWaiting && others < 1'000 * kWaiting) {
    const size_t count = queue.pop(std::span(out).first(1 + others % out.size()));
    if (count == 0 && std::chrono::steady_clock::now() > deadline) break;
    for (const Ticket& ticket : std::span(out).first(count)) {
      if (next == kWaiting) break;
      if (ticket.band == 3) {
        disordered += ticket.slot != next++;
        since = 0;
      } else {
        worst = std::max(worst, ++since);
        ++others;
      }
    }
  }
  stop = true;
  for (std::thread& producer : producers) producer.join();
  EXPECT_EQ(next, kWaiting);
  EXPECT_LE(worst, TicketQueue::kPassedMax);
  EXPECT_EQ(disordered, 0u);
  EXPECT_GT(others, kWaiting);  // there was something to be starved by
}

}  // namespace
}  // namespace veredus::queue
