#include "wire/line.h"

#include <zmq.h>

#include "base/result.h"

namespace tomogrid::wire {

namespace {

GuardLimits dialled(std::uint64_t undelivered_max) {
  GuardLimits limits;
  limits.undelivered_max = undelivered_max;
  return limits;
}

}  // namespace

Line::Line(zmq::context_t& context, const certs::Identity& identity, const certs::TransportPublicKey& server,
           const SocketPlan& plan, const std::string& host, std::uint16_t port, std::uint64_t undelivered_max)
    : where_(host + ":" + std::to_string(port)),
      dealer_(make_dealer(context, identity, server, plan)),
      monitor_(context, dealer_),
      guard_(dialled(undelivered_max)) {
  try {
    dealer_.connect("tcp://" + where_);
  } catch (const zmq::error_t& error) {
    throw Failure(ErrorCode::Unreachable, "cannot connect to " + where_ + ": " + error.what());
  }
}

void Line::look(Instant now) {
  while (const auto happened = monitor_.next()) {
    switch (happened->event) {
      case ZMQ_EVENT_CONNECTED:
        descriptor_ = happened->value;
        if (const auto peer = peer_of(descriptor_)) {
          guard_.accepted(now, descriptor_, *peer);
          guard_.admitted(descriptor_);
        }
        break;
      case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
        lose("refused at the door of " + where_ + ": the key is revoked, or has knocked too often; try again later");
        break;
      case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
      case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:
        lose("no secure connection with " + where_ + ": whoever listens there does not hold the key that was asked for");
        break;
      case ZMQ_EVENT_DISCONNECTED:
        lose("connection to " + where_ + " lost");
        break;
      case ZMQ_EVENT_CLOSED:
        lose("nobody listens at " + where_);
        break;
      default:
        break;
    }
  }
}

std::optional<Incoming> Line::receive(std::size_t most) {
  auto message = wire::receive(dealer_, most);
  if (message) guard_.delivered(descriptor_, message->whole_size);
  return message;
}

void Line::enforce(Instant now) {
  for (const Guard::Verdict& verdict : guard_.judge(now, bytes_read)) {
    lose(verdict.reason + " from " + where_);
    end_connection(verdict.descriptor, verdict.peer);
  }
}

}  // namespace tomogrid::wire
