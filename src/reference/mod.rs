//! f64 twins of the kernels.
