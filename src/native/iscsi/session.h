// The full-feature phase of one session (RFC 7143), which has one connection and lives on one thread. It does no I/O of its own:
// PDUs come from a framer, replies go to a send queue, transfers go to a BlockIo, the rest to its host.
#pragma once

#include <array>
#include <deque>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "events.h"
#include "iscsi/framer.h"
#include "iscsi/send-queue.h"
#include "iscsi/task.h"
#include "storage/io.h"

namespace rackboot {

/// Commands that an initiator may have outstanding: MaxCmdSN - ExpCmdSN + 1 when none is (RFC 7143, 4.2.2.1).
constexpr uint32_t kCommandWindow = 128;
/// Immediate commands, which the window does not bound (RFC 7143, 4.2.2.1.1: the target may reject more).
constexpr uint32_t kImmediateCommands = 32;
/// Text requests that wait for their answer from above.
constexpr uint32_t kTextRequestsUp = 8;
/// Data of a Text request or a ping.
constexpr uint32_t kTextBytes = 64 * 1024;
/// Data-out of a command that goes up; what is beyond it is never asked for.
constexpr uint32_t kPassUpBytes = 64 * 1024;
/// A READ fetches and sends this much at once, so that a large one neither hoards buffers nor leaves the cache before it is sent.
constexpr uint32_t kReadPieceBytes = 256 * 1024;
/// What one PRE-FETCH may have read ahead.
constexpr uint64_t kPrefetchBytes = 64 << 20;
/// The most that one R2T asks for, and the least that is worth one.
constexpr uint32_t kLargestSolicit = kLargestBlock;
constexpr uint32_t kSmallestSolicit = 64 * 1024;
/// Unit attentions that a LUN keeps for a session; further ones replace the last (SAM-5, 5.14 allows it).
constexpr size_t kAttentionsPerLun = 8;

/// The single-level LUN in the eight octets of a PDU (SAM-5, 4.7.7); kNoLun for what can be none of ours.
constexpr uint32_t kNoLun = UINT32_MAX;
uint32_t decodeLun(const uint8_t* field);

/// How a command ends whose I/O came back with this error.
Outcome outcomeOf(int error, IoKind kind);

enum class ResetKind : uint8_t { clearTaskSet, lunReset, coldReset };

struct SessionCounters {
  Counter commandsPassedUp, protocolErrors;
};

/// What a session needs of the connection and the thread that it lives on.
class SessionHost {
 public:
  virtual BufferPool& buffers() = 0;
  virtual BlockIo& io() = 0;
  virtual SendQueue& sendQueue() = 0;
  virtual SessionCounters& counters() = 0;
  /// Where what this session does is counted beside its volumes.
  virtual IoStats& account() = 0;
  /// CLOCK_MONOTONIC, nanoseconds: now, and when the octets came that are being parsed.
  virtual uint64_t nowNs() = 0;
  virtual uint64_t arrivedNs() = 0;
  virtual VolumeViewRef view(VolumeId volume) = 0;
  virtual void emit(Event&& event) = 0;
  /// Ends the connection after what is in the send queue.
  virtual void end(CloseReason reason, const char* detail) = 0;
  /// Something happened outside a receive: give the session a turn.
  virtual void wake() = 0;
  /// Sessions of this thread, which share its buffers.
  virtual uint32_t sessions() const = 0;
  /// When the last reference goes, managementDone() follows.
  virtual BarrierRef managementBarrier(uint32_t itt, TaskFunction function) = 0;
  /// Aborts the tasks of these volumes in every session of every thread.
  virtual void resetVolumes(const std::vector<VolumeId>& volumes, ResetKind kind, const BarrierRef& barrier) = 0;

 protected:
  ~SessionHost() = default;
};

class Session final : public IoOwner {
 public:
  Session(SessionHost& host, ConnectionId id, const SessionParameters& parameters, const std::vector<LunMapping>& luns);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // From the framer.
  Placement place(const uint8_t* header, uint32_t ahsBytes, uint32_t dataLength, const Received& received);
  bool whole(const uint8_t* header);
  /// The data segment that was just received does not match its digest.
  void dataDigestError(const uint8_t* header);

