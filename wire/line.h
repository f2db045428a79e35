// One connection that this member dialled: a DEALER of its own, its monitor, and the guard's watch over what is received and
// never delivered. Private to this folder.
#pragma once

#include <optional>
#include <string>
#include <zmq.hpp>

#include "wire/transport.h"

namespace tomogrid::wire {

class Line final {
 public:
  Line(zmq::context_t& context, const certs::Identity& identity, const certs::TransportPublicKey& server, const SocketPlan& plan,
       const std::string& host, std::uint16_t port, std::uint64_t undelivered_max);

  zmq::socket_t& socket() { return dealer_; }
  zmq::socket_t& monitor() { return monitor_.reader(); }
  // Call look(), then receive() until it has nothing, then fate().
  void look(Instant now);
  std::optional<Incoming> receive(std::size_t most);
  Sent send(Frames frames) { return wire::send(dealer_, frames); }
  // Why the connection is over; nullopt while it is not.
  const std::optional<std::string>& fate() const { return fate_; }
  // Looks at the bytes received; ends the connection when too many were never delivered.
  void enforce(Instant now);

 private:
  void lose(const std::string& reason) { if (!fate_) fate_ = reason; }
  std::string where_;
  zmq::socket_t dealer_;
  Monitor monitor_;
  Guard guard_;
  int descriptor_ = -1;
  std::optional<std::string> fate_;
};

}  // namespace tomogrid::wire
