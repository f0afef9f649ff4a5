#include "plane/range-work.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace rackboot {
namespace {

constexpr uint32_t kChunkBytes = 1 << 20;
/// File systems share whole blocks of theirs, which are seldom larger than this; and less than a few of them is copied as fast.
constexpr uint64_t kCloneUnit = 4096;
constexpr uint64_t kLeastClone = 64 * 1024;

/// What says that the copy is really without room, or lost; anything else is a file system's way to say that it cannot share.
bool endsCopy(int error) {
  return error == ENOSPC || error == EDQUOT || error == EIO || error == kVolumeFailed || error == kVolumeClosed;
}

}  // namespace

void RangeWork::begin(Worker& worker, const RangeJob& job, Done done) {
  auto* work = new RangeWork(worker, job, std::move(done));
  const bool usable = work->to_ && (job.source == 0 || work->from_) && job.length <= kRangeWorkBytes;
  if (!usable) return work->end(work->to_ ? EINVAL : kVolumeClosed);
  work->next();
}

RangeWork::RangeWork(Worker& worker, const RangeJob& job, Done done)
    : worker_(worker), job_(job), done_(std::move(done)), to_(worker.volumes().view(job.volume)), from_(worker.volumes().view(job.source)) {
  worker_.addGuest();
  request_.io = &worker_.volumes();
  request_.owner = this;
  if (job_.source != 0 || !job_.pattern.empty()) method_ = IoKind::write;
  clones_ = job_.source != 0 && to_ && from_ && to_->volume->spec.thin;
  if (method_ == IoKind::punch && to_ && !to_->volume->spec.thin) method_ = IoKind::zero;
}

/// As many steps as are done at once; the rest follows from ioDone().
void RangeWork::next() {
  while (at_ < job_.length) {
    prepare();
    if (!worker_.volumes().submit(request_)) return;
    if (!settled()) return;
  }
  end(0);
}

void RangeWork::prepare() {
  request_.done = 0;
  request_.error = 0;
  request_.durable = false;
  if (clones_ && !fetched_ && prepareClone()) return;
  const bool fetches = job_.source != 0 && !fetched_;
  request_.kind = fetches ? IoKind::read : method_;
  request_.view = (fetches ? from_ : to_).get();
  request_.offset = (fetches ? job_.sourceOffset : job_.offset) + at_;
  const bool moves = method_ == IoKind::write;
  const uint64_t left = (clones_ ? copyUntil_ : job_.length) - at_;
  request_.length = static_cast<uint32_t>(std::min<uint64_t>(left, moves ? kChunkBytes : kRangeWorkBytes));
  if (!moves) return;
  if (chunk_.empty()) chunk_.resize(kChunkBytes);
  request_.data = chunk_.data();
  if (job_.source == 0) fillPattern(request_.length);
}

/// Whole blocks in the middle of the range, where both files have their bounds in the same places. False: what comes first is copied,
/// up to `copyUntil_`.
bool RangeWork::prepareClone() {
  const uint64_t to = job_.offset + at_, from = job_.sourceOffset + at_;
  const uint64_t head = (kCloneUnit - to % kCloneUnit) % kCloneUnit;
  const uint64_t left = job_.length - at_;
  clones_ = to % kCloneUnit == from % kCloneUnit && left >= head + kLeastClone;
  copyUntil_ = at_ + head;
  if (!clones_ || head > 0) return false;
  request_.kind = IoKind::clone;
  request_.view = to_.get();
  request_.offset = to;
  request_.from = from_.get();
  request_.sourceOffset = from;
  request_.length = static_cast<uint32_t>(left - left % kCloneUnit);
  return true;
}

void RangeWork::fillPattern(uint32_t length) {
  if (job_.pattern.empty()) {
    memset(chunk_.data(), 0, length);
    return;
  }
  size_t from = (job_.offset + at_) % job_.pattern.size();
  for (uint32_t i = 0; i < length; ++i) {
    chunk_[i] = job_.pattern[from];
    from = from + 1 == job_.pattern.size() ? 0 : from + 1;
  }
}

/// A step has ended. False: it was the last one, and this is gone.
bool RangeWork::settled() {
  const bool clears = request_.kind == IoKind::punch || request_.kind == IoKind::zero;
  if (clears && request_.error == EOPNOTSUPP) {
    // The file system knows no such way: the next one, in the end by writing.
    method_ = method_ == IoKind::punch ? IoKind::zero : IoKind::write;
    return true;
  }
  if (request_.kind == IoKind::clone && request_.error != 0 && !endsCopy(request_.error)) {
    clones_ = false;
    return true;
  }
  if (request_.error != 0) {
    end(request_.error);
    return false;
  }
  if (request_.kind == IoKind::read) {
    fetched_ = true;
    return true;
  }
  fetched_ = false;
  at_ += request_.length;
  return true;
}

void RangeWork::ioDone(IoRequest&) {
  if (settled()) next();
}

void RangeWork::end(int error) {
  worker_.removeGuest();
  const Done done = std::move(done_);
  delete this;
  done(error);
}

}  // namespace rackboot
