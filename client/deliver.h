// From verified outputs in the spool to the files that the user asked for, with the identity put back.
#pragma once

#include <string>
#include <vector>

#include "client/journal.h"
#include "client/record.h"
#include "client/streams.h"
#include "image/image.h"

namespace tomogrid::client {

// The outputs of `record`'s winner are complete in the spool.
bool outputs_are_here(const Streams& streams, const Record& record);

// The volume as its header and data say. BadInput when these contradict each other.
Result<image::Volume> volume_of(const Streams& streams, const Record& record);
// A small output as text.
Result<std::string> output_text(const Streams& streams, const Record& record, const std::string& name);

// Writes every output; beside the first one the standard deviations if they were asked for (volume.nii.gz gives
// volume.deviation.nii.gz; a picture or a DICOM would pass for the volume) and what was computed (volume.passport.json);
// then the receipt; each by fsync and rename. On failure what was written stays and the job can be delivered again.
// Returns the names of the files, receipt last.
Result<std::vector<std::string>> deliver(const Streams& streams, const Record& record, const std::string& node_name,
                                         const Delivery& delivery);

// Says no before anything is computed: an extension that cannot be written, a folder that is not there or not writable.
Result<void> can_deliver(const Delivery& delivery);

}  // namespace tomogrid::client