  /// Starts what waits for buffers or room in the send queue, at most about `quantum` octets of reads; true: there is more.
  bool pump(uint32_t quantum);
  /// Data-Out PDUs are on their way: their data should be received straight into place.
  bool expectsDataOut() const { return awaited_ > 0; }
  /// Something waits for a buffer.
  bool starving() const { return starving_ || stalled_; }

  /// iPXE ends a session in which a NOP-In asks for an answer (newer ones ignore it), and of the initiators that we know it is the one that
  /// says ImmediateData=No: who says so is left to TCP's keepalive.
  bool mayPing() const { return parameters_.immediateData && !parameters_.discovery && !ended_; }
  /// EDK2 says ImmediateData=Yes, takes a NOP-In only while a command of its own is under way, and never answers: silence tells something
  /// of those only that have sent a NOP-Out, be it an answer or a ping of their own.
  bool answersPings() const { return answersPings_; }
  /// Asks the initiator for a sign of life. Not while one is asked for.
  void pingInitiator();
  bool pinged() const { return pingTag_ != kNoTag; }

  void ioDone(IoRequest& request) override;

  // From above.
  void setLuns(const std::vector<LunMapping>& luns);
  void sendUp(std::vector<uint8_t> header, std::vector<uint8_t> data);
  void completeCommand(TaskId id, CommandResult&& result);
  void managementDone(uint32_t itt, TaskFunction function);

  // From other sessions.
  void raiseAttention(VolumeId volume, const Sense& sense);
  bool sees(VolumeId volume) const;
  void abortVolume(VolumeId volume, const BarrierRef& barrier);

  /// Aborts everything; nothing is answered any more.
  void abandon();
  /// Nothing is being received any more, so that the buffer of a Data-Out that was cut off can go.
  void receiveStopped();
  /// No I/O of it is in flight.
  bool idle() const { return zombies_ == 0 && tasks_.size() == 0; }
  /// Something is on its way that needs nothing more from the initiator or from above.
  bool working() const;

 private:
  /// A PDU between its header and its execution, which its CmdSN may delay.
  struct Incoming {
    std::array<uint8_t, kBhsBytes> header;
    std::vector<uint8_t> data;
    Task* task = nullptr;
    Piece* piece = nullptr;
    RejectReason reject = RejectReason::none;
    bool ignore = false;
  };

  // session.cc: PDUs in order.
  uint32_t maxCmdSn() const { return expCmdSn_ + kCommandWindow - 1 - active_; }
  bool inWindow(uint32_t cmdSn) const;
  Placement placeCommand(const uint8_t* header, uint32_t ahsBytes, uint32_t dataLength, const Received& received);
  RejectReason checkCommand(const uint8_t* header, uint32_t dataLength) const;
  Placement placeDataOut(const uint8_t* header, uint32_t dataLength);
  Placement placeText(uint32_t dataLength);
  void execute(Incoming& incoming);
  uint32_t nextTransferTag();
  void ping(Incoming& incoming);
  void passTextUp(Incoming& incoming);
  void logout(const Incoming& incoming);
  void answerLogout(uint32_t itt, uint8_t result);
  void loggedOut();
  void abortAll();
  void reject(const uint8_t* header, RejectReason reason);
  OutPdu* response(Opcode opcode, uint32_t itt, bool countsStatus);
  void protocolError(const char* detail);
  void end(CloseReason reason, const char* detail);

  // commands.cc: what a task is and how it ends.
  Task* makeTask(const uint8_t* header, uint32_t ahsBytes);
  void start(Task& task);
  void classify(Task& task);
  bool admits(const VolumeAccess& access, const CommandRow& row) const;
  Outcome classifyBlocks(Task& task, const CommandRow& row, const Lun& lun);
  void passUp(Task& task);
  void answerSense(Task& task, Lun& lun);
  void advance(Task& task);
  void flushOrFinish(Task& task);
  void finish(Task& task);
  void fail(Task& task, const Outcome& outcome);
  void leaveWindow(Task& task);
  void book(Task& task, Booked what, uint64_t bytes);
  void bookError(Task& task);
  void remove(Task& task);
  void release(Task& task);
  void sendResponse(Task& task, const std::vector<uint8_t>* sense);
  void putStatus(OutPdu* pdu, const Task& task) const;
  Lun* findLun(uint32_t number);

