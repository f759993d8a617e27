#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <optional>
#include <thread>

#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "engine/io/filer.h"
#include "engine/io/ring_disk.h"
#include "engine/io/wakeup.h"
#include "tests/io/loop.h"

namespace veredus::io {
namespace {

struct Done final : queue::DiskOperation {
  void on_disk_done(int64_t done) override {
    ++calls;
    result = done;
    if (then) then();
  }
  int calls = 0;
  int64_t result = -1000;
  std::function<void()> then;
};

std::span<const uint8_t> bytes_of(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

std::string temporary_directory() {
  char name[] = "/tmp/veredus-io-XXXXXX";
  EXPECT_NE(mkdtemp(name), nullptr);
  return name;
}

// Whether all of the file is written extents: allocated but unwritten ones would make each sync of
// a later write change the file's map. Empty where the file system does not tell.
std::optional<bool> is_wholly_written(int file) {
  alignas(fiemap) char memory[sizeof(fiemap) + 64 * sizeof(fiemap_extent)] = {};
  auto* map = reinterpret_cast<fiemap*>(memory);
  map->fm_length = FIEMAP_MAX_OFFSET;
  map->fm_extent_count = 64;
  if (ioctl(file, FS_IOC_FIEMAP, map) != 0) return std::nullopt;
  for (unsigned i = 0; i < map->fm_mapped_extents; ++i) {
    if (map->fm_extents[i].fe_flags & FIEMAP_EXTENT_UNWRITTEN) return false;
  }
  return map->fm_mapped_extents > 0;
}

// A disk on a ring of its own.
struct DiskLoop : Loop {
  explicit DiskLoop(Filer& filer) : disk(*ring, filer, wake) { EXPECT_TRUE(wake.arm(*ring).ok()); }
  bool wait(Done& done) {
    return until([&] { return done.calls == 1; }, 30);
  }
  int64_t create(const std::string& path, uint64_t bytes) {
    Done done;
    disk.create(path, bytes, done);
    EXPECT_EQ(done.calls, 0);
    EXPECT_TRUE(wait(done));
    return done.result;
  }
  int64_t open(const std::string& path) {
    Done done;
    disk.open(path, done);
    EXPECT_TRUE(wait(done));
    return done.result;
  }
  int64_t remove(const std::string& path) {
    Done done;
    disk.remove(path, done);
    EXPECT_TRUE(wait(done));
    return done.result;
  }
  int64_t write(int64_t file, uint64_t offset, const std::string& text) {
    Done done;
    disk.write(static_cast<int32_t>(file), offset, bytes_of(text), done);
    EXPECT_EQ(done.calls, 0);
    EXPECT_TRUE(wait(done));
    return done.result;
  }
  int64_t sync(int64_t file) {
    Done done;
    disk.sync(static_cast<int32_t>(file), done);
    EXPECT_TRUE(wait(done));
    return done.result;
  }
  int64_t read(int64_t file, uint64_t offset, std::span<uint8_t> into) {
    Done done;
    disk.read(static_cast<int32_t>(file), offset, into, done);
    EXPECT_TRUE(wait(done));
    return done.result;
  }

  EventWake wake;
  RingDisk disk;
};

class RingDiskTest : public testing::Test {
 protected:
  RingDiskTest() : directory(temporary_directory()) {
    auto files = SpoolFiles::open(directory);
    EXPECT_TRUE(files.ok()) << files.status();
    filer = std::make_unique<Filer>(*std::move(files));
    loop = std::make_unique<DiskLoop>(*filer);
  }
  ~RingDiskTest() override {
    filer.reset();
    loop.reset();
    std::filesystem::remove_all(directory);
  }
  const std::string directory;
  std::unique_ptr<Filer> filer;
  std::unique_ptr<DiskLoop> loop;
};

TEST_F(RingDiskTest, CreatedFileIsZeroedAllocatedAndPrivate) {
  const uint64_t bytes = (3 << 20) + 12345;
  const int64_t file = loop->create("journal-0/a/000001.seg", bytes);
  ASSERT_GE(file, 0);
  struct stat about {};
  ASSERT_EQ(fstat(static_cast<int>(file), &about), 0);
  EXPECT_EQ(static_cast<uint64_t>(about.st_size), bytes);
  EXPECT_GE(static_cast<uint64_t>(about.st_blocks) * 512, bytes);
  EXPECT_EQ(about.st_mode & 0777, 0600u);
  EXPECT_TRUE(is_wholly_written(static_cast<int>(file)).value_or(true));
  std::vector<uint8_t> content(bytes + 10, 0xff);
  EXPECT_EQ(loop->disk.read_now(static_cast<int32_t>(file), 0, content),
            static_cast<int64_t>(bytes));
  content.resize(bytes);
  EXPECT_EQ(std::count(content.begin(), content.end(), 0), static_cast<ptrdiff_t>(bytes));
  loop->disk.close(static_cast<int32_t>(file));
}

TEST_F(RingDiskTest, RoundTrip) {
  const int64_t file = loop->create("journal-0/000001.seg", 1 << 20);
  ASSERT_GE(file, 0);
  const std::string text(300'000, 'm');
  EXPECT_EQ(loop->write(file, 4096, text), 300'000);
  EXPECT_EQ(loop->sync(file), 0);
  loop->disk.close(static_cast<int32_t>(file));
  const int64_t again = loop->open("journal-0/000001.seg");
  ASSERT_GE(again, 0);
  std::vector<uint8_t> content(300'002);
  EXPECT_EQ(loop->read(again, 4095, content), 300'002);
  EXPECT_EQ(content.front(), 0);
  EXPECT_EQ(content.back(), 0);
  EXPECT_EQ(std::count(content.begin(), content.end(), 'm'), 300'000);
  EXPECT_EQ(loop->read(again, (1 << 20) - 5, content), 5);  // short at the end
  EXPECT_EQ(loop->read(again, 1 << 21, content), 0);
  EXPECT_EQ(loop->write(again, 0, "x"), -EBADF);  // opened for reading
  EXPECT_EQ(loop->disk.open_now("journal-0/000001.seg") >= 0, true);
  loop->disk.close(static_cast<int32_t>(again));
  EXPECT_EQ(loop->disk.under_way(), 0u);
}

TEST_F(RingDiskTest, CreateReplacesWhatWasThere) {
  const int64_t first = loop->create("a", 8192);
  ASSERT_EQ(loop->write(first, 0, "old bytes"), 9);
  loop->disk.close(static_cast<int32_t>(first));
  const int64_t second = loop->create("a", 4096);
  std::vector<uint8_t> content(9000, 0xff);
  EXPECT_EQ(loop->read(second, 0, content), 4096);
  EXPECT_EQ(content[0], 0);
  loop->disk.close(static_cast<int32_t>(second));
}

TEST_F(RingDiskTest, ListOpenRemove) {
  EXPECT_EQ(loop->open("journal-1/nothing"), -ENOENT);
  EXPECT_EQ(loop->remove("journal-1/nothing"), -ENOENT);
  EXPECT_EQ(loop->disk.open_now("nothing"), -ENOENT);
  std::vector<queue::Disk::Entry> entries(1);
  EXPECT_EQ(loop->disk.list_now("journal-1", entries), 0);
  EXPECT_TRUE(entries.empty());
  for (const char* name : {"journal-1/c", "journal-1/a", "journal-1/b"}) {
    const int64_t file = loop->create(name, 100);
    ASSERT_GE(file, 0);
    loop->disk.close(static_cast<int32_t>(file));
  }
  EXPECT_EQ(loop->remove("journal-1/b"), 0);
  ASSERT_EQ(loop->disk.list_now("journal-1", entries), 0);
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[0].name, "a");
  EXPECT_EQ(entries[1].name, "c");
  EXPECT_EQ(entries[1].bytes, 100u);
  auto files = SpoolFiles::open(directory);
  BlockingDisk reader(*std::move(files));
  EXPECT_EQ(reader.list_now("journal-1", entries), 0);
  EXPECT_EQ(entries.size(), 2u);
  // What is there and cannot be read must not look empty.
  EXPECT_EQ(reader.list_now("journal-1/a", entries), -ENOTDIR);
  EXPECT_TRUE(entries.empty());
  const int64_t file = reader.open_now("journal-1/a");
  ASSERT_GE(file, 0);
  uint8_t byte = 7;
  EXPECT_EQ(reader.read_now(static_cast<int32_t>(file), 99, {&byte, 1}), 1);
  EXPECT_EQ(byte, 0);
  reader.close(static_cast<int32_t>(file));
}

TEST_F(RingDiskTest, BlockingDiskTakesNoAsynchronousCalls) {
  auto files = SpoolFiles::open(directory);
  BlockingDisk reader(*std::move(files));
  Done done;
  EXPECT_DEATH(reader.sync(0, done), "bug");
}

// Whoever hears of the end of a call begins the next one from there.
TEST_F(RingDiskTest, CallsChained) {
  const int64_t file = loop->create("a", 1 << 20);
  const std::string text(1000, 'c');
  Done done;
  int rounds = 0;
  done.then = [&] {
    EXPECT_EQ(done.result, rounds % 2 ? 0 : 1000);
    if (++rounds == 20) return;
    if (rounds % 2) {
      loop->disk.sync(static_cast<int32_t>(file), done);
    } else {
      loop->disk.write(static_cast<int32_t>(file), 0, bytes_of(text), done);
    }
  };
  loop->disk.write(static_cast<int32_t>(file), 0, bytes_of(text), done);
  EXPECT_TRUE(loop->until([&] { return rounds == 20; }));
  EXPECT_EQ(loop->disk.records(), 1u);
  loop->disk.close(static_cast<int32_t>(file));
}

// The filer's answer wakes a shard that sleeps.
TEST_F(RingDiskTest, FilerWakesTheShard) {
  SystemClock clock;
  const int64_t begin = clock.mono_ns();
  for (int i = 0; i < 20; ++i) {
    Done done;
    loop->disk.create("a", 1 << 20, done);
    while (done.calls == 0) {
      loop->ring->collect();
      loop->ring->run_collected();
      if (done.calls > 0) break;
      loop->wake.prepare_sleep();
      loop->ring->submit_and_wait(60'000'000'000);
      loop->wake.awake();
    }
    loop->disk.close(static_cast<int32_t>(done.result));
  }
  EXPECT_LT(clock.mono_ns() - begin, 30'000'000'000);
}

TEST_F(RingDiskTest, OneFilerForSeveralShards) {
  std::vector<std::thread> shards;
  for (int id = 0; id < 3; ++id) {
    shards.emplace_back([this, id] {
      DiskLoop mine(*filer);
      for (int i = 0; i < 20; ++i) {
        const std::string path = "journal-" + std::to_string(id) + "/" + std::to_string(i);
        const int64_t file = mine.create(path, 10'000);
        ASSERT_GE(file, 0);
        ASSERT_EQ(mine.write(file, 0, path), static_cast<int64_t>(path.size()));
        std::vector<uint8_t> content(path.size());
        ASSERT_EQ(mine.read(file, 0, content), static_cast<int64_t>(path.size()));
        EXPECT_EQ(std::string(content.begin(), content.end()), path);
        mine.disk.close(static_cast<int32_t>(file));
        if (i % 2) {
          ASSERT_EQ(mine.remove(path), 0);
        }
      }
    });
  }
  for (std::thread& shard : shards) shard.join();
  for (int id = 0; id < 3; ++id) {
    std::vector<queue::Disk::Entry> entries;
    EXPECT_EQ(loop->disk.list_now("journal-" + std::to_string(id), entries), 0);
    EXPECT_EQ(entries.size(), 10u);
  }
}

TEST_F(RingDiskTest, FilerGoesWithJobsWaiting) {
  std::vector<Done> done(50);
  for (Done& each : done) loop->disk.create("a", 1 << 20, each);
  filer.reset();
  loop->turns(3);
  int64_t finished = 0;
  for (Done& each : done) {
    if (each.calls == 0) continue;
    ++finished;
    ASSERT_GE(each.result, 0);
    loop->disk.close(static_cast<int32_t>(each.result));
  }
  EXPECT_LT(finished, 50);
  EXPECT_EQ(loop->disk.under_way(), 50u - static_cast<size_t>(finished));
}

// A full disk: the caller is told, nothing half made stays, and with space it works again.
TEST(RingDiskFull, NoSpaceLeft) {
  const std::string directory = temporary_directory();
  if (mount("tmpfs", directory.c_str(), "tmpfs", 0, "size=1m,nr_inodes=20") != 0) {
    rmdir(directory.c_str());
    GTEST_SKIP() << "may not mount a small tmpfs (" << std::strerror(errno) << "): run as root";
  }
  auto files = SpoolFiles::open(directory);
  ASSERT_EQ(umount2(directory.c_str(), MNT_DETACH), 0);  // lives on in the open descriptor
  rmdir(directory.c_str());
  ASSERT_TRUE(files.ok());
  Filer filer(*std::move(files));
  {
    DiskLoop loop(filer);
    const int64_t small = loop.create("small", 300 << 10);
    ASSERT_GE(small, 0);
    EXPECT_EQ(loop.create("big", 900 << 10), -ENOSPC);
    std::vector<queue::Disk::Entry> entries;
    EXPECT_EQ(loop.disk.list_now("", entries), 0);
    EXPECT_EQ(entries.size(), 1u);
    EXPECT_EQ(loop.write(small, 0, "still writable"), 14);
    const std::string much(2 << 20, 'x');
    const int64_t partly = loop.write(small, 0, much);  // beyond its allocation
    EXPECT_TRUE(partly == -ENOSPC || (partly > 0 && partly <= (1 << 20))) << partly;
    EXPECT_EQ(loop.write(small, 1 << 20, much), -ENOSPC);
    loop.disk.close(static_cast<int32_t>(small));
    EXPECT_EQ(loop.remove("small"), 0);
    const int64_t again = loop.create("big", 900 << 10);
    EXPECT_GE(again, 0);
    loop.disk.close(static_cast<int32_t>(again));
    EXPECT_EQ(loop.remove("big"), 0);
    int64_t last = 0;  // the inodes run out, too
    for (int i = 0; i < 30 && last >= 0; ++i) {
      last = loop.create("file-" + std::to_string(i), 10);
      if (last >= 0) loop.disk.close(static_cast<int32_t>(last));
    }
    EXPECT_EQ(last, -ENOSPC);
  }
}

TEST(SpoolFiles, RefusalsSayWhatAndWhere) {
  const std::string directory = temporary_directory();
  auto missing = SpoolFiles::open(directory + "/no/where");
  ASSERT_FALSE(missing.ok());
  EXPECT_NE(std::string(missing.status().message()).find(directory + "/no/where"),
            std::string::npos);
  EXPECT_NE(std::string(missing.status().message()).find("parent directory must exist"),
            std::string::npos);
  const std::string file = directory + "/file";
  fclose(fopen(file.c_str(), "w"));
  auto no_directory = SpoolFiles::open(file);
  ASSERT_FALSE(no_directory.ok());
  EXPECT_NE(std::string(no_directory.status().message()).find("not a directory"),
            std::string::npos);
  auto made = SpoolFiles::open(directory + "/spool");
  EXPECT_TRUE(made.ok());
  struct stat about {};
  ASSERT_EQ(stat((directory + "/spool").c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 0777, 0700u);
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace veredus::io
