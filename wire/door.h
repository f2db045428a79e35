// One door of a serving role: a ROUTER, the monitor of its connections, and the guard. Private to this folder.
//
// A connection is known by its routing id, which ZeroMQ gives to each anew; the descriptor behind it is only for the guard, and
// is bound to the routing id when the first message comes (a message whose descriptor or key is not the bound one is dropped:
// routing ids can be chosen by a peer).
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>
#include <zmq.hpp>

#include "wire/transport.h"

namespace tomogrid::wire {

class Door final {
 public:
  Door(zmq::context_t& context, const certs::Identity& identity, const SocketPlan& plan, GuardLimits limits);

  // Returns the port. Throws Failure that names the address.
  std::uint16_t listen(const std::string& host, std::uint16_t port);
  zmq::socket_t& socket() { return router_; }
  zmq::socket_t& monitor() { return monitor_.reader(); }

  struct Arrival {
    std::string route;
    certs::TransportPublicKey key;
    Frames frames;                     // without the routing id
    std::uint64_t whole_size = 0;
    bool malformed = false;            // more frames than this door takes
  };
  // The next message of a connection that is there; nullopt: none now. `most`: frames without the routing id.
  std::optional<Arrival> receive(Instant now, std::size_t most);
  Sent send(const std::string& route, Frames frames);

  // Connections that went, whether they had spoken or not.
  struct Gone {
    std::string route;                 // empty: it never said anything
    Endpoint peer;
  };
  // Call look(), then receive() until it has nothing, then gone(): what a connection said before it went is heard first.
  void look(Instant now);
  std::vector<Gone> gone();

  void admitted(const std::string& route);
  // Ends the connection at `when`.
  void condemn(const std::string& route, Instant when, const std::string& reason);
  // Ends those whose time is up, and says whom and why.
  std::vector<Guard::Verdict> enforce(Instant now);
  std::optional<Instant> next_deadline() const;
  bool watched() const { return guard_.count() > 0; }
  std::string address_of(const std::string& route) const;

 private:
  struct Bound {
    int descriptor = -1;
    certs::TransportPublicKey key;
    bool gone = false;                 // disconnected; what it said before may still be queued
  };
  void see(Instant now, const Monitor::Happened& happened);
  bool belongs(const Arrival& arrival, int descriptor);

  zmq::socket_t router_;
  Monitor monitor_;
  Guard guard_;
  std::map<std::string, Bound> routes_;
  std::map<int, std::string> route_of_;
  std::vector<Gone> gone_;
};

}  // namespace tomogrid::wire
