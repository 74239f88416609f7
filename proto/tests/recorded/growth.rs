//! Today's definitions against those that were recorded; `SCHISM_RECORD=1` records them anew, which a
//! release does.

use std::collections::BTreeSet;
use std::path::Path;

use prost::Message as _;
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorProto, FileDescriptorSet};

const DEFINITIONS: [&str; 2] = ["schism/agent/v1/agent.proto", "schism/control/v1/control.proto"];

/// Every fact about a wire that a peer may rely on, a line each.
fn facts(files: &FileDescriptorSet) -> BTreeSet<String> {
    let mut facts = BTreeSet::new();
    for file in &files.file {
        of_file(file, &mut facts);
    }
    facts
}

fn of_file(file: &FileDescriptorProto, facts: &mut BTreeSet<String>) {
    let package = file.package();
    for message in &file.message_type {
        of_message(package, message, facts);
    }
    for one in &file.enum_type {
        of_enum(package, one, facts);
    }
    for service in &file.service {
        for method in &service.method {
            facts.insert(format!(
                "{package}.{}/{}: {} {} → {} {}",
                service.name(),
                method.name(),
                method.client_streaming(),
                method.input_type(),
                method.server_streaming(),
                method.output_type(),
            ));
        }
    }
}

fn of_message(within: &str, message: &DescriptorProto, facts: &mut BTreeSet<String>) {
    let name = format!("{within}.{}", message.name());
    facts.insert(format!("{name} is a message"));
    for field in &message.field {
        // A field that leaves or joins a choice means something else to whoever does not know it.
        let choice = field
            .oneof_index
            .map_or("", |at| message.oneof_decl[usize::try_from(at).unwrap()].name());
        facts.insert(format!(
            "{name}.{} = {}: {:?} {:?} {} {choice}",
            field.name(),
            field.number(),
            field.label(),
            field.r#type(),
            field.type_name(),
        ));
    }
    message.nested_type.iter().for_each(|nested| of_message(&name, nested, facts));
    message.enum_type.iter().for_each(|nested| of_enum(&name, nested, facts));
}

fn of_enum(within: &str, one: &EnumDescriptorProto, facts: &mut BTreeSet<String>) {
    for value in &one.value {
        facts.insert(format!("{within}.{}.{} = {}", one.name(), value.name(), value.number()));
    }
}

#[test]
fn what_was_recorded_is_still_there_with_its_number_and_type() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut today = protox::compile(DEFINITIONS, [root.join("proto")]).unwrap();
    // Comments and their places are nobody's business on the wire.
    today.file.iter_mut().for_each(|file| file.source_code_info = None);
    let recorded = root.join("tests/recorded/wire.binpb");
    if std::env::var_os("SCHISM_RECORD").is_some() {
        std::fs::write(&recorded, today.encode_to_vec()).unwrap();
    }
    let recorded = std::fs::read(&recorded).unwrap();
    let recorded = facts(&FileDescriptorSet::decode(recorded.as_slice()).unwrap());
    assert!(recorded.len() > 100, "{} facts are too few to be the wire", recorded.len());
    let today = facts(&today);
    let lost: Vec<&String> = recorded.difference(&today).collect();
    assert!(lost.is_empty(), "fields are only added, and these are gone or changed: {lost:#?}");
}

#[test]
fn a_change_of_number_type_or_choice_is_seen() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let today = protox::compile(DEFINITIONS, [root.join("proto")]).unwrap();
    let changed = |change: &dyn Fn(&mut DescriptorProto)| {
        let mut other = today.clone();
        let messages = other.file.iter_mut().flat_map(|file| &mut file.message_type);
        let fault = messages.into_iter().find(|message| message.name() == "Fault").unwrap();
        change(fault);
        facts(&today).difference(&facts(&other)).count()
    };
    assert_eq!(changed(&|_| ()), 0);
    assert_eq!(changed(&|fault| fault.field[0].number = Some(99)), 1);
    assert_eq!(changed(&|fault| fault.field[0].type_name = Some("other".to_owned())), 1);
    assert_eq!(changed(&|fault| drop(fault.field.pop())), 1);
    let leave = |fault: &mut DescriptorProto| {
        fault.field.iter_mut().for_each(|field| field.oneof_index = None);
    };
    assert!(changed(&leave) >= 1, "a kind of fault is a choice");
}
