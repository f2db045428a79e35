// One command at work as one member: its keys, journal, spool, machine and loop, and what interrupts it.
//
// Thread: everything on the thread that calls run(). Throws Failure when the world is broken.
#pragma once

#include <functional>
#include <memory>

#include "base/options.h"
#include "certs/member.h"
#include "client/client.h"
#include "client/journal.h"
#include "client/settings.h"
#include "client/streams.h"

namespace tomogrid::client {

class Session final {
 public:
  // Loads the member and opens its journal. Blocks SIGINT and SIGTERM in this process from here on: they come as
  // interrupted().
  explicit Session(const Arguments& arguments);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  const certs::Identity& identity() const;
  const Settings& settings() const;
  Journal& journal();
  Streams& streams();
  const Client& client() const;

  // Hears every update, before the effects that go with it are performed.
  std::function<void(const Update&)> on_update;
  // Ctrl-C (`asked` false: SIGTERM).
  std::function<void(bool asked)> on_interrupt;
  // A line typed on the terminal, while listen_to_terminal() is on.
  std::function<void(const std::string&)> on_line;
  void listen_to_terminal(bool on);

  // Asks something of the machine: soon, on this thread.
  void act(std::function<wire::Effects(Client&, const wire::Now&)> action);
  void after(std::chrono::milliseconds delay, std::function<void()> due);
  // Runs until stop().
  void run();
  void stop();

 private:
  struct Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace tomogrid::client
