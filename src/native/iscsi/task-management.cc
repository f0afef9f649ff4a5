// Task management functions (RFC 7143, 11.5; SAM-5, 7), and what they do to tasks.
#include <algorithm>
#include <cassert>

#include "iscsi/session.h"

namespace rackboot {

void Session::manage(const Incoming& incoming) {
  const uint8_t* header = incoming.header.data();
  const uint32_t itt = get32(header + kIttAt);
  const auto function = static_cast<TaskFunction>(header[1] & 0x7f);
  uint8_t lunField[8];
  std::copy_n(header + kLunAt, sizeof lunField, lunField);
  const Lun* lun = findLun(decodeLun(lunField));
  const bool unitKnown = lun != nullptr && !lun->view->closed;
  switch (function) {
    case TaskFunction::abortTask:
    case TaskFunction::abortTaskSet:
    case TaskFunction::clearTaskSet:
    case TaskFunction::lunReset:
      if (!unitKnown) return sendManagementResponse(itt, function, TaskResponse::lunDoesNotExist);
      break;
    case TaskFunction::targetWarmReset:
    case TaskFunction::targetColdReset: break;
    case TaskFunction::taskReassign: return sendManagementResponse(itt, function, TaskResponse::reassignNotSupported);
    default: return sendManagementResponse(itt, function, TaskResponse::notSupported);
  }
  if (function == TaskFunction::abortTask && !abortable(header)) {
    return sendManagementResponse(itt, function, TaskResponse::taskDoesNotExist);
  }
  // Each task that is aborted with I/O in flight holds the barrier: the response says that nothing of it comes any more.
  BarrierRef barrier = host_.managementBarrier(itt, function);
  switch (function) {
    case TaskFunction::abortTask: abortTask(header, barrier); break;
    case TaskFunction::abortTaskSet:
      for (Task* task : tasks_.all()) {
        if (task->delivered && task->view == lun->view) abort(*task, barrier);
      }
      host_.io().cancelHeld(*this);
      break;
    case TaskFunction::clearTaskSet: host_.resetVolumes({lun->view->volume->id}, ResetKind::clearTaskSet, barrier); break;
    case TaskFunction::lunReset: resetVolumes({lun->view->volume->id}, ResetKind::lunReset, barrier); break;
    case TaskFunction::targetWarmReset: resetVolumes(volumes(), ResetKind::lunReset, barrier); break;
    default: resetVolumes(volumes(), ResetKind::coldReset, barrier); break;
  }
}

/// What else a reset undoes (SAM-5, 6.3.3) is kept above: reservations of RESERVE(6), mode parameters.
void Session::resetVolumes(const std::vector<VolumeId>& volumes, ResetKind kind, const BarrierRef& barrier) {
  for (const VolumeId volume : volumes) {
    Event event(EventType::volumeReset, id_);
    event.volume = volume;
    host_.emit(std::move(event));
  }
  host_.resetVolumes(volumes, kind, barrier);
}

/// RFC 7143, 11.5.5 and 11.6.1: a task that is here, or one whose command has not come yet.
bool Session::abortable(const uint8_t* header) const {
  const Task* task = tasks_.find(get32(header + kReferencedTaskAt));
  if (task != nullptr) return std::equal(task->lunField, task->lunField + sizeof task->lunField, header + kLunAt);
  const uint32_t cmdSn = get32(header + kReferencedCmdSnAt);
  return inWindow(cmdSn) && !held_.contains(cmdSn);
}

void Session::abortTask(const uint8_t* header, const BarrierRef& barrier) {
  Task* task = tasks_.find(get32(header + kReferencedTaskAt));
  // Not here yet, or lost: its place in the order is taken, so that the tasks behind it do not wait for ever.
  if (task == nullptr) return skip(get32(header + kReferencedCmdSnAt));
  if (!task->delivered) skip(task->cmdSn);
  abort(*task, barrier);
  host_.io().cancelHeld(*this);
}

/// The command of this number is not executed when its turn comes.
void Session::skip(uint32_t cmdSn) {
  Incoming nothing{};
  nothing.ignore = true;
  held_.insert_or_assign(cmdSn, std::move(nothing));
}

void Session::abort(Task& task, const BarrierRef& barrier) {
  task.barrier = barrier;
  // What waits for a volume to be thawed need not: see cancelHeld().
  for (Piece* piece = task.pieces; piece != nullptr; piece = piece->next) piece->unwanted = true;
  remove(task);
}

void Session::abortVolume(VolumeId volume, const BarrierRef& barrier) {
  for (Task* task : tasks_.all()) {
    if (task->delivered && task->view && task->view->volume->id == volume) abort(*task, barrier);
  }
  host_.io().cancelHeld(*this);
}

void Session::managementDone(uint32_t itt, TaskFunction function) {
  if (ended_) return;
  sendManagementResponse(itt, function, TaskResponse::complete);
  if (function == TaskFunction::targetColdReset) end(CloseReason::dropped, "target cold reset");
  host_.wake();
}

void Session::sendManagementResponse(uint32_t itt, TaskFunction function, TaskResponse result) {
  OutPdu* pdu = response(Opcode::taskManagementResponse, itt, true);
  pdu->header[2] = static_cast<uint8_t>(result);
  out_.push(pdu);
  Event event(EventType::taskManagement, id_);
  event.function = static_cast<uint8_t>(function);
  event.response = static_cast<uint8_t>(result);
  host_.emit(std::move(event));
}

std::vector<VolumeId> Session::volumes() const {
  std::vector<VolumeId> out;
  for (const auto& lun : luns_) out.push_back(lun->view->volume->id);
  return out;
}

}  // namespace rackboot