  // transfers.cc: the data of tasks.
  Piece* addPiece(Task& task, uint32_t start, uint32_t expected);
  void dropPiece(Piece& piece);
  void dropIdlePieces(Task& task);
  void complete(Piece& piece);
  void dataOutArrived(Piece& piece, const uint8_t* header, uint32_t dataLength);
  void moveOut(Piece& piece);
  bool pumpReads(uint32_t quantum);
  void wantData(Task& task);
  void pumpSolicited();
  bool solicit(Task& task);
  bool fetch(Task& task);
  void submit(Piece& piece, IoKind kind);
  void settled(Piece& piece);
  void sendData(Task& task, const uint8_t* data, uint32_t length, const BufferRef& buffer, std::vector<uint8_t> own);
  void enqueue(Task& task, std::deque<Task*>& queue);
  uint64_t readAhead() const;
  uint64_t share(Purpose purpose) const;
  bool mayKeep() const;
  BufferRef reserve(Purpose purpose, uint32_t length);
  void account(Piece& piece, Purpose purpose);

  // medium.cc: what works on the medium step by step.
  Outcome classifyMedium(Task& task, const CommandRow& row, BlockRange range, const Lun& lun);
  Outcome classifyUnmap(Task& task, const BlockRange& range, const Lun& lun);
  Outcome askFor(Task& task);
  Outcome parseUnmap(Task& task);
  void beginWork(Task& task);
  void addWork(Piece& piece);
  bool pumpWork(uint32_t quantum);
  void prepareStep(Piece& piece);
  void prepareCompare(Piece& piece);
  void prepareOr(Piece& piece);
  uint64_t workOf(const Piece& piece) const;
  void stepDone(Piece& piece);
  void takeTurns(Piece& piece);
  bool eraseDone(Piece& piece);
  bool verifyDone(Piece& piece);
  bool compareDone(Piece& piece);
  bool orDone(Piece& piece);
  void leaveWork(Piece& piece);

  // task-management.cc
  void manage(const Incoming& incoming);
  bool abortable(const uint8_t* header) const;
  void abortTask(const uint8_t* header, const BarrierRef& barrier);
  void skip(uint32_t cmdSn);
  void abort(Task& task, const BarrierRef& barrier);
  void resetVolumes(const std::vector<VolumeId>& volumes, ResetKind kind, const BarrierRef& barrier);
  void sendManagementResponse(uint32_t itt, TaskFunction function, TaskResponse result);
  std::vector<VolumeId> volumes() const;

  SessionHost& host_;
  SendQueue& out_;
  const ConnectionId id_;
  const SessionParameters parameters_;
  std::vector<std::unique_ptr<Lun>> luns_;
  TaskTable tasks_;
  std::unordered_map<uint32_t, Incoming> held_;  // came before an earlier CmdSN; by CmdSN
  std::deque<Task*> readQueue_;
  std::deque<Task*> solicitQueue_;
  std::deque<Piece*> work_;  // the first one's step is under way
  BufferRef scratch_;        // while there is work
  Incoming current_;
  uint32_t expCmdSn_;
  uint32_t statSn_;
  uint32_t active_ = 0;     // non-immediate tasks that are delivered and not answered
  uint32_t immediate_ = 0;  // immediate tasks
  uint32_t zombies_ = 0;    // aborted tasks whose I/O goes on
  uint32_t awaited_ = 0;    // pieces that wait for Data-Out
  uint32_t textUp_ = 0;
  uint32_t nextTtt_ = 1;
  uint32_t pingTag_ = kNoTag;                   // of the ping that is not answered
  uint64_t readsInFlight_ = 0;                  // octets
  std::array<uint64_t, kPurposes> reserved_{};  // octets of buffers that wait for Data-Out or are being written
  TaskId nextTaskId_ = 1;
  std::optional<uint32_t> logoutTag_;  // of a Logout that waits for what is in flight
  bool ended_ = false;                 // no further PDU is executed
  bool abandoned_ = false;             // and no task is left to be answered
  bool starving_ = false;              // reads or R2Ts wait for a buffer
  bool stalled_ = false;               // a command with data waits for one
  bool firstRead_ = false;
  bool answersPings_ = false;
};

}  // namespace rackboot
