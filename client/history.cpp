#include "client/history.h"

#include <algorithm>

namespace tomogrid::client {

std::vector<Record> all_records(Journal& journal) {
  std::vector<Record> records;
  for (const wire::Row& row : journal.recover().or_throw()) {
    if (row.table != "job") continue;
    if (auto record = decode_record(row.body)) records.push_back(*std::move(record));
  }
  std::stable_sort(records.begin(), records.end(),
                   [](const Record& a, const Record& b) { return a.created > b.created; });
  return records;
}

Result<Record> find_record(const std::vector<Record>& records, const std::string& text) {
  if (text.size() < 4)
    return Error{ErrorCode::Usage,
                 "job " + text + ": at least the first 4 digits of a job's id are needed; see tomogrid jobs"};
  const Record* found = nullptr;
  for (const Record& record : records) {
    if (!job::to_string(record.id).starts_with(text)) continue;
    if (found != nullptr) return Error{ErrorCode::Usage, "several jobs begin with " + text + "; give more digits"};
    found = &record;
  }
  if (found == nullptr)
    return Error{ErrorCode::NotFound, "no job " + text + " in this member's journal; see tomogrid jobs"};
  return *found;
}

}  // namespace tomogrid::client
