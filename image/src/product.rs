//! The images of the product.

use std::path::Path;

use crate::Image;

/// Where every program looks for the certificates of authorities.
const CERTIFICATES: &str = "etc/ssl/certs/ca-certificates.crt";

/// Nobody's: a controller needs no privilege.
const UNPRIVILEGED: &str = "65532:65532";

/// That of the agent, of a program that needs nothing beside it.
#[must_use]
pub fn agent(program: &Path, tag: &str) -> Image {
    Image::new(&format!("localhost/schism-agent:{tag}"))
        .program("usr/bin/schism-agent", program)
        .entrypoint(&["/usr/bin/schism-agent"])
}

/// That of controller and command line, of a program that needs nothing beside it, and the certificates of the
/// authorities that it trusts.
#[must_use]
pub fn controller(program: &Path, certificates: &Path, tag: &str) -> Image {
    Image::new(&format!("localhost/schism:{tag}"))
        .program("usr/bin/schism", program)
        .file(CERTIFICATES, certificates)
        .user(UNPRIVILEGED)
        .entrypoint(&["/usr/bin/schism"])
}
