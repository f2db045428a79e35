// An Identity from words rather than from a DICOM file. No DCMTK here: for the Interfile reader.
#pragma once

#include "image/files.h"

namespace tomogrid::image {

struct NamedPatient {
  std::string name, id, study_id, study_date;  // empty: not said. A date is YYYY:MM:DD or YYYYMMDD, else dropped
  PatientPosition position = PatientPosition::Unknown;
};
Identity named_identity(const NamedPatient& patient);

}  // namespace tomogrid::image
