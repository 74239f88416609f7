//! Schism's command line.
