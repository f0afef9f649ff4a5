#include "plane/volume-io.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

#include <cassert>
#include <cstring>
#include <utility>

namespace rackboot {
namespace {

/// A full file system is reported at most this often for a volume.
constexpr uint64_t kFullReportMs = 1000;

constexpr bool isRetry(int64_t result) {
  return result == -EINTR || result == -EAGAIN;
}

}  // namespace

void VolumeIo::add(const std::shared_ptr<Volume>& volume) {
  auto view = std::make_shared<VolumeView>();
  view->volume = volume;
  view->stats = &volume->stats[thread_];
  view->sizeBytes = volume->spec.sizeBytes;
  view->readOnly = volume->spec.readOnly;
  view->writeCache = volume->spec.writeCache;
  views_.emplace(volume->id, std::move(view));
}

VolumeViewRef VolumeIo::view(VolumeId id) const {
  const auto found = views_.find(id);
  return found == views_.end() ? nullptr : found->second;
}

bool VolumeIo::submit(IoRequest& request) {
  VolumeView& view = *request.view;
  if (view.closed || view.volume->failed.load(std::memory_order_relaxed)) {
    request.error = view.closed ? kVolumeClosed : kVolumeFailed;
    return true;
  }
  if (view.stopped && request.kind != IoKind::lock && (view.frozen || !request.exclusive)) {
    hold(request);
    return false;
  }
  return start(request);
}

constexpr bool changes(IoKind kind) {
  return kind == IoKind::write || kind == IoKind::punch || kind == IoKind::zero || kind == IoKind::clone;
}

bool VolumeIo::start(IoRequest& request) {
  if (request.kind == IoKind::flush) return flush(request);
  if (request.kind == IoKind::lock) return lock(request);
  if (changes(request.kind)) request.view->volume->blocks->diverge(request.offset, request.length);
  ++request.view->inFlight;
  if (tryInline(request)) {
    settle(*request.view);
    return true;
  }
  queue(request);
  return false;
}

/// True: all done, or failed. What the page cache does not have is left to the ring.
bool VolumeIo::tryInline(IoRequest& request) {
  const Volume& volume = *request.view->volume;
  const bool reads = request.kind == IoKind::read;
  if (!reads && request.kind != IoKind::write) return false;
  const InlineIo how = reads ? volume.inlineReads : volume.inlineWrites;
  if (how == InlineIo::never || request.durable) return false;
  const int flags = how == InlineIo::nowait ? RWF_NOWAIT : 0;
  for (;;) {
    const auto at = static_cast<off_t>(request.offset + request.done);
    const SharedBlocks::Source from = source(request);
    iovec vector{request.data + request.done, from.length};
    const ssize_t n = reads ? preadv2(from.fd, &vector, 1, at, flags) : pwritev2(volume.fd, &vector, 1, at, flags);
    const int64_t result = n < 0 ? -errno : n;
    // Whether it is really the end of the file, or full, or broken is for the ring's answer to say.
    if (how == InlineIo::nowait && result <= 0) return false;
    if (isRetry(result)) continue;
    if (advance(request, result)) return true;
  }
}

/// Where the rest of a request goes, or comes from, and how much of it at once.
SharedBlocks::Source VolumeIo::source(IoRequest& request) const {
  const Volume& volume = *request.view->volume;
  const uint64_t rest = request.length - request.done;
  SharedBlocks::Source from{volume.fd, false, rest};
  if (!changes(request.kind)) from = volume.blocks->source(volume.fd, request.offset + request.done, rest);
  request.borrowed = from.borrowed;
  return from;
}

/// FICLONERANGE waits for what is dirty of both files, and no ring carries it.
void VolumeIo::clone(CloneRequest& request) {
  VolumeView& from = *request.from;
  const bool usable = !from.closed && !from.volume->failed.load(std::memory_order_relaxed);
  ++from.inFlight;  // its file stays open
  const int to = request.view->volume->fd;
  const file_clone_range range{usable ? from.volume->fd : -1, request.sourceOffset, request.length, request.offset};
  threads_.aside([&threads = threads_, home = thread_, &request, to, range] {
    const int result = ioctl(to, FICLONERANGE, &range) == 0 ? 0 : -errno;
    threads.on(home, [&request, result](VolumeIo& there) {
      there.settle(*request.from);
      there.rangeDone(request, result);
    });
  });
}

void VolumeIo::queue(IoRequest& request) {
  if (request.kind == IoKind::clone) return clone(static_cast<CloneRequest&>(request));
  io_uring_sqe* sqe = ring_.entry(&request);
  const Volume& volume = *request.view->volume;
  uint8_t* data = request.data + request.done;
  const SharedBlocks::Source from = source(request);
  const auto length = static_cast<uint32_t>(from.length);
  const uint64_t offset = request.offset + request.done;
  switch (request.kind) {
    case IoKind::read: io_uring_prep_read(sqe, from.fd, data, length, offset); break;
    case IoKind::punch: io_uring_prep_fallocate(sqe, volume.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length); break;
    case IoKind::zero: io_uring_prep_fallocate(sqe, volume.fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, offset, length); break;
    // A hint, so what lies together is enough.
    case IoKind::prefetch: io_uring_prep_fadvise(sqe, from.fd, offset, length, POSIX_FADV_WILLNEED); break;
    default:
      io_uring_prep_write(sqe, volume.fd, data, length, offset);
      if (request.durable) sqe->rw_flags = RWF_DSYNC;
  }
  io_uring_sqe_set_data(sqe, static_cast<Completion*>(&request));
}

/// Books what one system call or ring entry has done; true: the request is done or has failed.
bool VolumeIo::advance(IoRequest& request, int64_t result) {
  Volume& volume = *request.view->volume;
  if (result > 0) {
    request.done += static_cast<uint32_t>(result);
    if (request.borrowed) request.view->stats->borrowedBytes.add(static_cast<uint64_t>(result));
    if (request.done < request.length) return false;
    if (request.durable && lost(volume)) request.error = kVolumeFailed;
    return true;
  }
  if (request.borrowed) {
    // Somebody cut the origin short, or its device cannot read it: the volume's own file is asked, and what it says counts.
    volume.blocks->diverge(request.offset + request.done, 1);
    return false;
  }
  if (result == 0 && request.kind == IoKind::read) {
    fail(volume, "the file ends at or before octet " + std::to_string(request.offset + request.done) + ", inside the volume");
    request.error = kVolumeFailed;
    return true;
  }
  request.error = result == 0 ? EIO : static_cast<int>(-result);
  if (request.error == ENOSPC || request.error == EDQUOT) {
    // Either the file system had no room for this write, which says so and harms nobody, or a thin disk below it had none when earlier
    // pages were written back: those are lost.
    if (request.durable && lost(volume)) {
      request.error = kVolumeFailed;
    } else {
      full(volume);
    }
  } else if (request.durable && request.error == EIO) {
    // A write that was to be durable and came back with an error may have told of lost pages, as a failed fdatasync does.
    fail(volume, "a write to stable storage failed: " + std::string(strerror(request.error)));
  }
  return true;
}

/// Before anything durable is acknowledged: whether pages were lost, for which the volume goes offline then.
bool VolumeIo::lost(Volume& volume) {
  return volume.lostPages([this, &volume](int error) { fail(volume, "what was written is lost: " + std::string(strerror(error))); }) != 0;
}

/// Holes, zeroes and hints are done at once or not at all.
void VolumeIo::rangeDone(IoRequest& request, int result) {
  if (isRetry(result)) return queue(request);
  request.error = result < 0 && request.kind != IoKind::prefetch ? -result : 0;
  if (request.error == ENOSPC || request.error == EDQUOT) full(*request.view->volume);
  finish(request);
}

void VolumeIo::completed(IoRequest& request, int result) {
  if (request.kind == IoKind::flush) return flushDone(request, result);
  if (request.kind != IoKind::read && request.kind != IoKind::write) return rangeDone(request, result);
  if (isRetry(result) || !advance(request, result)) return queue(request);
  finish(request);
}

/// The view may go with its request, so nothing touches it afterwards; whoever waits for it to be idle hears of it last.
void VolumeIo::finish(IoRequest& request) {
  const std::vector<BarrierRef> waiting = settle(*request.view);
  request.owner->ioDone(request);
}

std::vector<BarrierRef> VolumeIo::settle(VolumeView& view) {
  assert(view.inFlight > 0);
  return --view.inFlight == 0 ? std::exchange(view.whenIdle, {}) : std::vector<BarrierRef>{};
}

/// One fdatasync answers all flushes that came before it began; those that come while it runs share the next.
bool VolumeIo::flush(IoRequest& request) {
  VolumeView& view = *request.view;
  if (view.flushing != nullptr) {
    request.nextHeld = view.flushNext;
    view.flushNext = &request;
    ++view.inFlight;
    return false;
  }
  ++view.inFlight;
  request.nextHeld = nullptr;
  view.flushing = &request;
  io_uring_sqe* sqe = ring_.entry(&request);
  io_uring_prep_fsync(sqe, view.volume->fd, IORING_FSYNC_DATASYNC);
  io_uring_sqe_set_data(sqe, static_cast<Completion*>(&request));
  return false;
}

void VolumeIo::flushDone(IoRequest& leader, int result) {
  VolumeView& view = *leader.view;
  // After a failed flush nobody knows what reached the disk, so a later one that succeeds means nothing.
  if (result < 0) fail(*view.volume, "fdatasync failed: " + std::string(strerror(-result)));
  const bool offline = lost(*view.volume);
  IoRequest* answered = view.flushing;
  IoRequest* next = view.flushNext;
  view.flushing = next;
  view.flushNext = nullptr;
  if (next != nullptr) {
    io_uring_sqe* sqe = ring_.entry(next);
    io_uring_prep_fsync(sqe, view.volume->fd, IORING_FSYNC_DATASYNC);
    io_uring_sqe_set_data(sqe, static_cast<Completion*>(next));
  }
  while (answered != nullptr) {
    IoRequest* following = answered->nextHeld;
    answered->error = offline ? kVolumeFailed : 0;
    finish(*answered);
    answered = following;
  }
}

void VolumeIo::hold(IoRequest& request) {
  VolumeView& view = *request.view;
  request.nextHeld = nullptr;
  (view.heldTail != nullptr ? view.heldTail->nextHeld : view.held) = &request;
  view.heldTail = &request;
}

void VolumeIo::cancelHeld(const IoOwner& owner) {
  for (auto& [id, view] : views_) {
    IoRequest* request = std::exchange(view->held, nullptr);
    view->heldTail = nullptr;
    while (request != nullptr) {
      IoRequest* next = request->nextHeld;
      if (request->owner == &owner && request->unwanted) {
        request->error = ECANCELED;
        request->owner->ioDone(*request);
      } else {
        hold(*request);
      }
      request = next;
    }
  }
}

void VolumeIo::freeze(VolumeId id, const BarrierRef& whenIdle) {
  const auto found = views_.find(id);
  if (found == views_.end()) return;
  VolumeView& view = *found->second;
  view.frozen = view.stopped = true;
  if (view.inFlight > 0) view.whenIdle.push_back(whenIdle);
}

void VolumeIo::thaw(VolumeId id) {
  const auto found = views_.find(id);
  if (found == views_.end()) return;
  found->second->frozen = false;
  resume(*found->second);
}

/// Starts what was held back, unless something else still stops the volume.
void VolumeIo::resume(VolumeView& view) {
  view.stopped = view.frozen || view.locked;
  IoRequest* request = std::exchange(view.held, nullptr);
  view.heldTail = nullptr;
  while (request != nullptr) {
    IoRequest* next = request->nextHeld;
    if (submit(*request)) request->owner->ioDone(*request);
    request = next;
  }
}

void VolumeIo::close(VolumeId id, const BarrierRef& whenIdle) {
  const VolumeViewRef view = this->view(id);
  if (!view) return;
  view->closed = true;
  view->frozen = view->locked = false;
  resume(*view);
  if (view->inFlight > 0) view->whenIdle.push_back(whenIdle);
  views_.erase(id);
}

void VolumeIo::fail(Volume& volume, const std::string& reason) {
  if (volume.failed.exchange(true)) return;
  Event event(EventType::volumeFailed);
  event.volume = volume.id;
  event.detail = volume.spec.path + ": " + reason;
  events_.push_back(std::move(event));
}

void VolumeIo::full(Volume& volume) {
  const uint64_t now = nowNs() / 1'000'000;
  uint64_t last = volume.lastFullMs.load();
  if ((last != 0 && now - last < kFullReportMs) || !volume.lastFullMs.compare_exchange_strong(last, now)) return;
  Event event(EventType::volumeFull);
  event.volume = volume.id;
  events_.push_back(std::move(event));
}

}  // namespace rackboot
