//! The wire of Schism: gRPC definitions, generated code and conversions.
