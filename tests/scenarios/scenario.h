// Text scenarios: a federation of pure machines, told in lines that a non-programmer can read, run on the simulated
// network.
//
//   seed 7                              of latencies and ids; first line if at all (default 1)
//   registries 2 lease=3s               registry1, registry2; a second line with the same word adds more
//   nodes 3 cores=4,8,16 gflops=1       node1.. announce to every registry; "2" is short for node2
//   managers 1                          manager1.. watch every registry and place
//   clients 2                           client1.. ask manager1
//   advance 4s                          (ms, s, min)
//   partition 2 | partition 2 registry1     from all, or from one; heal 2 | heal 2 registry1
//   kill 2 | restart 2                  as kill -9; a restart has a later boot and is idle
//   withdraw 2                          a clean goodbye
//   free 3 2                            node 3 has 2 free cores now
//   drain 1 | undrain 1
//   place client1 17 cores=1..4         request 17; cores=0 or cores=2.. : as many as are free; service=NAME/VERSION
//   cancel client1 17
//   finish 17                           the job of request 17 ends at its node
//   expect listed 1 3                   exactly these, at every manager that runs
//   expect lost 2                       was listed, is not
//   expect placed 17 on 3 [cores=4]     its ticket names node 3
//   expect waiting 18 [position=1]
//   expect unplaceable 19
//   expect held 3 4                     cores that manager1 holds at node 3
//   expect reserved 3 4                 cores that node 3 itself has reserved
//   expect registered 2                 nodes that registry1 lists
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "manager/manager.h"
#include "registry/registry.h"
#include "support/sim.h"
#include "support/sim_members.h"

namespace tomogrid::test {

class Scenario final {
 public:
  explicit Scenario(std::uint64_t seed);

  // Carries out one line. Throws std::runtime_error: what was expected and what is, or what is wrong with the line.
  void run(const std::string& line);

 private:
  struct Words;
  struct Member {
    Sim::Host host = 0;
    std::unique_ptr<wire::Machine> machine;
    std::vector<std::unique_ptr<wire::Machine>> earlier;  // of runs before; the simulation may still hold their events
    std::uint64_t boot = 1;
    std::uint32_t cores = 0;
    double rate = 0;
    bool seen = false;  // listed at some time
  };
  void add_registries(const Words& words);
  void add_nodes(const Words& words);
  void add_managers(const Words& words);
  void add_clients(const Words& words);
  void place(const Words& words);
  void expect(const Words& words);
  Member& member(const std::string& name);
  AnnouncingNode& node(const std::string& name) { return dynamic_cast<AnnouncingNode&>(*member(name).machine); }
  std::unique_ptr<AnnouncingNode> make_node(const std::string& name, const Member& of);
  std::string name_of(const certs::MemberId& id) const;
  std::set<std::string> listed();
  void note_listed();
  const wire::Placed* placed(std::uint64_t request) const;

  Sim sim_;
  Members members_;
  std::vector<wire::Target> registries_;
  std::map<std::string, Member> all_;
  std::map<certs::MemberId, std::string> names_;
};

}  // namespace tomogrid::test
