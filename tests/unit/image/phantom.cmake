# The phantom's own test program, apart from the files' (tests/unit/image/CMakeLists.txt).
tomogrid_test(phantom_test SOURCES phantom_test.cpp phantom_truth_test.cpp USES image LABELS unit pure TIMEOUT 300)
