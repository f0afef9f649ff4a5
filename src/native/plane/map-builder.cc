#include "plane/map-builder.h"

#include <pthread.h>
#include <unistd.h>

#include <csignal>
#include <utility>

#include "plane/ring.h"
#include "system/extents.h"

namespace rackboot {
namespace {

/// With any other flag, the place is not where the octets lie as they are read (compressed, encrypted, inside of a larger block), or there
/// are none yet (unwritten, not allocated). FIEMAP_EXTENT_LAST and _MERGED say nothing of that.
constexpr uint32_t kPlainFlags = FIEMAP_EXTENT_LAST | FIEMAP_EXTENT_MERGED | FIEMAP_EXTENT_SHARED;

/// The extents that the file shares with any other.
int sharedExtents(int fd, std::vector<Extent>& out) {
  return eachExtent(fd, true, [&out](const fiemap_extent& extent) {
    if ((extent.fe_flags & ~kPlainFlags) == 0 && (extent.fe_flags & FIEMAP_EXTENT_SHARED) != 0) {
      out.push_back({extent.fe_logical, extent.fe_physical, extent.fe_length});
    }
    return out.size() < kMostExtents;
  });
}

}  // namespace

MapBuilder::~MapBuilder() {
  stop();
}

void MapBuilder::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void MapBuilder::add(VolumeId id, const std::shared_ptr<SharedBlocks>& blocks) {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) return;
    jobs_.push_back({id, blocks});
  }
  if (!thread_.joinable()) {
    // Signals are for the thread that runs JavaScript.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    thread_ = std::thread([this] { run(); });
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    pthread_setname_np(thread_.native_handle(), "rackboot-map");
  }
  wake_.notify_one();
}

void MapBuilder::leave(const SharedBlocks* blocks, const BarrierRef& done) {
  const std::lock_guard lock(mutex_);
  if (current_ == blocks) waiting_.push_back(done);
}

void MapBuilder::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
    if (stopping_) return;
    const Job job = std::move(jobs_.front());
    jobs_.pop_front();
    std::shared_ptr<SharedBlocks> blocks = job.blocks.lock();
    if (!blocks) continue;  // closed before its turn came
    current_ = blocks.get();
    lock.unlock();
    build(job.id, *blocks);
    blocks.reset();
    lock.lock();
    current_ = nullptr;
    std::vector<BarrierRef> waiting = std::exchange(waiting_, {});
    lock.unlock();
    waiting.clear();
    lock.lock();
  }
}

/// The volume's own extents are looked at after every write that is not remembered has reached its place, and before the origins': what lay
/// in the same place then, and was not written since, has the same octets for as long as the origin is immutable.
void MapBuilder::build(VolumeId id, SharedBlocks& blocks) {
  const uint64_t begun = nowNs();
  // Not by FIEMAP_FLAG_SYNC alone, which lets no writer go on meanwhile.
  if (fdatasync(blocks.file()) != 0) return blocks.giveUp();
  std::vector<Extent> own;
  std::vector<SharedRange> shared;
  if (sharedExtents(blocks.file(), own) != 0) return blocks.giveUp();
  const std::vector<int> origins = blocks.originFiles();
  for (uint32_t index = 0; index < origins.size() && !own.empty(); ++index) {
    std::vector<Extent> theirs;
    if (sharedExtents(origins[index], theirs) == 0) own = takeShared(own, theirs, index, shared);
  }
  mergeRanges(shared);
  auto map = std::make_unique<SharedMap>(std::move(shared));
  Event event(EventType::volumeMapped);
  event.volume = id;
  event.sharedBytes = map->bytes();
  if (!blocks.publish(std::move(map))) event.sharedBytes = 0;
  event.elapsedNs = nowNs() - begun;
  std::vector<Event> events;
  events.push_back(std::move(event));
  sink_.deliver(std::move(events));
}

}  // namespace rackboot
