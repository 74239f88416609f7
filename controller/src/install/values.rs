//! What differs from cluster to cluster: given for a manifest, open in a chart.

use serde_json::{Value, json};

use crate::cli::InstallArgs;
use crate::settings::AgentsBy;

/// What begins and ends an expression of a template among texts.
pub(super) const OPEN: &str = "\u{2039}";
pub(super) const CLOSE: &str = "\u{203a}";

/// One of the values of the chart.
pub(super) struct Setting {
    /// Its name, with `.` between its parts.
    pub(super) path: &'static str,
    /// What it is, for people.
    pub(super) about: &'static str,
    /// What it is where nothing is said.
    pub(super) default: Value,
    /// What it may be (JSON Schema).
    pub(super) schema: Value,
}

/// The values of an installation.
pub(super) struct Values {
    from: Source,
    /// How agents show who they are.
    pub(super) agents_by: AgentsBy,
}

/// Where values come from.
enum Source {
    /// They are known.
    Given {
        /// Where everything is.
        namespace: String,
        /// Where the images are.
        registry: String,
        /// Their tag.
        tag: String,
        /// What schism.toml of the controllers says.
        settings: String,
        /// Where experiments may run as Jobs.
        experiments: Vec<String>,
        /// Whether agents hand over packets.
        captures: bool,
    },
    /// They are filled in by Helm.
    Chart,
}

/// All values but those of which the chart knows itself.
pub(super) fn settings() -> Vec<Setting> {
    let text = || json!({ "type": "string", "minLength": 1 });
    let object = || json!({ "type": "object" });
    let resources = |cpu: &str, memory: &str, most: &str| json!({ "requests": { "cpu": cpu, "memory": memory }, "limits": { "memory": most } });
    vec![
        Setting {
            path: "registry",
            about: "Where the images are; `cargo xtask image` names them so.",
            default: json!("localhost"),
            schema: text(),
        },
        Setting {
            path: "tag",
            about: "The tag of both images.",
            default: json!(env!("CARGO_PKG_VERSION")),
            schema: text(),
        },
        Setting {
            path: "imagePullPolicy",
            about: "When nodes fetch the images.",
            default: json!("IfNotPresent"),
            schema: json!({ "enum": ["Always", "IfNotPresent", "Never"] }),
        },
        Setting {
            path: "imagePullSecrets",
            about: "With what they fetch them.",
            default: json!([]),
            schema: json!({ "type": "array", "items": { "type": "object" } }),
        },
        Setting {
            path: "logFormat",
            about: "How agents write logs: text or json.",
            default: json!("json"),
            schema: json!({ "enum": ["text", "json"] }),
        },
        Setting {
            path: "podMonitor",
            about: "Whether there is a PodMonitor for the controller (Prometheus Operator).",
            default: json!(false),
            schema: json!({ "type": "boolean" }),
        },
        Setting {
            path: "agentsBy",
            about: "How agents show who they are: token (of their ServiceAccount) or certificate (which you make).",
            default: json!("token"),
            schema: json!({ "enum": ["token", "certificate"] }),
        },
        Setting {
            path: "allow.pods",
            about: "With tokens: whether controllers may delete and evict pods (schism pod, schism node drain).",
            default: json!(false),
            schema: json!({ "type": "boolean" }),
        },
        Setting {
            path: "allow.nodes",
            about: "With tokens: whether controllers may cordon nodes (schism node).",
            default: json!(false),
            schema: json!({ "type": "boolean" }),
        },
        Setting {
            path: "experiments",
            about: "With tokens: the namespaces in which experiments that are objects may run as Jobs.",
            default: json!([]),
            schema: json!({ "type": "array", "items": { "type": "string", "minLength": 1 } }),
        },
        Setting {
            path: "agent.secret",
            about: "With certificates: the Secret with ca.pem, and NODE.pem and NODE.key for each node.",
            default: json!("schism-agents"),
            schema: text(),
        },
        Setting {
            path: "agent.resources",
            about: "What agents take; programs in kernels count, too.",
            default: resources("10m", "32Mi", "512Mi"),
            schema: object(),
        },
        Setting {
            path: "agent.nodeSelector",
            about: "On which nodes there are agents.",
            default: json!({ "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64" }),
            schema: object(),
        },
        Setting {
            path: "agent.tolerations",
            about: "Which taints they bear: all.",
            default: json!([{ "operator": "Exists" }]),
            schema: json!({ "type": "array", "items": { "type": "object" } }),
        },
        Setting {
            path: "agent.priorityClassName",
            about: "Whom they give way to: nobody.",
            default: json!("system-node-critical"),
            schema: text(),
        },
        Setting {
            path: "agent.allowCapture",
            about: "Whether they hand over packets of pods (NET_RAW); the controller's settings have to say so, too.",
            default: json!(false),
            schema: json!({ "type": "boolean" }),
        },
        Setting {
            path: "controller.secret",
            about: "With certificates: the Secret with ca.pem, controller.pem, controller.key and issued.",
            default: json!("schism-controller"),
            schema: text(),
        },
        Setting {
            path: "controller.replicas",
            about: "With tokens: how many controllers there are, of which one leads.",
            default: json!(2),
            schema: json!({ "type": "integer", "minimum": 1, "maximum": 9 }),
        },
        Setting {
            path: "controller.resources",
            about: "What the controller takes.",
            default: resources("50m", "64Mi", "512Mi"),
            schema: object(),
        },
        Setting {
            path: "controller.state",
            about: "The volume of the archive, and with certificates of the store; the default goes with the pod.",
            default: json!({ "emptyDir": {} }),
            schema: json!({ "type": "object", "minProperties": 1, "maxProperties": 1 }),
        },
        Setting {
            path: "controller.settings",
            about: "What schism.toml of the controllers says: guards, limits, clusters of etcd and Zeebe.",
            default: json!(""),
            schema: json!({ "type": "string" }),
        },
        Setting {
            path: "controller.nodeSelector",
            about: "On which nodes it may be.",
            default: json!({ "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64" }),
            schema: object(),
        },
        Setting {
            path: "controller.tolerations",
            about: "Which taints it bears.",
            default: json!([]),
            schema: json!({ "type": "array", "items": { "type": "object" } }),
        },
    ]
}

