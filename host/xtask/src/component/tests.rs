use super::*;

/// The smallest module that there is.
const EMPTY: &[u8] = b"\0asm\x01\0\0\0";

/// A module with these custom sections around a type section.
fn module(sections: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = EMPTY.to_vec();
    for (name, content) in sections {
        push_section(&mut bytes, 0, &[&named(name), content]);
    }
    // One function type, without parameters and results.
    push_section(&mut bytes, 1, &[&[1, 0x60, 0, 0]]);
    bytes
}

fn sections_at_the_top(component: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut depth = 0;
    let mut found = Vec::new();
    for payload in Parser::new(0).parse_all(component) {
        match payload.unwrap() {
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            Payload::CustomSection(section) if depth == 1 => {
                found.push((section.name().to_owned(), section.data().to_vec()));
            }
            _ => {}
        }
    }
    found
}

#[test]
fn lengths_are_written_in_leb128() {
    for (value, expected) in [
        (0, &[0][..]),
        (127, &[0x7f]),
        (128, &[0x80, 1]),
        (624_485, &[0xe5, 0x8e, 0x26]),
    ] {
        assert_eq!(leb128(value), expected, "{value}");
    }
}

#[test]
fn the_manifest_is_taken_out_and_everything_else_stays() {
    let manifest = br#"{"name":"odd"}"#;
    let given = module(&[("before", b"b"), (SECTION, manifest), ("after", b"a")]);
    let (rest, found) = without_manifest(&given).unwrap();
    assert_eq!(found, manifest);
    assert_eq!(rest, module(&[("before", b"b"), ("after", b"a")]));
}

#[test]
fn a_module_without_one_manifest_is_refused() {
    for (given, expected) in [
        (module(&[]), "no custom section"),
        (
            module(&[(SECTION, b"{}"), (SECTION, b"{}")]),
            "several custom sections",
        ),
        (module(&[(SECTION, b"{}{}")]), "not one JSON document"),
        (module(&[(SECTION, b"[]")]), "no JSON object"),
        (b"\0as".to_vec(), "too short"),
        (b"MZ\0\0\0\0\0\0\0".to_vec(), "no module"),
    ] {
        let error = without_manifest(&given).unwrap_err();
        assert!(
            format!("{error:#}").contains(expected),
            "{expected}: {error:#}"
        );
    }
}

#[test]
fn the_component_carries_the_manifest_at_its_top_and_nowhere_else() {
    let manifest = br#"{"name":"odd"}"#;
    let component = encode(&module(&[(SECTION, manifest)])).unwrap();
    let at_the_top = sections_at_the_top(&component);
    assert!(
        at_the_top.contains(&(SECTION.to_owned(), manifest.to_vec())),
        "{at_the_top:?}"
    );
    let everywhere = component
        .windows(SECTION.len())
        .filter(|bytes| *bytes == SECTION.as_bytes());
    assert_eq!(everywhere.count(), 1);
    wasmparser::Validator::new()
        .validate_all(&component)
        .unwrap();
}
