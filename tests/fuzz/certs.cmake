tomogrid_fuzz(certs_bodies_fuzz SOURCE fuzz/certs_bodies.cpp USES certs)
tomogrid_fuzz(certs_files_fuzz SOURCE fuzz/certs_files.cpp USES certs)