impl Values {
    /// What was typed, and the settings that were read.
    pub(super) fn given(args: &InstallArgs, settings: String) -> Self {
        let from = Source::Given {
            namespace: args.namespace.clone(),
            registry: args.registry.clone(),
            tag: args.tag.clone(),
            settings,
            experiments: args.experiments.clone(),
            captures: args.allow_capture,
        };
        Self { from, agents_by: args.agents_by }
    }

    /// Those that Helm fills in.
    pub(super) const fn of_chart(agents_by: AgentsBy) -> Self {
        Self { from: Source::Chart, agents_by }
    }

    /// A value by its path.
    pub(super) fn get(&self, path: &str) -> Value {
        match self.from {
            Source::Given { .. } => {
                let known = settings().into_iter().find(|setting| setting.path == path);
                known.map_or(Value::Null, |setting| setting.default)
            }
            Source::Chart => expression(&format!(".Values.{path}")),
        }
    }

    /// Where everything is.
    pub(super) fn namespace(&self) -> Value {
        match &self.from {
            Source::Given { namespace, .. } => json!(namespace),
            Source::Chart => expression(".Release.Namespace"),
        }
    }

    /// What something is called that is in no namespace: another installation has another name.
    pub(super) fn in_cluster(&self, name: &str) -> Value {
        match &self.from {
            Source::Given { namespace, .. } => json!(format!("schism:{namespace}:{name}")),
            Source::Chart => {
                expression(&format!(r#"printf "schism:%s:{name}" .Release.Namespace"#))
            }
        }
    }

    /// The image of this name.
    pub(super) fn image(&self, name: &str) -> Value {
        match &self.from {
            Source::Given { registry, tag, .. } => json!(format!("{registry}/{name}:{tag}")),
            Source::Chart => {
                expression(&format!(r#"printf "%s/{name}:%s" .Values.registry .Values.tag"#))
            }
        }
    }

    /// A volume of this name, of what a value says it is.
    pub(super) fn volume(&self, name: &str, path: &str) -> Value {
        match self.from {
            Source::Given { .. } => {
                let mut volume = self.get(path);
                volume["name"] = json!(name);
                volume
            }
            Source::Chart => expression(&format!(r#"merge (dict "name" "{name}") .Values.{path}"#)),
        }
    }

    /// Where experiments may run as Jobs, with commas.
    pub(super) fn experiments(&self) -> Value {
        match &self.from {
            Source::Given { experiments, .. } => json!(experiments.join(",")),
            Source::Chart => expression(r#"join "," .Values.experiments"#),
        }
    }

    /// The same one by one, where they are known.
    pub(super) fn spaces(&self) -> &[String] {
        match &self.from {
            Source::Given { experiments, .. } => experiments,
            Source::Chart => &[],
        }
    }

    /// Whether agents hand over packets, as their environment says it.
    pub(super) fn captures(&self) -> Value {
        match &self.from {
            Source::Given { captures, .. } => json!(captures.to_string()),
            Source::Chart => expression("toString .Values.agent.allowCapture"),
        }
    }

    /// What agents may: this always, and what captures take where there are any.
    pub(super) fn capabilities(&self, always: &[&str]) -> Value {
        const CAPTURE: &str = "NET_RAW";
        match &self.from {
            Source::Given { captures, .. } => {
                let more = captures.then_some(CAPTURE);
                json!(always.iter().copied().chain(more).collect::<Vec<_>>())
            }
            Source::Chart => {
                let always: Vec<String> = always.iter().map(|one| format!("{one:?}")).collect();
                expression(&format!(
                    r#"concat (list {}) (ternary (list "{CAPTURE}") (list) .Values.agent.allowCapture)"#,
                    always.join(" ")
                ))
            }
        }
    }

    /// What schism.toml of the controllers says.
    pub(super) fn settings(&self) -> Value {
        match &self.from {
            Source::Given { settings, .. } => json!(settings),
            Source::Chart => expression(".Values.controller.settings"),
        }
    }

    /// The same in a word (SHA-256), which is another one when it says something else.
    pub(super) fn settings_digest(&self) -> Value {
        match &self.from {
            Source::Given { settings, .. } => {
                let digest = ring::digest::digest(&ring::digest::SHA256, settings.as_bytes());
                let digits = digest.as_ref().iter().map(|byte| format!("{byte:02x}"));
                json!(digits.collect::<String>())
            }
            Source::Chart => expression(".Values.controller.settings | sha256sum"),
        }
    }

    /// The name of a service of the namespace, as everybody in the cluster finds it.
    pub(super) fn service(&self, name: &str, port: u16) -> Value {
        match &self.from {
            Source::Given { namespace, .. } => json!(format!("{name}.{namespace}.svc:{port}")),
            Source::Chart => {
                expression(&format!(r#"printf "{name}.%s.svc:{port}" .Release.Namespace"#))
            }
        }
    }
}

/// What Helm fills in.
pub(super) fn expression(text: &str) -> Value {
    Value::String(format!("{OPEN}{text}{CLOSE}"))
}
