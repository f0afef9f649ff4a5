// A volume for one command alone: what COMPARE AND WRITE needs, and the plain path never pays for.
//
// SBC-4, 5.3 wants its compare and its write to be one uninterrupted action. A lock that every WRITE took would cost the plain path;
// a lock that only COMPARE AND WRITE took would let a WRITE of another session come between the two and be lost. So the volume is
// stopped instead, as a freeze does, and each thread looks after itself: in the message that locks, a thread marks its view, after
// which submit() holds back what is new, and keeps the barrier until what it had in flight is done. Requests are started and marked
// on the same thread, so none can slip past the mark. When the last thread lets go of the barrier, nothing of this volume is in
// flight anywhere and nothing can start but the `exclusive` requests of the holder: each WRITE is wholly before or wholly after.
// The release is posted to every mailbox before the turnstile opens, so the next lock comes behind it on every thread.
#include <utility>

#include "plane/volume-io.h"

namespace rackboot {

/// Always answered through the mailbox. Refused once the plane stops: a thread that has ended cannot take part any more.
bool VolumeIo::lock(IoRequest& request) {
  if (!threads_.beginLock()) {
    request.error = EBUSY;
    return true;
  }
  const uint32_t home = thread_;
  Threads& threads = threads_;
  request.view->volume->exclusive.enter(
      [&threads, home, &request] { threads.on(home, [&request](VolumeIo& io) { io.stopOthers(request); }); });
  return false;
}

void VolumeIo::stopOthers(IoRequest& request) {
  const uint32_t home = thread_;
  Threads& threads = threads_;
  const VolumeId id = request.view->volume->id;
  auto barrier = std::make_shared<Barrier>(
      [&threads, home, &request] { threads.on(home, [&request](VolumeIo&) { request.owner->ioDone(request); }); });
  threads_.everywhere([id, barrier](VolumeIo& io) { io.mark(id, barrier); });
}

void VolumeIo::mark(VolumeId id, const BarrierRef& whenIdle) {
  const VolumeViewRef view = this->view(id);
  if (!view) return;
  view->locked = view->stopped = true;
  if (view->inFlight > 0) view->whenIdle.push_back(whenIdle);
}

void VolumeIo::unlock(VolumeView& view) {
  const VolumeId id = view.volume->id;
  const std::shared_ptr<Volume> volume = view.volume;
  threads_.endLock();
  threads_.everywhere([id](VolumeIo& io) {
    const VolumeViewRef there = io.view(id);
    if (!there) return;
    there->locked = false;
    io.resume(*there);
  });
  volume->exclusive.leave();
}

}  // namespace rackboot
