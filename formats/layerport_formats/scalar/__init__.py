"""What the targets without vectors share (Rust, Go, Java): one memory for each type of element,
functions over it, and ports that are copied in and out."""
