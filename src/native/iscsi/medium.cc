// Commands that work on the medium step by step: UNMAP, WRITE SAME, VERIFY, WRITE AND VERIFY, COMPARE AND WRITE, ORWRITE. A session does
// one such step at a time, with one scratch buffer, and the commands take turns; READs and WRITEs do not wait for them.
#include <algorithm>
#include <cassert>
#include <cstring>

#include "iscsi/session.h"

namespace rackboot {
namespace {

/// What is read, compared or written at once.
constexpr uint32_t kScratchBytes = 64 * 1024;
/// What is punched or zeroed at once: a freeze waits for no more than that.
constexpr uint64_t kEraseBytes = 64 << 20;

/// COMPARE AND WRITE, step by step.
enum Phase : uint8_t { kLocking, kComparing, kWriting, kWritten };
/// ORWRITE, for each piece of its data: the lock, then stretch by stretch.
enum OrPhase : uint8_t { kOrLocking, kOrReading, kOrWriting };

bool isZero(const std::vector<uint8_t>& data) {
  return std::all_of(data.begin(), data.end(), [](uint8_t octet) { return octet == 0; });
}

/// How a range is filled where the file system does not know the last way: with storage given back, with storage, by writing.
IoKind nextMethod(IoKind method) {
  return method == IoKind::punch ? IoKind::zero : IoKind::write;
}

}  // namespace

/// What a command of this file takes as data, and which range it is about. `range` is within the medium.
Outcome Session::classifyMedium(Task& task, const CommandRow& row, BlockRange range, const Lun& lun) {
  const VolumeSpec& spec = lun.view->volume->spec;
  const uint64_t blockSize = spec.blockSize;
  const bool readOnly = lun.readOnly || lun.view->readOnly;
  if (row.kind != CommandKind::verify && readOnly) return kWriteProtected;
  task.fua = !lun.view->writeCache || range.fua;
  task.offset = range.lba * blockSize;
  task.span = uint64_t{range.blocks} * blockSize;
  task.check = range.check;
  switch (row.kind) {
    case CommandKind::writeSame:
      if (range.unmap && !spec.thin) return kInvalidField;
      // SBC-4, 5.55: 0 blocks are all up to the last one (WSNZ is 0 in the Block Limits page).
      if (range.blocks == 0) task.span = lun.view->sizeBytes / blockSize * blockSize - task.offset;
      if (task.span > kWriteSameBytes) return kInvalidField;
      task.length = range.noData ? 0 : blockSize;
      task.method = range.unmap ? IoKind::punch : IoKind::zero;
      break;
    case CommandKind::compareAndWrite:
      if (range.blocks > kCompareAndWriteBlocks) return kInvalidField;
      task.length = 2 * task.span;
      break;
    case CommandKind::verify:
      task.length = task.check == ByteCheck::data ? task.span : task.check == ByteCheck::oneBlock && task.span > 0 ? blockSize : 0;
      break;
    case CommandKind::orWrite: task.length = task.span; break;
    default:  // WRITE AND VERIFY
      task.fua = true;
      task.length = task.span;
      break;
  }
  return askFor(task);
}

/// What an initiator says that it sends may be less than the command needs; where that makes no sense, the command is refused.
Outcome Session::askFor(Task& task) {
  task.transfer = task.writes ? static_cast<uint32_t>(std::min<uint64_t>(task.length, task.edtl)) : 0;
  const bool partial = task.kind == CommandKind::writeVerify || task.kind == CommandKind::orWrite ||
                       (task.kind == CommandKind::verify && task.check == ByteCheck::data);
  if (!partial && task.transfer < task.length) return task.kind == CommandKind::unmap ? kParameterLength : kInvalidField;
  if (task.kind == CommandKind::writeSame && task.writes && task.edtl != task.length) return kInvalidField;
  if (task.kind == CommandKind::compareAndWrite && task.edtl != task.length) return kInvalidField;
  return kGood;
}

Outcome Session::classifyUnmap(Task& task, const BlockRange& range, const Lun& lun) {
  const VolumeSpec& spec = lun.view->volume->spec;
  if (!spec.thin) return kInvalidOpcode;
  if (lun.readOnly || lun.view->readOnly) return kWriteProtected;
  task.fua = !lun.view->writeCache;
  task.length = range.blocks;
  task.method = IoKind::punch;
  return askFor(task);
}

/// SBC-4, 5.35, UNMAP's parameter list: data length (2), length of the descriptors (2), reserved (4), then LBA (8), blocks (4),
/// reserved (4) each. Nothing is unmapped where one of them is out of range.
Outcome Session::parseUnmap(Task& task) {
  constexpr uint32_t kHeader = 8, kDescriptor = 16;
  if (task.gathered.empty()) return kGood;
  if (task.gathered.size() < kHeader) return kParameterLength;
  const uint8_t* list = task.gathered.data();
  const size_t here = (task.gathered.size() - kHeader) / kDescriptor;
  const size_t count = std::min<size_t>(get16(list + 2) / kDescriptor, here);
  if (count > kUnmapDescriptors) return kInvalidParameter;
  const uint64_t blockSize = task.view->volume->spec.blockSize;
  const uint64_t capacity = task.view->sizeBytes / blockSize;
  uint64_t total = 0;
  for (size_t i = 0; i < count; ++i) {
    const uint8_t* descriptor = list + kHeader + i * kDescriptor;
    const uint64_t lba = get64(descriptor);
    const uint64_t blocks = get32(descriptor + 8);
    if (lba > capacity || blocks > capacity - lba) return kOutOfRange;
    total += blocks * blockSize;
    if (total > kUnmapBytes) return kInvalidParameter;
    if (blocks > 0) task.stretches.push_back({lba * blockSize, blocks * blockSize});
  }
  return kGood;
}

/// All the data is here that the command needs at once.
void Session::beginWork(Task& task) {
  task.work = Work::begun;
  if (task.kind == CommandKind::unmap) {
    task.outcome = parseUnmap(task);
    if (!task.outcome.good()) return advance(task);
  }
  if (task.kind == CommandKind::writeSame) {
    // NDOB stands for zeroes. Other data is written, whatever UNMAP says: unmapped blocks would read as zeroes (LBPRZ).
    if (task.gathered.empty()) task.gathered.resize(task.view->volume->spec.blockSize);
    if (!isZero(task.gathered)) task.method = IoKind::write;
    if (task.span > 0) task.stretches.push_back({task.offset, task.span});
  }
  const bool nothing =
      task.kind == CommandKind::verify || task.kind == CommandKind::compareAndWrite ? task.span == 0 : task.stretches.empty();
  if (nothing) {
    task.work = Work::done;
    return advance(task);
  }
  addWork(*addPiece(task, 0, 0));
}

void Session::addWork(Piece& piece) {
  piece.working = true;
  piece.cursor = 0;
  work_.push_back(&piece);
}

/// Starts steps, about `quantum` octets of them; true: there is more to do at once.
bool Session::pumpWork(uint32_t quantum) {
  uint64_t started = 0;
  while (!work_.empty()) {
    Piece& piece = *work_.front();
    if (piece.submitted) return false;
    if (started >= quantum) return true;
    if (!scratch_) scratch_ = host_.buffers().take(Purpose::read, kScratchBytes);
    if (!scratch_) {
      starving_ = true;
      return false;
    }
    prepareStep(piece);
    started += std::min<uint64_t>(std::max(piece.length, 4096u), kScratchBytes);
    Task& task = *piece.task;
    piece.view = task.view.get();
    piece.done = 0;
    piece.error = 0;
    piece.submitted = true;
    ++task.ioInFlight;
    if (host_.io().submit(piece)) settled(piece);
  }
  scratch_ = {};
  return false;
}

/// There is a step left: a piece whose last one is done has left the line.
void Session::prepareStep(Piece& piece) {
  const Task& task = *piece.task;
  if (task.kind == CommandKind::compareAndWrite) return prepareCompare(piece);
  if (task.kind == CommandKind::orWrite) return prepareOr(piece);
  if (task.kind == CommandKind::verify || task.kind == CommandKind::writeVerify) {
    piece.kind = IoKind::read;
    piece.durable = false;
    piece.data = scratch_.data();
    piece.offset = task.offset + piece.start + piece.cursor;
    piece.length = static_cast<uint32_t>(std::min<uint64_t>(workOf(piece) - piece.cursor, kScratchBytes));
    return;
  }
  const Stretch& stretch = task.stretches[task.stretch];
  const uint64_t left = stretch.length - piece.cursor;
  piece.kind = task.method;
  piece.offset = stretch.offset + piece.cursor;
  piece.length = static_cast<uint32_t>(std::min(left, task.method == IoKind::write ? kScratchBytes : kEraseBytes));
  if (task.method != IoKind::write) return;
  piece.data = scratch_.data();
  if (piece.filled) return;
  piece.filled = true;
  // UNMAP has no pattern of its own: what it gathered is its list.
  const bool same = task.kind == CommandKind::writeSame;
  if (!same) memset(scratch_.data(), 0, kScratchBytes);
  for (size_t at = 0; same && at < kScratchBytes; at += task.gathered.size()) {
    memcpy(scratch_.data() + at, task.gathered.data(), task.gathered.size());
  }
}

void Session::prepareCompare(Piece& piece) {
  Task& task = *piece.task;
  piece.exclusive = true;
  piece.offset = task.offset;
  piece.length = static_cast<uint32_t>(task.span);
  piece.kind = piece.phase == kLocking ? IoKind::lock : piece.phase == kComparing ? IoKind::read : IoKind::write;
  piece.data = piece.phase == kComparing ? scratch_.data() : task.gathered.data() + task.span;
  piece.durable = piece.phase == kWriting && task.fua;
}

/// Another session's WRITE must not come between the reading and the writing, or it would be undone.
void Session::prepareOr(Piece& piece) {
  piece.exclusive = true;
  piece.durable = false;
  piece.kind = piece.phase == kOrLocking ? IoKind::lock : piece.phase == kOrReading ? IoKind::read : IoKind::write;
  piece.data = scratch_.data();
  piece.offset = piece.task->offset + piece.start + piece.cursor;
  piece.length = static_cast<uint32_t>(std::min<uint64_t>(workOf(piece) - piece.cursor, kScratchBytes));
}

/// The octets that the steps of a piece go through.
uint64_t Session::workOf(const Piece& piece) const {
  return piece.payload != nullptr ? piece.received : piece.task->span;
}

/// A step has ended.
void Session::stepDone(Piece& piece) {
  Task& task = *piece.task;
  if (piece.kind == IoKind::lock && piece.error == 0) piece.holdsLock = true;
  if (task.aborted) {
    leaveWork(piece);
    return release(task);
  }
  const bool erases = piece.kind == IoKind::punch || piece.kind == IoKind::zero;
  if (erases && piece.error == EOPNOTSUPP) {
    task.method = nextMethod(task.method);
    return;
  }
  if (piece.error != 0) {
    bookError(task);
    if (task.outcome.good()) task.outcome = outcomeOf(piece.error, piece.kind);
  }
  if (!task.outcome.good()) {
    dropPiece(piece);
    return advance(task);
  }
  const bool ended = task.kind == CommandKind::compareAndWrite                                   ? compareDone(piece)
                     : task.kind == CommandKind::orWrite                                         ? orDone(piece)
                     : task.kind == CommandKind::verify || task.kind == CommandKind::writeVerify ? verifyDone(piece)
                                                                                                 : eraseDone(piece);
  if (!ended) return takeTurns(piece);
  if (task.outcome.good()) {
    task.work = Work::done;
    if (piece.payload != nullptr) task.moved += piece.received;
  }
  dropPiece(piece);
  advance(task);
}

/// One step each: a VERIFY of the whole disk keeps nobody waiting for its end. Who has the lock of a volume goes on to its end.
void Session::takeTurns(Piece& piece) {
  if (piece.holdsLock || work_.size() == 1) return;
  piece.filled = false;  // the scratch buffer is the next one's
  work_.pop_front();
  work_.push_back(&piece);
}

bool Session::eraseDone(Piece& piece) {
  Task& task = *piece.task;
  task.needsFlush = task.fua;
  piece.cursor += piece.length;
  if (piece.cursor < task.stretches[task.stretch].length) return false;
  piece.cursor = 0;
  return ++task.stretch == task.stretches.size();
}

/// What the page cache has counts as the medium: it is what a READ would get. That it reaches the disk is for the flush to tell.
bool Session::verifyDone(Piece& piece) {
  Task& task = *piece.task;
  bool equal = true;
  if (task.check == ByteCheck::data) equal = memcmp(scratch_.data(), piece.payload + piece.cursor, piece.length) == 0;
  if (task.check == ByteCheck::oneBlock) {
    const size_t block = task.gathered.size();
    for (size_t at = 0; at < piece.length; at += block) equal &= memcmp(scratch_.data() + at, task.gathered.data(), block) == 0;
  }
  if (!equal) task.outcome = kMiscompare;
  piece.cursor += piece.length;
  return !equal || piece.cursor == workOf(piece);
}

/// SBC-4, 5.14.
bool Session::orDone(Piece& piece) {
  if (piece.phase == kOrReading) {
    uint8_t* octets = scratch_.data();
    const uint8_t* sent = piece.payload + piece.cursor;
    for (uint32_t i = 0; i < piece.length; ++i) octets[i] |= sent[i];
  }
  if (piece.phase != kOrWriting) {
    ++piece.phase;
    return false;
  }
  piece.task->needsFlush |= piece.task->fua;
  piece.phase = kOrReading;
  piece.cursor += piece.length;
  return piece.cursor == workOf(piece);
}

/// SBC-4, 5.3: the INFORMATION field of a miscompare is the offset of the first octet that differs.
bool Session::compareDone(Piece& piece) {
  Task& task = *piece.task;
  if (piece.phase == kComparing) {
    const auto [wanted, found] =
        std::mismatch(task.gathered.begin(), task.gathered.begin() + static_cast<ptrdiff_t>(task.span), scratch_.data());
    if (wanted != task.gathered.begin() + static_cast<ptrdiff_t>(task.span)) {
      task.outcome = kMiscompare;
      task.outcome.informs = true;
      task.outcome.information = static_cast<uint32_t>(wanted - task.gathered.begin());
      return true;
    }
  }
  return ++piece.phase == kWritten;
}

/// A piece is done, or its task has no use for it any more.
void Session::leaveWork(Piece& piece) {
  if (!piece.working) return;
  piece.working = false;
  std::erase(work_, &piece);
  if (std::exchange(piece.holdsLock, false)) host_.io().unlock(*piece.task->view);
}

}  // namespace rackboot
