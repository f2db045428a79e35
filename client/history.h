// The journal as commands read it: which job is meant, and where it stands.
#pragma once

#include <string>
#include <vector>

#include "client/journal.h"
#include "client/record.h"

namespace tomogrid::client {

// Newest first. Rows that cannot be read are left out. Throws Failure (Storage).
std::vector<Record> all_records(Journal& journal);
// By the first digits of its id (4 at least). NotFound, or Usage when several jobs begin so.
Result<Record> find_record(const std::vector<Record>& records, const std::string& text);

}  // namespace tomogrid::client
