"""The IPVS table: `base` is the seam, `kernel` and `memory` fulfil it, `codec` knows every oddity of the kernel."""
