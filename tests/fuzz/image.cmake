tomogrid_fuzz(image_headers_fuzz SOURCE fuzz/image_headers.cpp USES image)
tomogrid_fuzz(image_interfile_fuzz SOURCE fuzz/image_interfile.cpp USES image)
tomogrid_fuzz(image_dicom_fuzz SOURCE fuzz/image_dicom.cpp USES image)
tomogrid_fuzz(image_nifti_fuzz SOURCE fuzz/image_nifti.cpp USES image)
