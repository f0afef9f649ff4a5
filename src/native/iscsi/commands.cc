// What a SCSI command is, and how it ends.
#include <algorithm>
#include <cassert>
#include <cstring>

#include "iscsi/session.h"

namespace rackboot {
uint32_t decodeLun(const uint8_t* field) {
  for (int i = 2; i < 8; ++i) {
    if (field[i] != 0) return kNoLun;
  }
  constexpr uint8_t kPeripheral = 0, kFlat = 1;
  const uint8_t method = field[0] >> 6;
  if (method == kPeripheral && field[0] == 0) return field[1];
  if (method == kFlat) return get16(field) & 0x3fff;
  return kNoLun;
}

Task* Session::makeTask(const uint8_t* header, uint32_t ahsBytes) {
  Task* task = new Task;
  task->id = nextTaskId_++;
  task->itt = get32(header + kIttAt);
  task->cmdSn = get32(header + kCmdSnAt);
  task->arrivedNs = host_.arrivedNs();
  task->immediate = isImmediate(header);
  task->reads = (header[1] & kCommandRead) != 0;
  task->writes = (header[1] & kCommandWrite) != 0;
  task->edtl = task->reads || task->writes ? get32(header + kExpectedLengthAt) : 0;
  memcpy(task->lunField, header + kLunAt, sizeof task->lunField);
  task->lunNumber = decodeLun(task->lunField);
  memcpy(task->cdb.data(), header + kCdbAt, task->cdb.size());
  // RFC 7143, 11.2.2.3: an extended CDB; the first segment is the only one that can be it.
  constexpr uint8_t kExtendedCdb = 1;
  if (ahsBytes >= 4 && header[kBhsBytes + 2] == kExtendedCdb) {
    const uint32_t length = std::min<uint32_t>(get16(header + kBhsBytes), ahsBytes - 3);
    if (length > 1) task->cdbRest.assign(header + kBhsBytes + 4, header + kBhsBytes + 3 + length);
  }
  tasks_.insert(task);
  if (task->immediate) ++immediate_;
  return task;
}

void Session::start(Task& task) {
  task.delivered = true;
  if (!task.immediate) ++active_;
  if (task.outcome.good()) classify(task);
  if (task.pieces != nullptr && task.pieces->complete) return moveOut(*task.pieces);
  advance(task);
}

/// Decides what the command is; what forbids it goes into task.outcome.
void Session::classify(Task& task) {
  const uint8_t opcode = task.cdb[0];
  Lun* lun = findLun(task.lunNumber);
  if (lun != nullptr && lun->view->closed) lun = nullptr;
  task.transfer = task.writes ? std::min(task.edtl, kPassUpBytes) : 0;
  if (task.reads && task.writes) {  // bidirectional commands need a second length (RFC 7143, 11.2.2.4) that nothing here uses
    task.outcome = kInvalidField;
    return;
  }
  if (lun == nullptr) {
    if (!ignoresUnitAttention(opcode)) task.outcome = kUnknownUnit;
    return;
  }
  task.view = lun->view;
  task.counted = true;
  task.view->stats->begun.add(1);
  host_.account().begun.add(1);
  const CommandRow* row = commandRow(opcode);
  if (row != nullptr && row->kind == CommandKind::requestSense) {
    if (!lun->attentions.empty()) answerSense(task, *lun);
    return;
  }
  if (!lun->attentions.empty() && !ignoresUnitAttention(opcode)) {
    const Sense sense = lun->attentions.front();
    lun->attentions.erase(lun->attentions.begin());
    task.outcome = {.status = kStatusCheckCondition, .sense = sense};
    return;
  }
  // Of what is not in the table, TypeScript asks the same.
  if (row == nullptr) return;
  if (!admits(lun->view->access, *row)) {
    task.outcome = kReservationConflict;
    return;
  }
  task.kind = row->kind;
  task.transfer = 0;
  task.outcome = classifyBlocks(task, *row, *lun);
}

/// SPC-4, 5.13.1: whether reservations leave the command to this nexus.
bool Session::admits(const VolumeAccess& access, const CommandRow& row) const {
  if (access.denied < row.denied || row.denied == Denied::nothing) return true;
  return std::find(access.exempt.begin(), access.exempt.end(), id_) != access.exempt.end();
}

Outcome Session::classifyBlocks(Task& task, const CommandRow& row, const Lun& lun) {
  BlockRange range;
  const Outcome decoded = decode(row, task.cdb.data(), range);
  if (!decoded.good()) return decoded;
  const Volume& volume = *lun.view->volume;
  if (volume.failed.load(std::memory_order_relaxed)) return row.kind == CommandKind::testUnitReady ? kManualIntervention : kUnitFailure;
  if (lun.view->notReady) return *lun.view->notReady;
  if (row.kind == CommandKind::testUnitReady) return kGood;
  const uint64_t capacity = lun.view->sizeBytes / volume.spec.blockSize;
  if (row.kind == CommandKind::unmap) return classifyUnmap(task, range, lun);
  if (range.lba > capacity || range.blocks > capacity - range.lba) return kOutOfRange;
  if (row.kind == CommandKind::synchronizeCache) return kGood;
  if (row.kind == CommandKind::prefetch) {
    // A hint: what is beyond its bound is not fetched, and GOOD (not CONDITION MET) promises nothing (SBC-4, 5.13).
    const uint64_t blocks = range.blocks == 0 ? capacity - range.lba : range.blocks;
    task.offset = range.lba * volume.spec.blockSize;
    task.span = std::min(blocks * volume.spec.blockSize, kPrefetchBytes);
    return kGood;
  }
  if (row.kind != CommandKind::read && row.kind != CommandKind::write) return classifyMedium(task, row, range, lun);
  const bool writes = row.kind == CommandKind::write;
  if (writes && (lun.readOnly || lun.view->readOnly)) return kWriteProtected;
  task.offset = range.lba * volume.spec.blockSize;
  task.length = uint64_t{range.blocks} * volume.spec.blockSize;
  task.fua = writes && (range.fua || !lun.view->writeCache);
  const uint32_t asked = writes == task.writes && writes != task.reads ? task.edtl : 0;
  task.transfer = static_cast<uint32_t>(std::min<uint64_t>(task.length, asked));
  return kGood;
}

/// SPC-4, 6.39: REQUEST SENSE returns a waiting unit attention as its data, and clears it.
void Session::answerSense(Task& task, Lun& lun) {
  const Sense sense = lun.attentions.front();
  lun.attentions.erase(lun.attentions.begin());
  constexpr uint8_t kDescriptor = 1;
  std::vector<uint8_t> data = encodeSense({.status = kStatusCheckCondition, .sense = sense}, (task.cdb[1] & kDescriptor) != 0);
  data.resize(std::min<size_t>(data.size(), task.cdb[4]));
  task.kind = CommandKind::requestSense;
  task.gathered = std::move(data);
}

/// The next step of a task, once what was under way is done.
void Session::advance(Task& task) {
  wantData(task);
  if (!task.unsolicitedEnded || task.ioInFlight > 0) return;
  if (!task.outcome.good()) {
    if (task.outstandingR2t == 0) finish(task);
    return;
  }
  switch (task.kind) {
    case CommandKind::testUnitReady: return finish(task);
    case CommandKind::requestSense: {
      CommandResult result;
      result.data = std::move(task.gathered);
      task.passedUp = true;
      return completeCommand(task.id, std::move(result));
    }
    case CommandKind::read:
      if (task.transfer == 0) return finish(task);
      return enqueue(task, readQueue_);
    case CommandKind::synchronizeCache:
      if (task.moved > 0) return finish(task);
      return submit(*addPiece(task, 0, 0), IoKind::flush);
    case CommandKind::prefetch: {
      if (task.span == 0 || task.moved > 0) return finish(task);
      Piece& hint = *addPiece(task, 0, 0);
      hint.received = static_cast<uint32_t>(task.span);
      return submit(hint, IoKind::prefetch);
    }
    case CommandKind::passUp:
      if (task.moved < task.transfer) return;
      return passUp(task);
    case CommandKind::write:
    case CommandKind::writeVerify:
    case CommandKind::orWrite:
      if (task.moved < task.transfer) return;
      return flushOrFinish(task);
    case CommandKind::unmap:
    case CommandKind::writeSame:
    case CommandKind::compareAndWrite:
    case CommandKind::verify:
      if (task.moved < task.transfer) return;
      if (task.kind == CommandKind::verify && task.check == ByteCheck::data) return finish(task);
      if (task.work == Work::none) return beginWork(task);
      if (task.work == Work::begun) return;  // a step waits for its turn
      return flushOrFinish(task);
  }
}

/// Several pieces share one flush; a single one was written durably.
void Session::flushOrFinish(Task& task) {
  if (!task.fua || !task.needsFlush) return finish(task);
  task.needsFlush = false;
  submit(*addPiece(task, 0, 0), IoKind::flush);
}

void Session::passUp(Task& task) {
  task.passedUp = true;
  host_.counters().commandsPassedUp.add(1);
  Event event(EventType::command, id_);
  event.task = task.id;
  event.lun = task.lunNumber;
  event.hasVolume = task.view != nullptr;
  if (task.view) event.volume = task.view->volume->id;
  event.header.assign(task.cdb.begin(), task.cdb.end());
  event.header.insert(event.header.end(), task.cdbRest.begin(), task.cdbRest.end());
  event.data = std::move(task.gathered);
  event.expectedDataLength = task.edtl;
  host_.emit(std::move(event));
}

void Session::completeCommand(TaskId id, CommandResult&& result) {
  if (ended_) return;
  Task* task = nullptr;
  for (Task* candidate : tasks_.all()) {
    if (candidate->id == id && candidate->passedUp) task = candidate;
  }
  if (task == nullptr) return;  // aborted meanwhile
  task->outcome.status = result.status;
  task->length = task->reads || !result.data.empty() ? result.data.size() : task->edtl;
  task->transfer = task->reads ? static_cast<uint32_t>(std::min<uint64_t>(result.data.size(), task->edtl)) : 0;
  task->moved = 0;
  task->dataSn = 0;
  leaveWindow(*task);
  const uint32_t length = task->transfer;
  if (length > 0) sendData(*task, nullptr, length, {}, std::move(result.data));
  if (length == 0 || !task->outcome.good()) sendResponse(*task, result.status == kStatusCheckCondition ? &result.sense : nullptr);
  remove(*task);
  host_.wake();
}

/// RFC 7143, 11.4.5: the residual compares what the initiator expected with what the command asks for.
void Session::putStatus(OutPdu* pdu, const Task& task) const {
  pdu->header[3] = task.outcome.status;
  const uint64_t length = task.outcome.good() || task.passedUp ? task.length : task.reads ? task.moved : task.edtl;
  if (length == task.edtl) return;
  const bool overflow = length > task.edtl;
  pdu->header[1] |= overflow ? kResidualOverflow : kResidualUnderflow;
  const uint64_t residual = overflow ? length - task.edtl : task.edtl - length;
  put32(pdu->header + kResidualAt, static_cast<uint32_t>(std::min<uint64_t>(residual, UINT32_MAX)));
}

void Session::sendResponse(Task& task, const std::vector<uint8_t>* sense) {
  OutPdu* pdu = response(Opcode::scsiResponse, task.itt, true);
  putStatus(pdu, task);
  put32(pdu->header + kDataSnAt, task.dataSn);  // ExpDataSN, 11.4.8
  if (sense != nullptr && !sense->empty()) {
    pdu->own.resize(2 + sense->size());
    put16(pdu->own.data(), static_cast<uint32_t>(sense->size()));  // SenseLength, 11.4.7.1
    std::copy(sense->begin(), sense->end(), pdu->own.begin() + 2);
    pdu->data = pdu->own.data();
    pdu->dataLength = static_cast<uint32_t>(pdu->own.size());
  }
  out_.push(pdu);
}

/// Answers with task.outcome; the data has been sent.
void Session::finish(Task& task) {
  leaveWindow(task);
  if (task.outcome.status == kStatusCheckCondition) {
    const std::vector<uint8_t> sense = encodeSense(task.outcome, task.view && task.view->descriptorSense);
    sendResponse(task, &sense);
  } else {
    sendResponse(task, nullptr);
  }
  if (task.view && task.outcome.good()) {
    if (task.kind == CommandKind::write || task.kind == CommandKind::writeVerify || task.kind == CommandKind::compareAndWrite ||
        task.kind == CommandKind::orWrite) {
      book(task, Booked::write, task.transfer);
    }
    if (task.kind == CommandKind::synchronizeCache) book(task, Booked::flush, 0);
  }
  remove(task);
}

/// Ends a task whose data no longer makes sense: what of it still arrives belongs to no task and is thrown away.
void Session::fail(Task& task, const Outcome& outcome) {
  if (task.outcome.good()) task.outcome = outcome;
  task.outstandingR2t = 0;
  task.unsolicitedEnded = true;
  dropIdlePieces(task);
  if (task.delivered) advance(task);
}

/// Before the response, so that it already offers the place that the task leaves.
void Session::leaveWindow(Task& task) {
  if (task.leftWindow) return;
  task.leftWindow = true;
  if (task.immediate) {
    --immediate_;
  } else if (task.delivered) {
    --active_;
  }
}

/// Counts a command that is being answered with GOOD.
void Session::book(Task& task, Booked what, uint64_t bytes) {
  const uint64_t elapsedNs = host_.nowNs() - task.arrivedNs;
  for (IoStats* stats : {task.view->stats, &host_.account()}) {
    switch (what) {
      case Booked::read:
        stats->readOps.add(1);
        stats->readBytes.add(bytes);
        break;
      case Booked::write:
        stats->writeOps.add(1);
        stats->writeBytes.add(bytes);
        break;
      case Booked::flush: stats->flushOps.add(1); break;
    }
    stats->latencies[static_cast<size_t>(what)].add(elapsedNs);
  }
}

void Session::bookError(Task& task) {
  if (!task.view) return;
  for (IoStats* stats : {task.view->stats, &host_.account()}) {
    stats->errors.add(1);
    if (task.kind == CommandKind::read) stats->readErrors.add(1);
  }
}

/// The task is answered or aborted: its tag is free again.
void Session::remove(Task& task) {
  tasks_.remove(&task);
  leaveWindow(task);
  if (task.counted) {
    task.view->stats->ended.add(1);
    host_.account().ended.add(1);
  }
  if (task.queued) {
    std::erase(readQueue_, &task);
    std::erase(solicitQueue_, &task);
  }
  task.aborted = true;
  ++zombies_;
  dropIdlePieces(task);
  release(task);
}

/// Frees a task that is out of the table as soon as nothing uses its pieces.
void Session::release(Task& task) {
  if (!task.aborted) return;
  dropIdlePieces(task);
  if (task.ioInFlight == 0) task.barrier.reset();
  if (task.ioInFlight > 0 || task.pieces != nullptr) return;
  --zombies_;
  delete &task;
  loggedOut();
}

}  // namespace rackboot
