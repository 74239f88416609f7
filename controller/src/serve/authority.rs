//! The authority of a controller in a cluster: a Secret keeps it, a ConfigMap shows it to agents, and it is
//! renewed long before it ends.
//!
//! All replicas share it. Each signs its own certificate, which is kept nowhere.

use std::time::{Duration, SystemTime};

use cluster::{
    ApiError, Candidate, Client, ConfigMap, Leadership, Metadata, Name, Namespace, Reason,
    SecretObject, Within,
};
use link::{ControllerName, Principal, ServerName};
use serde_json::json;

use crate::certs::{Authority, CertsError, Subject, make_authority, span};
use crate::cli::{Days, Host};

/// The Secret in which the authority is kept.
const SECRET: &str = "schism-authority";
/// The ConfigMap by which it is shown.
const SHOWN: &str = "schism-ca";
/// The key of the ConfigMap.
const SHOWN_AS: &str = "ca.pem";
/// What a controller's certificate is for.
const SERVICE: &str = "schism-controller";

/// How long the lead is left to a controller that does not say that it is there. The next one has to lead, and
/// agents have to find it, before the leases of faults end (15 s).
const TURN: Duration = Duration::from_secs(5);

const DAY: Duration = Duration::from_secs(24 * 3600);
/// How long a new authority is shown before it signs: a ConfigMap reaches pods within some minutes.
const SPREADS: Duration = DAY;
/// How long a certificate of a controller lasts.
const CERTIFICATE_DAYS: u16 = 30;
/// How often another replica may be quicker before it is given up.
const TRIES: usize = 8;

/// Where the authority is kept.
#[derive(Clone, Debug)]
pub struct House {
    /// Who asks.
    pub client: Client,
    /// The namespace of the controller.
    pub namespace: Namespace,
}

/// A certificate and its key, both PEM.
pub(super) struct Signed {
    pub(super) certificate: String,
    pub(super) key: String,
}

/// Why a controller has no certificate.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// It could not be read or kept.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// It could not be made, or is damaged.
    #[error("the authority in Secret {SECRET} of namespace {namespace}: {reason}")]
    Authority {
        /// Where it is kept.
        namespace: Namespace,
        /// What is wrong.
        reason: String,
    },
    /// Others changed it again and again.
    #[error(
        "the authority in Secret {SECRET} of namespace {0} is changed by others again and again"
    )]
    Contended(Namespace),
}

/// What is kept: authorities as PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Kept {
    /// Which signs.
    current: Pair,
    /// Which will, and is shown already.
    next: Option<Pair>,
    /// The certificate of the one before, by which replicas may still have theirs; empty for none.
    earlier: String,
}

#[derive(Clone, PartialEq, Eq)]
struct Pair {
    certificate: String,
    key: String,
}

impl std::fmt::Debug for Pair {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pair").finish_non_exhaustive()
    }
}

impl House {
    /// Waits for its turn: of all controllers of this house one leads. Others dial nobody and listen to nobody.
    pub(super) async fn lead(&self) -> Leadership {
        let candidate = Candidate {
            client: self.client.clone(),
            within: Within::Namespace(self.namespace.clone()),
            name: name(SERVICE),
            // A pod's host name is its own: before the mark stands which pod it is.
            identity: format!("{}_{:08x}", agent::kernel::node_name(), agent::uplink::by_lot()),
            duration: TURN,
        };
        let mut said = None;
        candidate
            .win(|error| {
                let reason = error.to_string();
                // An API server that is away for hours fills no disk.
                if said.as_ref() != Some(&reason) {
                    tracing::warn!(%reason, "no turn; trying again and again");
                    said = Some(reason);
                }
            })
            .await
    }

    /// A certificate that agents trust by now, or soon: makes, renews and shows the authority where that is
    /// due.
    pub(super) async fn certificate(&self, now: SystemTime) -> Result<Signed, AuthorityError> {
        let kept = self.kept(now).await?;
        self.show(&kept).await?;
        kept.sign(&self.namespace, now).map_err(|error| self.damaged(&error))
    }

