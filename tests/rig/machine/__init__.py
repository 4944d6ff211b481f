"""The place where the rig's tests run: a virtual machine, or fresh namespaces of this kernel. Standard library only."""
