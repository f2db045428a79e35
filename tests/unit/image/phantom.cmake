# The phantom's own test programs, apart from the files' (tests/unit/image/CMakeLists.txt).
tomogrid_test(phantom_test SOURCES phantom_test.cpp phantom_truth_test.cpp USES image LABELS unit pure heavy TIMEOUT 300)
tomogrid_test(phantom_files_test SOURCES phantom_files_test.cpp USES image LABELS unit)
