use super::*;

#[test]
fn lines_of_cargo_say_what_it_is_at_and_those_of_the_compiler_are_kept() {
    for (note, expected) in [
        ("   Compiling wasmtime v48.0.8", Some("wasmtime")),
        ("  Downloaded kube v5.0.0", Some("downloading")),
        ("    Updating crates.io index", Some("downloading")),
        (
            "    Blocking waiting for file lock on build directory",
            Some("waiting for another cargo"),
        ),
        ("error[E0308]: mismatched types", None),
        ("  --> host/cli/src/main.rs:3:5", None),
        ("    Finished `dev` profile in 0.1s", None),
        ("", None),
    ] {
        assert_eq!(activity(note).as_deref(), expected, "{note}");
    }
}

#[test]
fn artifacts_are_found_among_other_messages() {
    let artifact = r#"{"reason":"compiler-artifact","package_id":"path+file:///p#sluice-router-odd@0.1.0",
        "target":{"kind":["cdylib"],"name":"sluice_router_odd"},"filenames":["/t/sluice_router_odd.wasm"],"fresh":true}"#;
    let Ok(Message::CompilerArtifact(artifact)) = serde_json::from_str(artifact) else {
        panic!("not an artifact");
    };
    assert_eq!(artifact.target.name, "sluice_router_odd");
    assert_eq!(
        artifact.filenames,
        [PathBuf::from("/t/sluice_router_odd.wasm")]
    );
    let finished = serde_json::from_str(r#"{"reason":"build-finished","success":true}"#);
    assert!(matches!(finished, Ok(Message::Other)));
}
