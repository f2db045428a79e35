#include "client/commands.h"

namespace tomogrid::client {

std::vector<Command> client_commands() {
  return {recon_command(),  qa_check_command(),  nodes_command(),     jobs_command(),
          attach_command(), cancel_command(),    explain_command(),   verify_command(),
          up_command(),     drain_command(true), drain_command(false)};
}

}  // namespace tomogrid::client
