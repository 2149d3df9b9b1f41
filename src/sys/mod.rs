//! Floor 0: the kernel, and nothing but.
