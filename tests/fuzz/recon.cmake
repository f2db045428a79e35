tomogrid_fuzz(recon_checkpoint_fuzz SOURCE fuzz/recon_checkpoint.cpp USES recon)
