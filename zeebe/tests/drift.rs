//! The committed code is what the definition gives; `SCHISM_BLESS=1` writes it anew.

use std::path::Path;

#[test]
fn generated_code_is_as_committed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("gen-zeebe");
    std::fs::create_dir_all(&out).unwrap();
    let definition = protox::compile(["gateway.proto"], [root.join("proto")]).unwrap();
    let generate = tonic_prost_build::configure().out_dir(&out).build_transport(false);
    generate.compile_fds(definition).unwrap();
    let name = "gateway_protocol.rs";
    let generated = std::fs::read_to_string(out.join(name)).unwrap();
    let committed = root.join("src/gen").join(name);
    if std::env::var_os("SCHISM_BLESS").is_some() {
        std::fs::write(&committed, &generated).unwrap();
    }
    let found = std::fs::read_to_string(&committed).unwrap_or_default();
    assert!(found == generated, "{name} differs: run `cargo xtask proto --bless`");
}
