//! The committed code is what the definitions give; `SCHISM_BLESS=1` writes it anew.

use std::path::Path;

const AGENT: &str = "schism/agent/v1/agent.proto";
const CONTROL: &str = "schism/control/v1/control.proto";

#[test]
fn generated_code_is_as_committed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let definitions = root.join("proto");
    // Apart from each other: generating the second writes what it imports, too.
    let out = |name: &str| Path::new(env!("CARGO_TARGET_TMPDIR")).join("gen").join(name);
    let generate = |name: &str| {
        std::fs::create_dir_all(out(name)).unwrap();
        let builder = tonic_prost_build::configure().out_dir(out(name)).bytes(".");
        builder.build_transport(false).codec_path("crate::codec::Compact")
    };
    let files = |name: &str| protox::compile([name], [&definitions]).unwrap();
    generate("agent").compile_fds(files(AGENT)).unwrap();
    let control = generate("control").extern_path(".schism.agent.v1", "crate::agent");
    control.compile_fds(files(CONTROL)).unwrap();

    for (place, name) in [("agent", "schism.agent.v1.rs"), ("control", "schism.control.v1.rs")] {
        let generated = std::fs::read_to_string(out(place).join(name)).unwrap();
        let committed = root.join("src/gen").join(name);
        if std::env::var_os("SCHISM_BLESS").is_some() {
            std::fs::write(&committed, &generated).unwrap();
        }
        let found = std::fs::read_to_string(&committed).unwrap_or_default();
        assert!(found == generated, "{name} differs: run `cargo xtask proto --bless`");
    }
}
