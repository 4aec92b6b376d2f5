use super::*;

const TREE: &str = "\
0sluice-odd v0.1.0 (/odd)|Apache-2.0
1anyhow v1.0.1|MIT OR Apache-2.0
1syn v3.0.10|MIT
0sluice-even v0.1.0 (/even)|Apache-2.0
1macros v0.4.2 (proc-macro)|GPL-3.0
2syn v2.0.119|MIT
1sluice-odd v0.1.0 (/odd)|Apache-2.0 (*)
";

fn rules(yaml: &str) -> Rules {
    serde_saphyr::from_str(yaml).unwrap()
}

fn problems(yaml: &str) -> String {
    let (rules, crates) = (rules(yaml), tree::read(TREE).unwrap());
    let mut problems = licences(&rules, &crates);
    problems.extend(doubled(&rules, &crates));
    problems.join("\n")
}

const ALL: &str = "licences: [Apache-2.0, MIT, GPL-3.0]\n";

#[test]
fn a_crate_is_read_once_with_all_who_want_it() {
    let crates = tree::read(TREE).unwrap();
    let lines: Vec<String> = crates
        .iter()
        .map(|found| format!("{found} <- {}: {}", found.wanted_by(), found.licence))
        .collect();
    assert_eq!(
        lines,
        [
            "anyhow 1.0.1 <- sluice-odd 0.1.0: MIT OR Apache-2.0",
            "macros 0.4.2 <- sluice-even 0.1.0: GPL-3.0",
            "sluice-even 0.1.0 <- this workspace: Apache-2.0",
            "sluice-odd 0.1.0 <- sluice-even 0.1.0: Apache-2.0",
            "syn 2.0.119 <- macros 0.4.2: MIT",
            "syn 3.0.10 <- sluice-odd 0.1.0: MIT",
        ]
    );
    assert!(tree::read("syn v2.0.119|MIT").is_err());
}

#[test]
fn a_newly_doubled_crate_says_who_wants_it_and_what_to_do() {
    let found = problems(&format!("{ALL}doubled: []"));
    for expected in [
        "syn is there in 2 versions:",
        "2.0.119, wanted by macros 0.4.2",
        "3.0.10, wanted by sluice-odd 0.1.0",
        "cargo update syn@2.0.119",
        "in `doubled` in host/xtask/data/dependencies.yaml, with the reason",
    ] {
        assert!(found.contains(expected), "{expected}: {found}");
    }
    let found = problems(&format!(
        "{ALL}doubled: [{{crate: syn, versions: ['1', '2'], reason: old macros}}]"
    ));
    assert!(found.contains("syn is there in 2 versions"), "{found}");
}

#[test]
fn a_doubled_crate_is_tolerated_for_a_reason_and_not_for_longer_than_needed() {
    assert_eq!(
        problems(&format!(
            "{ALL}doubled: [{{crate: syn, versions: ['2', '3'], reason: macros}}]"
        )),
        ""
    );
    for (doubled, expected) in [
        (
            "{crate: syn, versions: ['2', '3'], reason: ' '}",
            "gives no reason",
        ),
        (
            "{crate: syn, versions: ['1', '2', '3'], reason: r}",
            "syn 1 no longer doubles",
        ),
        (
            "{crate: syn, versions: ['2', '3'], reason: r}, {crate: anyhow, versions: ['1'], reason: r}",
            "anyhow 1 no longer doubles",
        ),
    ] {
        let found = problems(&format!("{ALL}doubled: [{doubled}]"));
        assert!(found.contains(expected), "{expected}: {found}");
    }
}

#[test]
fn licences_are_allowed_one_by_one_and_only_those_in_use() {
    let doubled = "doubled: [{crate: syn, versions: ['2', '3'], reason: macros}]";
    let found = problems(&format!("licences: [Apache-2.0, MIT]\n{doubled}"));
    assert!(
        found.starts_with(
            "macros 0.4.2, wanted by sluice-even 0.1.0: its licence `GPL-3.0` is not allowed"
        ),
        "{found}"
    );
    let found = problems(&format!(
        "licences: [Apache-2.0, MIT, GPL-3.0, Zlib]\n{doubled}"
    ));
    assert!(
        found.starts_with("no dependency needs the licence Zlib"),
        "{found}"
    );
}

#[test]
fn versions_are_compatible_up_to_their_first_number_that_is_not_zero() {
    for (version, expected) in [
        ("2.0.119", "2"),
        ("0.22.1", "0.22"),
        ("0.0.3", "0.0.3"),
        ("0.11.1+wasi-snapshot", "0.11"),
        ("0.0.0", "0.0.0"),
    ] {
        assert_eq!(compatible(version), expected, "{version}");
    }
}
