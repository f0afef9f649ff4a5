#include "iscsi/session.h"

#include <algorithm>
#include <cassert>
#include <cstring>

namespace rackboot {
namespace {

/// Requests that carry a CmdSN and are executed in its order (RFC 7143, 4.2.2.1).
bool isOrdered(Opcode opcode) {
  switch (opcode) {
    case Opcode::nopOut:
    case Opcode::scsiCommand:
    case Opcode::taskManagement:
    case Opcode::text:
    case Opcode::logout: return true;
    default: return false;
  }
}

}  // namespace

Session::Session(SessionHost& host, ConnectionId id, const SessionParameters& parameters, const std::vector<LunMapping>& luns)
    : host_(host), out_(host.sendQueue()), id_(id), parameters_(parameters), expCmdSn_(parameters.expCmdSn), statSn_(parameters.statSn) {
  setLuns(luns);
}

Session::~Session() {
  assert(idle());
}

bool Session::inWindow(uint32_t cmdSn) const {
  return !before(cmdSn, expCmdSn_) && !before(maxCmdSn(), cmdSn);
}

void Session::protocolError(const char* detail) {
  host_.counters().protocolErrors.add(1);
  end(CloseReason::protocolError, detail);
}

void Session::end(CloseReason reason, const char* detail) {
  ended_ = true;
  host_.end(reason, detail);
}

Placement Session::place(const uint8_t* header, uint32_t ahsBytes, uint32_t dataLength, const Received& received) {
  if (logoutTag_) return {Placement::stall};  // nothing may follow a Logout
  if (ended_ || dataLength > parameters_.maxRecvDataSegmentLength) {
    if (!ended_) protocolError("a data segment exceeds MaxRecvDataSegmentLength");
    return {Placement::refuse};
  }
  const Opcode opcode = opcodeOf(header);
  current_ = {};
  if (opcode == Opcode::dataOut) return placeDataOut(header, dataLength);
  // RFC 7143, 4.2.2.1: what is outside the window, or a copy of what waits in it, is ignored silently.
  const uint32_t cmdSn = get32(header + kCmdSnAt);
  if (isOrdered(opcode) && !isImmediate(header) && (!inWindow(cmdSn) || held_.contains(cmdSn))) {
    current_.ignore = true;
    return {};
  }
  switch (opcode) {
    case Opcode::scsiCommand: return placeCommand(header, ahsBytes, dataLength, received);
    case Opcode::nopOut:
    case Opcode::text:
      if (opcode == Opcode::text && textUp_ >= kTextRequestsUp) return {Placement::stall};
      return placeText(dataLength);
    case Opcode::taskManagement:
    case Opcode::logout: return {};
    case Opcode::snack: current_.reject = RejectReason::snack; return {};  // ErrorRecoveryLevel 0
    case Opcode::login: current_.reject = RejectReason::protocolError; return {};
    default: current_.reject = RejectReason::commandNotSupported; return {};
  }
}

Placement Session::placeText(uint32_t dataLength) {
  if (dataLength > kTextBytes) {
    current_.reject = RejectReason::invalidField;
    return {};
  }
  if (dataLength == 0) return {};
  current_.data.resize(dataLength);
  return {Placement::store, current_.data.data()};
}

RejectReason Session::checkCommand(const uint8_t* header, uint32_t dataLength) const {
  if (parameters_.discovery) return RejectReason::commandNotSupported;  // RFC 7143, 4.3
  if (tasks_.find(get32(header + kIttAt)) != nullptr) return RejectReason::taskInProgress;
  if (isImmediate(header) && immediate_ >= kImmediateCommands) return RejectReason::immediateReject;
  const bool writes = (header[1] & kCommandWrite) != 0;
  const bool final = (header[1] & kFinal) != 0;
  const uint32_t edtl = get32(header + kExpectedLengthAt);
  if (!writes && (dataLength > 0 || !final)) return RejectReason::protocolError;
  if (dataLength > 0 && !parameters_.immediateData) return RejectReason::protocolError;                    // 13.11
  if (!final && parameters_.initialR2T) return RejectReason::protocolError;                                // 13.10
  if (dataLength > edtl || dataLength > parameters_.firstBurstLength) return RejectReason::protocolError;  // 13.14
  return RejectReason::none;
}

Placement Session::placeCommand(const uint8_t* header, uint32_t ahsBytes, uint32_t dataLength, const Received& received) {
  current_.reject = checkCommand(header, dataLength);
  if (current_.reject != RejectReason::none) return {};
  const bool final = (header[1] & kFinal) != 0;
  const uint32_t edtl = get32(header + kExpectedLengthAt);
  const uint32_t burst = final ? dataLength : std::min(parameters_.firstBurstLength, edtl);
  BufferRef buffer;
  bool busy = false;
  const bool keeps = final && received.buffer != nullptr && mayKeep();
  if (keeps) {
    buffer = *received.buffer;
  } else if (burst > 0) {
    buffer = reserve(Purpose::unsolicited, burst);
    // Stopping here would also stop the data that buffers of ours wait for; then BUSY is the answer that keeps things moving.
    stalled_ = !buffer && !expectsDataOut() && held_.empty();
    if (stalled_) return {Placement::stall};
    busy = !buffer;
  }
  Task* task = makeTask(header, ahsBytes);
  current_.task = task;
  if (busy) task->outcome = kBusy;
  if (burst == 0) return {};
  Piece* piece = addPiece(*task, 0, burst);
  piece->buffer = std::move(buffer);
  if (!keeps) account(*piece, Purpose::unsolicited);
  task->assigned = burst;
  task->unsolicitedEnded = final;
  if (dataLength == 0) return {};
  piece->arriving = true;
  if (busy) return {};
  if (keeps) {
    piece->data = received.data;
    return {Placement::keep};
  }
  piece->data = piece->buffer.data();
  return {Placement::store, piece->data};
}

bool Session::whole(const uint8_t* header) {
  Incoming incoming = std::move(current_);
  current_ = {};
  if (incoming.piece != nullptr) {
    dataOutArrived(*incoming.piece, header, get24(header + kDataLengthAt));
    return !ended_;
  }
  if (incoming.ignore) return !ended_;
  const Opcode opcode = opcodeOf(header);
  if (!isOrdered(opcode)) {
    reject(header, incoming.reject);
    return !ended_;
  }
  memcpy(incoming.header.data(), header, kBhsBytes);
  if (incoming.task != nullptr && incoming.task->pieces != nullptr) {
    Piece& piece = *incoming.task->pieces;
    piece.arriving = false;
    piece.received = get24(header + kDataLengthAt);
    if (incoming.task->unsolicitedEnded) complete(piece);
  }
  const uint32_t cmdSn = get32(header + kCmdSnAt);
  if (!isImmediate(header) && cmdSn != expCmdSn_) {
    held_.emplace(cmdSn, std::move(incoming));
    return !ended_;
  }
  execute(incoming);
  while (!ended_ && !held_.empty()) {
    const auto next = held_.find(expCmdSn_);
    if (next == held_.end()) break;
    Incoming waiting = std::move(next->second);
    held_.erase(next);
    execute(waiting);
  }
  return !ended_;
}

void Session::execute(Incoming& incoming) {
  const uint8_t* header = incoming.header.data();
  if (!isImmediate(header)) ++expCmdSn_;
  if (incoming.ignore) return;  // a task that was aborted before its turn
  if (incoming.reject != RejectReason::none) return reject(header, incoming.reject);
  switch (opcodeOf(header)) {
    case Opcode::scsiCommand: return start(*incoming.task);
    case Opcode::nopOut: return ping(incoming);
    case Opcode::taskManagement: return manage(incoming);
    case Opcode::text: return passTextUp(incoming);
    case Opcode::logout: return logout(incoming);
    default: assert(false);
  }
}

OutPdu* Session::response(Opcode opcode, uint32_t itt, bool countsStatus) {
  OutPdu* pdu = out_.make();
  pdu->header[0] = static_cast<uint8_t>(opcode);
  pdu->header[1] = kFinal;
  put32(pdu->header + kIttAt, itt);
  put32(pdu->header + kStatSnAt, statSn_);
  if (countsStatus) ++statSn_;
  put32(pdu->header + kExpCmdSnAt, expCmdSn_);
  put32(pdu->header + kMaxCmdSnAt, maxCmdSn());
  return pdu;
}

uint32_t Session::nextTransferTag() {
  const uint32_t tag = nextTtt_++;
  if (nextTtt_ == kNoTag) nextTtt_ = 1;
  return tag;
}

void Session::pingInitiator() {
  assert(!pinged() && mayPing());
  pingTag_ = nextTransferTag();
  // RFC 7143, 11.19: StatSN is the next one, which is not used up. Its LUN stays 0, which every session has.
  OutPdu* pdu = response(Opcode::nopIn, kNoTag, false);
  put32(pdu->header + kTttAt, pingTag_);
  out_.push(pdu);
}

void Session::ping(Incoming& incoming) {
  const uint32_t ttt = get32(incoming.header.data() + kTttAt);
  if (ttt != kNoTag && ttt != pingTag_) return reject(incoming.header.data(), RejectReason::protocolError);  // 11.18: copied from a NOP-In
  answersPings_ = true;
  if (ttt != kNoTag) pingTag_ = kNoTag;
  const uint32_t itt = get32(incoming.header.data() + kIttAt);
  if (itt == kNoTag) return;  // RFC 7143, 11.18: an answer to our ping, or news of ExpStatSN
  OutPdu* pdu = response(Opcode::nopIn, itt, true);
  put32(pdu->header + kTttAt, kNoTag);
  pdu->own = std::move(incoming.data);
  pdu->data = pdu->own.data();
  pdu->dataLength = std::min<uint32_t>(static_cast<uint32_t>(pdu->own.size()), parameters_.maxSendDataSegmentLength);
  out_.push(pdu);
}

void Session::passTextUp(Incoming& incoming) {
  ++textUp_;
  Event event(EventType::pdu, id_);
  event.header.assign(incoming.header.begin(), incoming.header.end());
  event.data = std::move(incoming.data);
  host_.emit(std::move(event));
}

void Session::sendUp(std::vector<uint8_t> header, std::vector<uint8_t> data) {
  if (ended_) return;
  const Opcode opcode = opcodeOf(header.data());
  if (opcode == Opcode::textResponse || opcode == Opcode::reject) textUp_ -= textUp_ > 0;
  // RFC 7143, 11.19.5: a NOP-In that answers nothing carries the next StatSN without using it.
  const bool unnumbered = opcode == Opcode::nopIn && get32(header.data() + kIttAt) == kNoTag;
  put32(header.data() + kStatSnAt, statSn_);
  if (!unnumbered) ++statSn_;
  put32(header.data() + kExpCmdSnAt, expCmdSn_);
  put32(header.data() + kMaxCmdSnAt, maxCmdSn());
  out_.push(std::move(header), std::move(data));
  host_.wake();
}

void Session::logout(const Incoming& incoming) {
  const uint8_t* header = incoming.header.data();
  constexpr uint8_t kForRecovery = 2;           // RFC 7143, 11.14.1
  constexpr uint8_t kRecoveryNotSupported = 2;  // 11.15.1
  if ((header[1] & 0x7f) == kForRecovery) return answerLogout(get32(header + kIttAt), kRecoveryNotSupported);
  // What the session still has under way is terminated (11.14); its response says that nothing of that reaches the disk any more (11.15).
  ended_ = true;
  logoutTag_ = get32(header + kIttAt);
  abortAll();
  loggedOut();
}

void Session::answerLogout(uint32_t itt, uint8_t result) {
  OutPdu* pdu = response(Opcode::logoutResponse, itt, true);
  pdu->header[2] = result;
  out_.push(pdu);
}

/// Answers the Logout once nothing is in flight.
void Session::loggedOut() {
  if (!logoutTag_ || abandoned_ || !idle()) return;
  answerLogout(*logoutTag_, 0);
  logoutTag_.reset();
  end(CloseReason::logout, "the initiator logged out");
}

void Session::reject(const uint8_t* header, RejectReason reason) {
  host_.counters().protocolErrors.add(1);
  OutPdu* pdu = response(Opcode::reject, kNoTag, true);
  pdu->header[2] = static_cast<uint8_t>(reason);
  pdu->own.assign(header, header + kBhsBytes);  // RFC 7143, 11.17: the header that was rejected
  pdu->data = pdu->own.data();
  pdu->dataLength = kBhsBytes;
  out_.push(pdu);
}

void Session::dataDigestError(const uint8_t* header) {
  // RFC 7143, 7.8: the PDU is rejected; at ErrorRecoveryLevel 0 the session is what recovers.
  reject(header, RejectReason::dataDigest);
  end(CloseReason::digestError, "a data segment does not match its digest");
}

bool Session::pump(uint32_t quantum) {
  if (ended_) return false;
  starving_ = false;
  bool more = pumpReads(quantum);
  more |= pumpWork(quantum);
  pumpSolicited();
  return more;
}

void Session::setLuns(const std::vector<LunMapping>& mappings) {
  std::vector<std::unique_ptr<Lun>> luns;
  bool changed = false;
  for (const LunMapping& mapping : mappings) {
    VolumeViewRef view = host_.view(mapping.volume);
    if (!view) continue;
    auto lun = std::make_unique<Lun>();
    lun->number = mapping.lun;
    lun->view = std::move(view);
    lun->readOnly = mapping.readOnly;
    const Lun* old = findLun(mapping.lun);
    if (old != nullptr && old->view == lun->view) {
      lun->attentions = old->attentions;
    } else {
      lun->attentions.push_back(kPowerOn);
      // Another unit, or the same one opened anew with other settings: what INQUIRY told need not be so any more (SPC-4, 5.14).
      if (old != nullptr) lun->attentions.push_back(kInquiryChanged);
      changed = true;
    }
    luns.push_back(std::move(lun));
  }
  changed = (changed || luns.size() != luns_.size()) && !luns_.empty();
  luns_ = std::move(luns);
  // SPC-4, 6.33: the others tell the initiator that REPORT LUNS would answer differently now.
  for (const auto& lun : luns_) {
    if (changed && lun->attentions.empty()) lun->attentions.push_back(kLunsChanged);
  }
}

bool Session::sees(VolumeId volume) const {
  return std::any_of(luns_.begin(), luns_.end(), [&](const auto& lun) { return lun->view->volume->id == volume; });
}

void Session::raiseAttention(VolumeId volume, const Sense& sense) {
  for (const auto& lun : luns_) {
    if (lun->view->volume->id != volume) continue;
    auto& waiting = lun->attentions;
    if (std::find(waiting.begin(), waiting.end(), sense) != waiting.end()) continue;
    if (waiting.size() >= kAttentionsPerLun) waiting.pop_back();
    waiting.push_back(sense);
  }
}

Lun* Session::findLun(uint32_t number) {
  for (const auto& lun : luns_) {
    if (lun->number == number) return lun.get();
  }
  return nullptr;
}

bool Session::working() const {
  if (!readQueue_.empty() || !work_.empty() || zombies_ > 0) return true;
  const std::vector<Task*> all = tasks_.all();
  return std::any_of(all.begin(), all.end(), [](const Task* task) { return task->ioInFlight > 0; });
}

void Session::abandon() {
  if (abandoned_) return;
  ended_ = abandoned_ = true;
  abortAll();
}

void Session::abortAll() {
  held_.clear();
  for (Task* task : tasks_.all()) abort(*task, nullptr);
  host_.io().cancelHeld(*this);
}

void Session::receiveStopped() {
  Task* task = current_.task;
  Piece* piece = task != nullptr ? task->pieces : current_.piece;
  current_ = {};
  if (piece == nullptr || !piece->arriving) return;
  piece->arriving = false;
  release(*piece->task);
}

}  // namespace rackboot
