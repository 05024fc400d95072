"""The board lab: Debian boards under qemu, with the kernel's own drivers and our package."""
