// What the data plane tells its owner, and the values that cross the door. No Node-API in here.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "storage/volume.h"

namespace rackboot {

using ConnectionId = uint64_t;
using TaskId = uint64_t;

/// See src/native/data-plane.ts.
struct SessionParameters {
  bool discovery = false;
  uint32_t maxSendDataSegmentLength = 8192;
  uint32_t maxRecvDataSegmentLength = 8192;
  uint32_t maxBurstLength = 262144;
  uint32_t firstBurstLength = 65536;
  uint32_t maxOutstandingR2T = 1;
  bool initialR2T = true;
  bool immediateData = true;
  bool headerDigest = false;
  bool dataDigest = false;
  uint32_t statSn = 0;
  uint32_t expCmdSn = 0;
};

struct LunMapping {
  uint32_t lun = 0;
  VolumeId volume = 0;
  bool readOnly = false;
};

struct CommandResult {
  uint8_t status = 0;
  std::vector<uint8_t> data;
  std::vector<uint8_t> sense;
};

enum class CloseReason : uint8_t {
  peerClosed,
  logout,
  dropped,
  ioError,
  protocolError,
  digestError,
  loginTimeout,
  keepalive,
  shutdown,
};

enum class EventType : uint8_t {
  accepted,
  pdu,
  command,
  firstRead,
  closed,
  volumeFailed,
  volumeFull,
  volumeReset,
  volumeMapped,
  taskManagement,
  settled,  // a promise of the door: `request` and `error`
  stopped,  // a thread has ended
};

struct Event {
  explicit Event(EventType kind, ConnectionId of = 0) : type(kind), connection(of) {}
  EventType type;
  ConnectionId connection;
  uint32_t portal = 0;
  std::string address, localAddress;  // accepted
  uint16_t port = 0, localPort = 0;
  std::vector<uint8_t> header, data;  // pdu; command: CDB and data-out
  TaskId task = 0;
  uint32_t lun = 0;
  bool hasVolume = false;
  VolumeId volume = 0;
  uint32_t expectedDataLength = 0;
  CloseReason reason = CloseReason::peerClosed;
  std::string detail;
  uint8_t function = 0, response = 0;
  uint64_t request = 0;
  int error = 0;
  uint64_t sharedBytes = 0, elapsedNs = 0;  // volumeMapped
};

/// Takes what a thread has to tell. Called by every data thread; the events of one connection always come from the same one.
class EventSink {
 public:
  virtual void deliver(std::vector<Event>&& events) = 0;

 protected:
  ~EventSink() = default;
};

}  // namespace rackboot
