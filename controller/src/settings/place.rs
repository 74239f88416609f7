//! Where `schism.toml` is looked for.

use std::env;
use std::path::PathBuf;

/// Whose settings they are, when no file is named. The working directory is never one of them: what
/// somebody left there must not decide what is broken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// `XDG_CONFIG_HOME`.
    pub config_home: Option<PathBuf>,
    /// `HOME`, whose `.config` is meant without the other.
    pub home: Option<PathBuf>,
    /// The machine's settings; `/etc/schism/schism.toml`.
    pub machine: Option<PathBuf>,
}

impl Places {
    /// As the environment has it.
    #[must_use]
    pub fn of_the_environment() -> Self {
        let path = |name| env::var_os(name).map(PathBuf::from);
        Self {
            config_home: path("XDG_CONFIG_HOME"),
            home: path("HOME"),
            machine: Some("/etc/schism/schism.toml".into()),
        }
    }

    /// The files, the first one that is there counts.
    #[must_use]
    pub fn paths(&self) -> Vec<PathBuf> {
        // Paths that are not absolute are to be ignored (XDG Base Directory Specification 0.8): they
        // would begin at the working directory.
        let absolute = |path: &Option<PathBuf>| path.clone().filter(|path| path.is_absolute());
        let home = || absolute(&self.home).map(|home| home.join(".config"));
        let own = absolute(&self.config_home).or_else(home);
        let own = own.map(|config| config.join("schism/schism.toml"));
        own.into_iter().chain(self.machine.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_working_directory_is_no_place() {
        let own = |path: &str| vec![PathBuf::from(path), PathBuf::from("/etc/schism/schism.toml")];
        let machine = vec![PathBuf::from("/etc/schism/schism.toml")];
        let table = [
            (Some("/x"), Some("/home/ada"), own("/x/schism/schism.toml")),
            (None, Some("/home/ada"), own("/home/ada/.config/schism/schism.toml")),
            (Some(""), Some("/home/ada"), own("/home/ada/.config/schism/schism.toml")),
            (Some("here"), Some("there"), machine.clone()),
            (None, None, machine),
        ];
        for (config_home, home, expected) in table {
            let places = Places {
                config_home: config_home.map(PathBuf::from),
                home: home.map(PathBuf::from),
                machine: Some("/etc/schism/schism.toml".into()),
            };
            assert_eq!(places.paths(), expected, "{places:?}");
        }
    }
}