    async fn kept(&self, now: SystemTime) -> Result<Kept, AuthorityError> {
        let within = Within::Namespace(self.namespace.clone());
        let name = name(SECRET);
        for _ in 0..TRIES {
            let found = match self.client.get::<SecretObject>(&within, &name).await {
                Err(error) if error.reason() == Some(&Reason::NotFound) => None,
                found => Some(found?),
            };
            let read = match &found {
                Some(secret) => Some(
                    Kept::of(secret).ok_or_else(|| self.damaged(&"it has no ca.pem and ca.key"))?,
                ),
                None => None,
            };
            let turned = Kept::turn(read.as_ref(), now).map_err(|error| self.damaged(&error))?;
            let (Some(turned), found) = (turned, found) else {
                // Nothing is due, which it always is where there is none.
                let Some(read) = read else { continue };
                return Ok(read);
            };
            let written = match &found {
                None => {
                    let secret = SecretObject::new(SECRET, &turned.texts());
                    self.client.create(&within, &secret).await.map(drop)
                }
                Some(secret) => {
                    let patch = secret.patch(&turned.texts());
                    self.client.merge::<SecretObject>(&within, &name, &patch).await.map(drop)
                }
            };
            match written {
                Ok(()) => return Ok(turned),
                // Another replica was quicker.
                Err(error)
                    if matches!(
                        error.reason(),
                        Some(Reason::Conflict | Reason::AlreadyExists | Reason::NotFound)
                    ) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(AuthorityError::Contended(self.namespace.clone()))
    }

    async fn show(&self, kept: &Kept) -> Result<(), AuthorityError> {
        let within = Within::Namespace(self.namespace.clone());
        let (name, shown) = (name(SHOWN), kept.shown());
        match self.client.get::<ConfigMap>(&within, &name).await {
            Ok(map) if map.data.get(SHOWN_AS) == Some(&shown) => Ok(()),
            Ok(_) => {
                let patch = json!({ "data": { SHOWN_AS: shown } });
                Ok(self.client.merge::<ConfigMap>(&within, &name, &patch).await.map(drop)?)
            }
            Err(error) if error.reason() == Some(&Reason::NotFound) => {
                let metadata = Metadata { name: SHOWN.to_owned(), ..Metadata::default() };
                let data = [(SHOWN_AS.to_owned(), shown)].into();
                let map = ConfigMap { metadata, data, immutable: None };
                match self.client.create(&within, &map).await {
                    // Another replica shows the same.
                    Err(error) if error.reason() == Some(&Reason::AlreadyExists) => Ok(()),
                    made => Ok(made.map(drop)?),
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn damaged(&self, reason: &dyn std::fmt::Display) -> AuthorityError {
        AuthorityError::Authority { namespace: self.namespace.clone(), reason: reason.to_string() }
    }
}

impl Kept {
    fn of(secret: &SecretObject) -> Option<Self> {
        let pair = |certificate, key| {
            let (certificate, key) = (secret.text(certificate)?, secret.text(key)?);
            Some(Pair { certificate, key }).filter(|pair| !pair.certificate.is_empty())
        };
        Some(Self {
            current: pair("ca.pem", "ca.key")?,
            next: pair("next.pem", "next.key"),
            earlier: secret.text("earlier.pem").unwrap_or_default(),
        })
    }

    /// What is kept of it; what is empty takes the place of what was there.
    fn texts(&self) -> [(&'static str, &str); 5] {
        let next = self.next.as_ref().map_or(("", ""), |next| (&next.certificate, &next.key));
        [
            ("ca.pem", &self.current.certificate),
            ("ca.key", &self.current.key),
            ("next.pem", next.0),
            ("next.key", next.1),
            ("earlier.pem", &self.earlier),
        ]
    }

    /// Whom agents are to trust.
    fn shown(&self) -> String {
        let next = self.next.as_ref().map_or("", |next| &next.certificate);
        format!("{}{next}{}", self.current.certificate, self.earlier)
    }

    /// What it is to be by now; `None` for what it is.
    fn turn(kept: Option<&Self>, now: SystemTime) -> Result<Option<Self>, CertsError> {
        let Some(kept) = kept else {
            let current = pair(now)?;
            return Ok(Some(Self { current, next: None, earlier: String::new() }));
        };
        let (begun, ends) = span(&kept.current.certificate)?;
        let left = ends.duration_since(now).unwrap_or(Duration::ZERO);
        let whole = ends.duration_since(begun).unwrap_or(Duration::ZERO);
        match &kept.next {
            None if left < whole / 3 => Ok(Some(Self { next: Some(pair(now)?), ..kept.clone() })),
            None => Ok(None),
            Some(next) => {
                let (shown, _) = span(&next.certificate)?;
                if now < shown + SPREADS && left > DAY {
                    return Ok(None);
                }
                let earlier = kept.current.certificate.clone();
                Ok(Some(Self { current: next.clone(), next: None, earlier }))
            }
        }
    }

    fn sign(&self, namespace: &Namespace, now: SystemTime) -> Result<Signed, CertsError> {
        let authority = Authority::of_pem(&self.current.certificate, &self.current.key)?;
        let hosts = [
            SERVICE.to_owned(),
            format!("{SERVICE}.{namespace}"),
            format!("{SERVICE}.{namespace}.svc"),
        ];
        let hosts: Vec<Host> = hosts
            .into_iter()
            .filter_map(|host| ServerName::try_from(host).ok().map(Host))
            .collect();
        let name: ControllerName = SERVICE.parse().map_err(|_| CertsError::ReservedName)?;
        let subject = Subject { principal: Principal::Controller(name), hosts: &hosts };
        let signed = authority.sign(&subject, Days(CERTIFICATE_DAYS), now)?;
        Ok(Signed { certificate: signed.certificate, key: signed.key })
    }
}

fn pair(now: SystemTime) -> Result<Pair, CertsError> {
    let made = make_authority(SERVICE, now)?;
    Ok(Pair { certificate: made.certificate, key: made.key })
}

fn name(text: &str) -> Name {
    text.parse().unwrap_or_else(|_| unreachable!("a constant"))
}

#[cfg(test)]
mod tests {
    use x509_parser::{pem::parse_x509_pem, time::ASN1Time};

    use super::*;

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + DAY * 20_000
    }

    fn turned(kept: Option<&Kept>, after: Duration) -> Option<Kept> {
        Kept::turn(kept, now() + after).unwrap()
    }

    #[test]
    fn an_authority_is_shown_before_it_signs_and_after_it_has() {
        let first = turned(None, Duration::ZERO).unwrap();
        assert_eq!(first.shown(), first.current.certificate);
        // It lasts ten years.
        assert_eq!(turned(Some(&first), DAY * 2_000), None);
        let due = DAY * 3_000;
        let both = turned(Some(&first), due).unwrap();
        assert_eq!(both.current, first.current);
        let next = both.next.clone().unwrap();
        assert_eq!(both.shown(), format!("{}{}", first.current.certificate, next.certificate));
        assert_eq!(turned(Some(&both), due + DAY / 2), None);
        let second = turned(Some(&both), due + DAY * 2).unwrap();
        assert_eq!((&second.current, &second.next), (&next, &None));
        assert!(second.shown().contains(&first.current.certificate));
        assert_eq!(turned(Some(&second), due + DAY * 3), None);
        // One that nobody looked at for too long is taken at once.
        let late = turned(Some(&both), DAY * 4_000).unwrap();
        assert_eq!(late.current, next);
    }

    #[test]
    fn what_is_kept_is_read_again_and_what_is_damaged_is_none() {
        let kept = turned(turned(None, Duration::ZERO).as_ref(), DAY * 3_000).unwrap();
        let secret = SecretObject::new(SECRET, &kept.texts());
        assert_eq!(Kept::of(&secret), Some(kept.clone()));
        assert_eq!(Kept::of(&SecretObject::new(SECRET, &[("ca.pem", "x")])), None);
        assert!(!format!("{kept:?}").contains("PRIVATE"));
        let damaged = Kept { earlier: String::new(), ..kept };
        let damaged = Kept {
            current: Pair { certificate: "nonsense".to_owned(), ..damaged.current.clone() },
            ..damaged
        };
        assert!(Kept::turn(Some(&damaged), now()).is_err());
        let namespace = "schism".parse().unwrap();
        assert!(damaged.sign(&namespace, now()).is_err());
    }

    #[test]
    fn a_certificate_is_for_the_service_by_all_its_names() {
        let kept = turned(None, Duration::ZERO).unwrap();
        let signed = kept.sign(&"schism".parse().unwrap(), now()).unwrap();
        link::OpenDoor::new(&signed.certificate, &signed.key).unwrap();
    }

    #[test]
    fn nodes_whose_clocks_are_off_by_an_hour_take_it() {
        let kept = turned(None, Duration::ZERO).unwrap();
        let signed = kept.sign(&"schism".parse().unwrap(), now()).unwrap();
        for text in [&kept.current.certificate, &signed.certificate] {
            let (_, pem) = parse_x509_pem(text.as_bytes()).unwrap();
            let parsed = pem.parse_x509().unwrap();
            for clock in [now() - DAY / 24, now() + DAY / 24] {
                let since = clock.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
                let clock = ASN1Time::from_timestamp(i64::try_from(since).unwrap()).unwrap();
                assert!(parsed.validity().is_valid_at(clock), "{:?}", parsed.validity());
            }
        }
    }

    #[test]
    fn only_a_controllers_certificate_with_its_key_opens_a_door() {
        let kept = turned(None, Duration::ZERO).unwrap();
        let authority = Authority::of_pem(&kept.current.certificate, &kept.current.key).unwrap();
        let user = Principal::User { name: "ann".parse().unwrap(), role: link::Role::Admin };
        let agent = Principal::Agent(fault::NodeName::new("n1").unwrap());
        for principal in [user, agent] {
            let subject = Subject { principal, hosts: &[] };
            let signed = authority.sign(&subject, Days(1), now()).unwrap();
            let error = link::OpenDoor::new(&signed.certificate, &signed.key).unwrap_err();
            assert!(matches!(error, link::OpenDoorError::NoController(_)), "{error}");
        }
        let sign = || kept.sign(&"schism".parse().unwrap(), now()).unwrap();
        let (one, other) = (sign(), sign());
        let error = link::OpenDoor::new(&one.certificate, &other.key).unwrap_err();
        assert!(matches!(error, link::OpenDoorError::Unusable(_)), "{error}");
        let door = link::OpenDoor::new(&one.certificate, &one.key).unwrap();
        for (certificate, key) in [("nonsense", other.key.as_str()), (&other.certificate, "none")] {
            let error = door.renew(certificate, key).unwrap_err().to_string();
            assert!(!error.contains("PRIVATE"), "{error}");
        }
        door.renew(&other.certificate, &other.key).unwrap();
    }
}
