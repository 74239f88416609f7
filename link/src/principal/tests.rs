//! Texts and certificates that name somebody, and those that do not.

use proptest::prelude::*;
use rcgen::{CertificateParams, KeyPair, SanType};

use super::*;

fn principals() -> impl Strategy<Value = Principal> {
    let name = || "[a-zA-Z0-9._-]{1,40}";
    let role = proptest::sample::select(Role::ALL.to_vec());
    prop_oneof![
        name().prop_map(|name| Principal::Agent(NodeName::new(&name).unwrap())),
        name().prop_map(|name| Principal::Controller(name.parse().unwrap())),
        (name(), role)
            .prop_map(|(name, role)| Principal::User { name: name.parse().unwrap(), role }),
    ]
}

proptest! {
    #[test]
    fn parsing_a_printed_principal_gives_it_back(principal in principals()) {
        prop_assert_eq!(principal.to_string().parse(), Ok(principal));
    }

    #[test]
    fn what_can_be_parsed_prints_the_same(text in "schism://(agent|user|controller)(/[a-z/%]{0,8}){1,3}") {
        if let Ok(principal) = text.parse::<Principal>() {
            prop_assert_eq!(principal.to_string(), text);
        }
    }
}

fn certificate(uris: &[&str]) -> CertificateDer<'static> {
    let mut params = CertificateParams::new(vec!["host.example".to_owned()]).unwrap();
    params
        .subject_alt_names
        .extend(uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())));
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().into()
}

#[test]
fn roles_are_ordered() {
    assert!(Role::ALL.is_sorted());
}

#[test]
fn other_texts_are_none() {
    let long = format!("schism://agent/{}", "n".repeat(254));
    for text in [
        "",
        "agent/n1",
        "schism:agent/n1",
        "Schism://agent/n1",
        "schism://agent",
        "schism://agent/",
        "schism://agent/n1/",
        "schism://agent/n1/admin",
        "schism://agent/n%31",
        "schism://agent/n1?x",
        "schism://agent/n 1",
        "schism://AGENT/n1",
        "schism://controller/a/b",
        "schism://user/ada",
        "schism://user/ada/",
        "schism://user/ada/root",
        "schism://user/ada/Admin",
        "schism://user//admin",
        "schism://robot/x",
        " schism://agent/n1",
        "schism://agent/n1\n",
        &long,
    ] {
        assert_eq!(text.parse::<Principal>(), Err(PrincipalError::Form(text.to_owned())));
    }
}

#[test]
fn a_certificate_names_exactly_one() {
    let form = |text: &str| Err(PrincipalError::Form(text.to_owned()));
    let table = [
        (vec!["schism://agent/n1"], Ok("schism://agent/n1")),
        (vec!["spiffe://x/y", "schism://user/ada/admin"], Ok("schism://user/ada/admin")),
        (vec![], Err(PrincipalError::Nobody)),
        (vec!["spiffe://x/y"], Err(PrincipalError::Nobody)),
        (vec!["schism://agent/n1", "schism://agent/n2"], Err(PrincipalError::Several(2))),
        (vec!["schism://agent/n1", "schism://agent/n1"], Err(PrincipalError::Several(2))),
        (vec!["schism://agent/n1", "SCHISM://user/ada/admin"], Err(PrincipalError::Several(2))),
        (vec!["Schism://agent/n1"], form("Schism://agent/n1")),
        (vec!["schism://nobody"], form("schism://nobody")),
    ];
    for (uris, expected) in table {
        let der = certificate(&uris);
        let found = Principal::of(&der);
        if let Ok((_, fingerprint)) = &found {
            assert_eq!(*fingerprint, Fingerprint::of(&der));
        }
        let found = found.map(|(principal, _)| principal.to_string());
        assert_eq!(found, expected.map(ToOwned::to_owned), "{uris:?}");
    }
}

#[test]
fn what_is_no_certificate_names_nobody() {
    let mut der = certificate(&["schism://agent/n1"]).to_vec();
    der.push(0);
    for bytes in [vec![], b"junk".to_vec(), der] {
        let found = Principal::of(&CertificateDer::from(bytes));
        assert_eq!(found, Err(PrincipalError::Malformed));
    }
}
