//! Which settings, and which controller, as people type it: for the commands that ask one.

use std::path::PathBuf;

use clap::Args;

use super::Host;
use crate::settings::{Address, ControllerSettings};

/// Which file of settings.
#[derive(Clone, Debug, Default, Args)]
pub struct ConfigArgs {
    /// The file of settings [default: schism.toml in $XDG_CONFIG_HOME/schism, then in /etc/schism]
    #[arg(long, value_name = "PATH", env = "SCHISM_CONFIG", global = true)]
    pub config: Option<PathBuf>,
}

/// Which controller, instead of the one that the settings name.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Through a controller")]
pub struct ControllerArgs {
    /// Ask the controller that listens there, unix:PATH or tcp:HOST:PORT, not this machine's agent
    #[arg(long, value_name = "ADDRESS", env = "SCHISM_CONTROLLER", global = true)]
    pub controller: Option<Address>,
    /// For which name the controller's certificate must be [default: the address's host]
    #[arg(long, value_name = "HOST", env = "SCHISM_SERVER_NAME", global = true)]
    pub server_name: Option<Host>,
    /// The certificate of the authority that signed the controller's
    #[arg(long, value_name = "PATH", env = "SCHISM_CA", global = true)]
    pub ca: Option<PathBuf>,
    /// Your own certificate; that of the controller for `schism serve`
    #[arg(long, value_name = "PATH", env = "SCHISM_CERTIFICATE", global = true)]
    pub certificate: Option<PathBuf>,
    /// Its key
    #[arg(long, value_name = "PATH", env = "SCHISM_KEY", global = true)]
    pub key: Option<PathBuf>,
}

impl ControllerArgs {
    /// What was typed, else what the environment says, else what the file says.
    #[must_use]
    pub fn over(self, file: ControllerSettings) -> ControllerSettings {
        ControllerSettings {
            address: self.controller.or(file.address),
            server_name: self.server_name.map(|host| host.0).or(file.server_name),
            ca: self.ca.or(file.ca),
            certificate: self.certificate.or(file.certificate),
            key: self.key.or(file.key),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, FromArgMatches, Parser};

    use super::*;

    #[derive(Debug, Parser)]
    struct Typed {
        #[command(flatten)]
        config: ConfigArgs,
        #[command(flatten)]
        controller: ControllerArgs,
    }

    #[test]
    fn what_is_typed_wins_over_the_file() {
        let line = ["x", "--controller", "tcp:c1:7070", "--key", "k"];
        let typed = Typed::try_parse_from(line).unwrap();
        assert_eq!(typed.config.config, None);
        let file = ControllerSettings {
            address: Some("unix:/run/x".parse().unwrap()),
            ca: Some("/ca.pem".into()),
            key: Some("/file.key".into()),
            ..ControllerSettings::default()
        };
        let merged = typed.controller.over(file);
        let expected = ControllerSettings {
            address: Some("tcp:c1:7070".parse().unwrap()),
            ca: Some("/ca.pem".into()),
            key: Some("k".into()),
            ..ControllerSettings::default()
        };
        assert_eq!(merged, expected);
    }

    #[test]
    fn the_environment_has_a_word_for_each() {
        let command = Typed::command();
        let words: Vec<_> =
            command.get_arguments().filter_map(|arg| arg.get_env()?.to_str()).collect();
        assert_eq!(
            words,
            [
                "SCHISM_CONFIG",
                "SCHISM_CONTROLLER",
                "SCHISM_SERVER_NAME",
                "SCHISM_CA",
                "SCHISM_CERTIFICATE",
                "SCHISM_KEY",
            ]
        );
        let wrong = command.try_get_matches_from(["x", "--controller", "c1:7070"]).unwrap_err();
        assert!(wrong.to_string().contains("unix:PATH or tcp:HOST:PORT"), "{wrong}");
        assert!(Typed::from_arg_matches(&Typed::command().get_matches_from(["x"])).is_ok());
    }
}
