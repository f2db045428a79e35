// What an Identity holds: a small DICOM data set made of allowed elements. Includes DCMTK: for image/dicom_*.cpp and
// identity.cpp only.
#pragma once

#include "image/dicom_dataset.h"

namespace tomogrid::image {

// Copies of the elements that are put back into a result: patient, study, frame of reference, acquisition date, how the
// patient lay, energy windows and radiopharmaceutical, the reference to the scan itself. Private elements are left
// behind. The top level ImagePositionPatient, if any, is Identity::origin().
struct Identity::Content {
  DcmDataset dataset;
};

Identity identity_of(DcmDataset& source, std::array<double, 3> origin);
PatientPosition position_in(DcmItem& dataset);
// Writes PatientOrientationCodeSequence and PatientGantryRelationshipCodeSequence. Unknown: empty sequences.
void put_position(DcmItem& dataset, PatientPosition position);
// Copies one element, if there, without private elements inside. Skips it when larger than `limit` bytes.
void copy_element(DcmItem& from, const DcmTagKey& tag, DcmItem& to, std::size_t limit = 16384);
// One item of a code sequence.
void put_code(DcmItem& item, const DcmTagKey& sequence, const char* value, const char* scheme, const char* meaning);

}  // namespace tomogrid::image
