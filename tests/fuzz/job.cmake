tomogrid_fuzz(job_lines_fuzz SOURCE fuzz/job_lines.cpp USES job)
