//! The images of the product.

use std::path::Path;

use crate::Image;

/// Where every program looks for the certificates of authorities.
const CERTIFICATES: &str = "etc/ssl/certs/ca-certificates.crt";

/// The same program under the name by which it is a plugin of kubectl, for steps and Jobs in a cluster.
const PLUGIN: &str = "usr/bin/kubectl-schism";

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
        .link(PLUGIN, "schism")
        .file(CERTIFICATES, certificates)
        .user(UNPRIVILEGED)
        .entrypoint(&["/usr/bin/schism"])
}

#[cfg(test)]
mod tests {
    use std::{fs, process::Command};

    use serde_json::Value;

    use super::*;

    #[test]
    fn the_command_is_in_the_controllers_image_by_both_of_its_names() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("schism"), "a program").unwrap();
        fs::write(at("certificates"), "").unwrap();
        controller(&at("schism"), &at("certificates"), "1").write(&at("image.tar")).unwrap();
        let tar = |arguments: &[&str]| {
            let output = Command::new("tar").args(arguments).current_dir(directory.path()).output();
            let output = output.unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        };
        let manifest: Value =
            serde_json::from_str(&tar(&["-xOf", "image.tar", "manifest.json"])).unwrap();
        let layer = manifest[0]["Layers"][0].as_str().unwrap();
        tar(&["-xf", "image.tar", layer]);
        tar(&["-xf", layer]);
        assert_eq!(fs::read_link(at(PLUGIN)).unwrap(), Path::new("schism"));
        assert_eq!(fs::read_to_string(at(PLUGIN)).unwrap(), "a program");
    }
}
