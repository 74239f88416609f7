//! stub
use aya::{Ebpf, programs::SchedClassifier};
fn main() {
    let mut ebpf = aya::EbpfLoader::new()
        .verifier_log_level(aya::VerifierLogLevel::DEBUG)
        .load(agent_ebpf::OBJECT)
        .unwrap();
    let _: &mut Ebpf = &mut ebpf;
    for name in ["schism_ingress", "schism_egress"] {
        let p: &mut SchedClassifier = ebpf.program_mut(name).unwrap().try_into().unwrap();
        match p.load() {
            Ok(()) => println!(
                "{name} {:?} {}",
                p.info().unwrap().verified_instruction_count(),
                p.info().unwrap().size_translated().unwrap_or(0) / 8
            ),
            Err(e) => {
                let t = format!("{e:?}").replace("\\n", "\n");
                println!("{name} {}", &t[t.len().saturating_sub(1800)..])
            }
        }
    }
}
