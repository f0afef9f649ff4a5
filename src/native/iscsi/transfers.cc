// The data of tasks: what READs fetch and send, what WRITEs receive and ask for.
#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>

#include "iscsi/session.h"

namespace rackboot {
namespace {

/// Bounds of what one connection may have read and not yet sent.
constexpr uint64_t kLeastReadAhead = 256 * 1024;
constexpr uint64_t kMostReadAhead = 4 << 20;

}  // namespace

Outcome outcomeOf(int error, IoKind kind) {
  switch (error) {
    case EBUSY: return kBusy;
    case kVolumeClosed: return kUnknownUnit;
    case kVolumeFailed: return kUnitFailure;
    case ENOSPC:
    case EDQUOT: return kSpaceExhausted;
    case EROFS: return kWriteProtected;
    default: return kind == IoKind::read ? kReadError : kind == IoKind::flush || kind == IoKind::lock ? kUnitFailure : kWriteError;
  }
}

Piece* Session::addPiece(Task& task, uint32_t start, uint32_t expected) {
  Piece* piece = new Piece;
  piece->task = &task;
  piece->io = &host_.io();
  piece->owner = this;
  piece->start = start;
  piece->expected = expected;
  piece->next = task.pieces;
  task.pieces = piece;
  if (expected > 0) ++awaited_;
  return piece;
}

void Session::dropPiece(Piece& piece) {
  leaveWork(piece);
  if (piece.expected > 0 && !piece.complete) --awaited_;
  reserved_[static_cast<size_t>(piece.purpose)] -= piece.reserved;
  Piece** at = &piece.task->pieces;
  while (*at != &piece) at = &(*at)->next;
  *at = piece.next;
  delete &piece;
}

void Session::dropIdlePieces(Task& task) {
  for (Piece* piece = task.pieces; piece != nullptr;) {
    Piece* next = piece->next;
    if (!piece->submitted && !piece->arriving) dropPiece(*piece);
    piece = next;
  }
}

void Session::enqueue(Task& task, std::deque<Task*>& queue) {
  if (task.queued) return;
  task.queued = true;
  queue.push_back(&task);
}

/// What this session may take of the buffers for one purpose. Machines lose power in the middle of a write, a whole rack at once: what
/// dead sessions hold until they are reaped must leave enough for the others.
uint64_t Session::share(Purpose purpose) const {
  return host_.buffers().budget(purpose) / std::max(host_.sessions(), 1u);
}

uint64_t Session::readAhead() const {
  return std::clamp(share(Purpose::read), kLeastReadAhead, kMostReadAhead);
}

/// Whether data may stay where it was received. What keeps it from its place pins a whole receive buffer, however little it is: beyond
/// their budget, data moves to a buffer of its size.
bool Session::mayKeep() const {
  const BufferPool& pool = host_.buffers();
  const uint64_t beingReceivedInto = uint64_t{kReceiveBytes} * std::max(host_.sessions(), 1u);
  return pool.used(Purpose::receive) < pool.budget(Purpose::receive) + beingReceivedInto;
}

/// A buffer within the share; the first one is there in any case, if the budget has it.
BufferRef Session::reserve(Purpose purpose, uint32_t length) {
  const uint64_t taken = reserved_[static_cast<size_t>(purpose)];
  if (taken > 0 && taken + length > share(purpose)) return {};
  return host_.buffers().take(purpose, length);
}

void Session::account(Piece& piece, Purpose purpose) {
  if (!piece.buffer) return;
  piece.purpose = purpose;
  piece.reserved = piece.buffer.capacity();
  reserved_[static_cast<size_t>(purpose)] += piece.reserved;
}

bool Session::pumpReads(uint32_t quantum) {
  uint64_t started = 0;
  while (!readQueue_.empty()) {
    if (out_.bytes() + readsInFlight_ >= readAhead()) return false;  // sending makes room, and brings the next turn
    if (started >= quantum) return true;
    Task& task = *readQueue_.front();
    const uint32_t length = std::min(kReadPieceBytes, task.transfer - task.assigned);
    readQueue_.pop_front();
    task.queued = false;
    if (!fetch(task)) {
      task.queued = true;
      readQueue_.push_front(&task);
      starving_ = true;
      return false;
    }
    started += length;
  }
  return false;
}

bool Session::fetch(Task& task) {
  const uint32_t length = std::min(kReadPieceBytes, task.transfer - task.assigned);
  BufferRef buffer = host_.buffers().take(Purpose::read, length);
  if (!buffer) return false;
  Piece& piece = *addPiece(task, task.assigned, 0);
  task.assigned += length;
  piece.data = buffer.data();
  piece.buffer = std::move(buffer);
  piece.received = length;
  readsInFlight_ += length;
  submit(piece, IoKind::read);
  return true;
}

void Session::submit(Piece& piece, IoKind kind) {
  Task& task = *piece.task;
  piece.kind = kind;
  piece.view = task.view.get();
  piece.offset = task.offset + piece.start;
  piece.length = piece.received;
  piece.submitted = true;
  ++task.ioInFlight;
  if (host_.io().submit(piece)) settled(piece);
}

void Session::ioDone(IoRequest& request) {
  settled(static_cast<Piece&>(request));
  host_.wake();
}

/// The I/O of a piece has ended.
void Session::settled(Piece& piece) {
  Task& task = *piece.task;
  --task.ioInFlight;
  piece.submitted = false;
  if (piece.working) return stepDone(piece);
  if (piece.kind == IoKind::read) readsInFlight_ -= piece.length;
  if (task.aborted) return release(task);
  if (piece.error != 0) {
    bookError(task);
    if (task.outcome.good()) task.outcome = outcomeOf(piece.error, piece.kind);
    dropPiece(piece);
    return advance(task);
  }
  if (piece.kind == IoKind::flush || piece.kind == IoKind::prefetch) {
    if (task.kind == CommandKind::synchronizeCache || task.kind == CommandKind::prefetch) task.moved = 1;
    dropPiece(piece);
    return advance(task);
  }
  if (piece.kind == IoKind::write) {
    if (task.kind == CommandKind::writeVerify) return addWork(piece);
    task.moved += piece.length;
    dropPiece(piece);
    return advance(task);
  }
  const bool last = task.moved + piece.length == task.transfer;
  if (last) leaveWindow(task);
  sendData(task, piece.data, piece.length, piece.buffer, {});
  dropPiece(piece);
  if (!last) return advance(task);
  book(task, Booked::read, task.transfer);
  if (!firstRead_) {
    firstRead_ = true;
    Event event(EventType::firstRead, id_);
    event.lun = task.lunNumber;
    host_.emit(std::move(event));
  }
  remove(task);
}

/// Data-In PDUs for the next `length` octets of a task, which lie in `buffer` or in `own`. RFC 7143, 11.7: cut to what the
/// initiator takes, F at the end of each burst, the status in the last one where it is GOOD.
void Session::sendData(Task& task, const uint8_t* data, uint32_t length, const BufferRef& buffer, std::vector<uint8_t> own) {
  if (data == nullptr) data = own.data();
  uint32_t sent = 0;
  while (sent < length) {
    const uint32_t burstLeft = parameters_.maxBurstLength - task.moved % parameters_.maxBurstLength;
    const uint32_t take = std::min({length - sent, parameters_.maxSendDataSegmentLength, burstLeft});
    const bool last = task.moved + take == task.transfer;
    const bool withStatus = last && task.outcome.good();
    OutPdu* pdu = response(Opcode::dataIn, task.itt, false);
    pdu->header[1] = last || take == burstLeft ? kFinal : 0;
    put32(pdu->header + kTttAt, kNoTag);
    put32(pdu->header + kDataSnAt, task.dataSn++);
    put32(pdu->header + kBufferOffsetAt, task.moved);
    if (withStatus) {
      pdu->header[1] |= kDataInStatus;
      ++statSn_;
      putStatus(pdu, task);
    } else {
      put32(pdu->header + kStatSnAt, 0);  // 11.7.3: reserved without the S bit
    }
    pdu->data = data + sent;
    pdu->dataLength = take;
    pdu->buffer = buffer;
    sent += take;
    task.moved += take;
    if (!buffer && sent == length) {
      // The PDUs before point into the same octets: the queue sends in order, so the last one keeps them for all.
      pdu->own = std::move(own);
    }
    out_.push(pdu);
  }
}

Placement Session::placeDataOut(const uint8_t* header, uint32_t dataLength) {
  Task* task = tasks_.find(get32(header + kIttAt));
  current_.ignore = true;
  if (task == nullptr) return {};  // of a task that has ended: RFC 7143, 11.5.1 has them dropped
  const uint32_t ttt = get32(header + kTttAt);
  Piece* piece = task->pieces;
  while (piece != nullptr && (piece->ttt != ttt || piece->expected == 0 || piece->complete)) piece = piece->next;
  if (piece == nullptr) {
    current_.ignore = false;
    current_.reject = RejectReason::protocolError;
    return {};
  }
  // DataPDUInOrder=Yes and ErrorRecoveryLevel=0: what does not follow on has been lost, and cannot be asked for again.
  if (get32(header + kBufferOffsetAt) != piece->start + piece->received || get32(header + kDataSnAt) != piece->dataSn ||
      dataLength > piece->expected - piece->received) {
    host_.counters().protocolErrors.add(1);
    fail(*task, kDataPhaseError);
    return {};
  }
  current_.ignore = false;
  current_.piece = piece;
  piece->arriving = true;
  if (!piece->buffer || dataLength == 0) return {};
  return {Placement::store, piece->buffer.data() + piece->received};
}

void Session::dataOutArrived(Piece& piece, const uint8_t* header, uint32_t dataLength) {
  Task& task = *piece.task;
  piece.arriving = false;
  if (task.aborted) return release(task);
  piece.received += dataLength;
  ++piece.dataSn;
  const bool final = (header[1] & kFinal) != 0;
  const bool solicited = piece.ttt != kNoTag;
  if (!final && piece.received < piece.expected) return;
  if (final != (piece.received == piece.expected) && solicited) {
    host_.counters().protocolErrors.add(1);
    return fail(task, kDataPhaseError);
  }
  if (solicited) {
    --task.outstandingR2t;
  } else {
    if (!final) return;  // all that may come is here, and the end is still announced
    task.assigned = piece.received;
    task.unsolicitedEnded = true;
  }
  complete(piece);
  if (task.delivered) moveOut(piece);
}

void Session::complete(Piece& piece) {
  assert(!piece.complete);
  piece.complete = true;
  if (piece.expected > 0) --awaited_;
}

/// A complete piece goes where its task wants it.
void Session::moveOut(Piece& piece) {
  Task& task = *piece.task;
  const uint32_t useful = piece.start < task.transfer ? std::min(piece.received, task.transfer - piece.start) : 0;
  const bool wanted = task.outcome.good() && piece.buffer && useful > 0;
  task.assigned = std::max(task.assigned, piece.start + piece.received);
  if (wanted && (task.kind == CommandKind::write || task.kind == CommandKind::writeVerify)) {
    const bool whole = useful == task.transfer;
    piece.received = useful;
    if (piece.data == nullptr) piece.data = piece.buffer.data();
    piece.durable = task.fua && whole;
    task.needsFlush |= task.fua && !whole;
    piece.payload = piece.data;
    wantData(task);  // the next burst is asked for while this one is written
    return submit(piece, IoKind::write);
  }
  if (wanted && (task.kind == CommandKind::orWrite || (task.kind == CommandKind::verify && task.check == ByteCheck::data))) {
    piece.received = useful;
    piece.payload = piece.data != nullptr ? piece.data : piece.buffer.data();
    wantData(task);
    return addWork(piece);
  }
  if (wanted) {  // a command that needs all of its data at once
    const uint8_t* data = piece.data != nullptr ? piece.data : piece.buffer.data();
    task.gathered.resize(std::max<size_t>(task.gathered.size(), piece.start + useful));
    memcpy(task.gathered.data() + piece.start, data, useful);
    task.moved += useful;
  }
  dropPiece(piece);
  advance(task);
}

/// Queues the task where more of its data-out may be asked for.
void Session::wantData(Task& task) {
  if (task.kind == CommandKind::read || !task.writes) return;
  if (!task.unsolicitedEnded || !task.outcome.good() || task.assigned >= task.transfer) return;
  if (task.outstandingR2t < parameters_.maxOutstandingR2T) enqueue(task, solicitQueue_);
}

void Session::pumpSolicited() {
  while (!solicitQueue_.empty()) {
    Task& task = *solicitQueue_.front();
    while (task.assigned < task.transfer && task.outstandingR2t < parameters_.maxOutstandingR2T) {
      if (!solicit(task)) {
        starving_ = true;
        return;
      }
    }
    task.queued = false;
    solicitQueue_.pop_front();
  }
}

/// RFC 7143, 11.8. The buffer is there before the R2T goes out.
bool Session::solicit(Task& task) {
  uint32_t length = std::min({task.transfer - task.assigned, parameters_.maxBurstLength, kLargestSolicit});
  const auto fair = static_cast<uint32_t>(std::clamp<uint64_t>(share(Purpose::solicited), kSmallestSolicit, kLargestSolicit));
  length = std::min(length, std::bit_floor(fair));
  BufferRef buffer = reserve(Purpose::solicited, length);
  while (!buffer && length > kSmallestSolicit) {
    length = std::max(length / 2, kSmallestSolicit);
    buffer = reserve(Purpose::solicited, length);
  }
  if (!buffer) return false;
  Piece* piece = addPiece(task, task.assigned, length);
  piece->buffer = std::move(buffer);
  account(*piece, Purpose::solicited);
  piece->ttt = nextTransferTag();
  task.assigned += length;
  ++task.outstandingR2t;
  OutPdu* pdu = response(Opcode::r2t, task.itt, false);
  memcpy(pdu->header + kLunAt, task.lunField, sizeof task.lunField);
  put32(pdu->header + kTttAt, piece->ttt);
  put32(pdu->header + kDataSnAt, task.r2tSn++);
  put32(pdu->header + kBufferOffsetAt, piece->start);
  put32(pdu->header + kDesiredLengthAt, length);
  out_.push(pdu);
  return true;
}

}  // namespace rackboot
