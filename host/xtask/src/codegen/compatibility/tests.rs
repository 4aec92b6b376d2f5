use std::fs;

use tempfile::TempDir;

use super::{ledger, mentions, notes, page, tests_of};

/// A repository with a ledger of five rows, gone when the test ends.
struct Repository(TempDir);

const LEDGER: &str = "\
# First things
A sentence that is no row, about AA-001.

| id | field | type | semantics |
|---|---|---|---|
| AA-001 | `spec.size` | int32 | How many. The rest is not short. **[pin]** |
| AA-002 | `a \\| b` | | |
| AA-004 | **[quirk]** the fourth |
| AA-004a | a late one |
";

const NOTES: &str = "
today: |
  You can move things.
differences:
- rows: [AA-002]
  reason: >-
    better
    this | way
missing: []
";

impl Repository {
    fn new(notes: &str) -> Self {
        let repository = Self(tempfile::tempdir().unwrap());
        repository.put(
            "tests/compatibility/README.md",
            "# No chapter\n| ZZ-001 | no row |\n",
        );
        repository.put("tests/compatibility/first.md", LEDGER);
        repository.put(
            "tests/compatibility/second.md",
            "# Second\n\n| id | fact |\n|---|---|\n| BB-CC-001 | only this |\n",
        );
        repository.put("tests/compatibility/differences.yaml", notes);
        repository
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn page(&self) -> Result<String, String> {
        page(self.0.path()).map_err(|error| format!("{error:#}"))
    }

    fn ledger(&self) -> ledger::Ledger {
        ledger::read(&self.0.path().join("tests/compatibility")).unwrap()
    }
}

#[test]
fn rows_are_named_alone_or_as_a_range() {
    let check = |line: &str, expected: &[(&str, Option<&str>)]| {
        let found = mentions::in_line(line);
        let found: Vec<_> = found
            .iter()
            .map(|mention| (mention.from.as_str(), mention.to.as_deref()))
            .collect();
        assert_eq!(found, expected, "{line}");
    };
    check(
        "// AA-001, BB-CC-002: why",
        &[("AA-001", None), ("BB-CC-002", None)],
    );
    check("(AA-001)", &[("AA-001", None)]);
    check("\"AA-004a\",", &[("AA-004a", None)]);
    check("AA-001..004", &[("AA-001", Some("AA-004"))]);
    check(
        "AA-001..AA-004 AA-007",
        &[("AA-001", Some("AA-004")), ("AA-007", None)],
    );
    check("AA-001 to 004", &[("AA-001", Some("AA-004"))]);
    check("AA-001 to AA-004, then", &[("AA-001", Some("AA-004"))]);
    check("BB-CC-02..09", &[("BB-CC-02", Some("BB-CC-09"))]);
    check("from AA-001 to zero", &[("AA-001", None)]);
    check("AA-001 to BB-002", &[("AA-001", None), ("BB-002", None)]);
    check("AA-001 to 10 pods", &[("AA-001", None)]);
    for none in [
        "A-001",
        "aa-001",
        "AA-1",
        "AA-0001",
        "AA-001bc",
        "X_AA-001",
        "AA-001-b",
        "AA-BB-CC-001",
        "TOOLONG-001",
        "AA-",
        "-001",
        "UTF-8",
        "AA#158",
    ] {
        check(none, &[]);
    }
}

#[test]
fn a_row_is_short_on_the_page() {
    let repository = Repository::new(NOTES);
    let ledger = repository.ledger();
    let rows: Vec<_> = ledger
        .rows()
        .map(|row| (row.id.as_str(), row.fact.as_str()))
        .collect();
    assert_eq!(
        rows,
        [
            ("AA-001", "`spec.size`: How many"),
            ("AA-002", "`a \\| b`"),
            ("AA-004", "the fourth"),
            ("AA-004a", "a late one"),
            ("BB-CC-001", "only this"),
        ]
    );
    let titles: Vec<_> = ledger
        .chapters
        .iter()
        .map(|chapter| &chapter.title)
        .collect();
    assert_eq!(titles, ["First things", "Second"]);
}

#[test]
fn a_long_fact_is_cut_between_words_and_never_within_code() {
    let check = |fact: &str, expected: &str| {
        let repository = Repository::new(NOTES);
        let chapter = format!("# First things\n\n| AA-002 | {fact} |\n");
        repository.put("tests/compatibility/first.md", &chapter);
        assert_eq!(repository.ledger().rows().next().unwrap().fact, expected);
    };
    let words = "word ".repeat(40);
    check(&words, &format!("{} …", "word ".repeat(21) + "word"));
    let code = format!("`{}`", "x. y ".repeat(40));
    check(&code, &code);
    check(&format!("{code}, and more than that"), &format!("{code} …"));
    let twice = format!("``a ` {} b``", "c. ".repeat(40).trim_end());
    check(&format!("{twice}. Then"), &twice);
    check(
        &format!("A word {code}, and more"),
        &format!("A word {code} …"),
    );
    check("One, e.g. this. Two", "One, e.g. this");
}

#[test]
fn a_range_means_the_rows_that_exist_between_two_that_do() {
    let repository = Repository::new(NOTES);
    let ledger = repository.ledger();
    let resolve = |line: &str| {
        let mention = mentions::in_line(line).remove(0);
        ledger
            .resolve(&mention)
            .map(|rows| rows.join(" "))
            .map_err(|error| error.to_string())
    };
    assert_eq!(resolve("AA-001"), Ok("AA-001".to_owned()));
    assert_eq!(
        resolve("AA-001..004"),
        Ok("AA-001 AA-002 AA-004 AA-004a".to_owned())
    );
    assert_eq!(
        resolve("AA-002 to 003"),
        Err("there is no row AA-003".to_owned())
    );
    assert_eq!(resolve("BB-001"), Err("there is no row BB-001".to_owned()));
}

#[test]
fn two_rows_cannot_have_one_id() {
    let repository = Repository::new(NOTES);
    repository.put(
        "tests/compatibility/third.md",
        "# Third\n| AA-001 | again |\n",
    );
    assert_eq!(repository.page().unwrap_err(), "two rows are called AA-001");
}

#[test]
fn a_test_is_a_function_with_an_attribute_and_the_comments_above_it() {
    let code = r##"
// Of the file.

// Line 4.
/// Line 5.
#[test]
fn plain() {
    let text = r#"
}
"#;
}

#[tokio::test(start_paused = true)]
#[expect(clippy::unwrap_used, reason = "x")]
pub(crate) async fn waiting() -> Result<(), [u8; 3]> { body() }

#[cfg(test)]
fn helper() {}

// Not a test's.

mod inner {
    #[test]
    fn nested() {}
    fn outer() {
        #[test]
        fn within() {}
    }
    trait Declares { fn only(); }
    #[test]
    fn after() {}
}

macro_rules! cases { ($name:ident) => { #[test] fn $name() {} }; }
"##;
    let found = tests_of::tests_in("host/a.rs", code).unwrap();
    let found: Vec<_> = found
        .iter()
        .map(|(lines, test)| (test.name.as_str(), *lines.start(), *lines.end()))
        .collect();
    assert_eq!(
        found,
        [
            ("plain", 4, 11),
            ("waiting", 13, 15),
            ("nested", 23, 24),
            ("within", 26, 27),
            ("after", 30, 31)
        ]
    );
}

#[test]
fn a_contract_and_a_story_are_tests() {
    let code = "// AA-001\npub async fn a_contract(ground: &Ground) {}\nasync fn helper(ground: &Ground) {}\npub fn other(x: u8) {}\n";
    let names = |file: &str, text: &str| -> Vec<String> {
        let found = tests_of::tests_in(file, text).unwrap();
        found.into_iter().map(|(_, test)| test.name).collect()
    };
    assert_eq!(names("tests/it/contract/a.rs", code), ["a_contract"]);
    assert_eq!(names("tests/it/a.rs", code), [""; 0]);
    assert_eq!(
        names("tests/scenarios/it_goes.story", "# AA-001\nwait 1m\n"),
        ["it_goes"]
    );
}

#[test]
fn the_page_says_of_every_row_what_is_known() {
    let repository = Repository::new(&NOTES.replace(
        "missing: []",
        "missing: [{ rows: [AA-004], reason: ignored }]",
    ));
    for (file, name) in [
        ("host/x/src/tests.rs", "b"),
        ("plugins/p/src/tests.rs", "a"),
    ] {
        let code = format!("// AA-001, AA-002\n#[test]\nfn {name}() {{}}\n");
        repository.put(file, &code);
    }
    repository.put(
        "tests/it/more.rs",
        "#[test] fn c() { check(\"AA-001\") }\n#[test] fn d() { check(\"AA-001\") }\n",
    );
    // Neither a helper, nor other code, nor what is built shows anything.
    repository.put(
        "host/x/src/lib.rs",
        "/// AA-004a, SHA-256, UU-001\nfn code() {}\n",
    );
    repository.put(
        "host/x/target/old.rs",
        "// AA-004a, AA-999\n#[test]\nfn e() {}\n",
    );
    let page = repository.page().unwrap();
    let rows = [
        "| [AA-001](../tests/compatibility/first.md) | `spec.size`: How many | [`b`](x/src/tests.rs), [`a`](../plugins/p/src/tests.rs), [`c`](../tests/it/more.rs) and 1 more |",
        "| [AA-002](../tests/compatibility/first.md) | `a \\| b` | differs: better this \\| way ([`b`](x/src/tests.rs), [`a`](../plugins/p/src/tests.rs)) |",
        "| [AA-004](../tests/compatibility/first.md) | the fourth | not yet: ignored |",
        "| [AA-004a](../tests/compatibility/first.md) | a late one | not yet |",
        "| [BB-CC-001](../tests/compatibility/second.md) | only this | not yet |",
    ];
    let found: Vec<&str> = page
        .lines()
        .filter(|line| line.starts_with("| [AA") || line.starts_with("| [BB"))
        .collect();
    assert_eq!(found, rows);
    for line in [
        "You can move things.",
        "| [First things](#first-things) | 4 | 1 | 1 | 2 |",
        "| [Second](#second) | 1 | 0 | 0 | 1 |",
        "| all | 5 | 1 | 1 | 3 |",
        "## First things",
    ] {
        assert!(page.lines().any(|found| found == line), "{line}\n{page}");
    }
}

#[test]
fn a_row_that_does_not_exist_is_named_with_its_place() {
    let repository = Repository::new(NOTES);
    repository.put(
        "host/x.rs",
        "// AA-001\n// Or AA-003.\n#[test]\nfn a() { check(\"UU-001\"); check(\"SHA-256\") }\n",
    );
    repository.put("host/y.rs", "/// AA-005\nfn code() {}\n");
    repository.put("tests/scenarios/s.story", "# AA-001, AA-010\n");
    assert_eq!(
        repository.page().unwrap_err(),
        "rows of tests/compatibility:\n  \
         host/x.rs:2: there is no row AA-003\n  \
         host/x.rs:4: there is no row UU-001\n  \
         host/y.rs:1: there is no row AA-005\n  \
         tests/scenarios/s.story:1: there is no row AA-010"
    );
}

#[test]
fn what_is_missing_is_named_by_no_test() {
    let repository = Repository::new(&NOTES.replace(
        "missing: []",
        "missing: [{ rows: [AA-004, AA-004a], reason: ignored }]",
    ));
    repository.put("host/x.rs", "// AA-004a\n#[test]\nfn a() {}\n");
    assert_eq!(
        repository.page().unwrap_err(),
        "rows of tests/compatibility:\n  host/x.rs: `a` names AA-004a, which differences.yaml lists as missing"
    );
}

#[test]
fn notes_are_about_rows_that_exist_once_and_with_a_reason() {
    let repository = Repository::new(NOTES);
    let check = |differences: &str, expected: &str| {
        let text = format!(
            "today: x\nmissing: [{{ rows: [AA-001], reason: y }}]\ndifferences: {differences}\n"
        );
        let error = notes::parse(&text, &repository.ledger())
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains(expected), "{error}");
    };
    check("[{ rows: [AA-003], reason: x }]", "there is no row AA-003");
    check(
        "[{ rows: [AA-002, AA-002], reason: x }]",
        "AA-002 stands there twice",
    );
    check(
        "[{ rows: [AA-001], reason: x }]",
        "AA-001 is both different and missing",
    );
    check("[{ rows: [AA-002], reason: '' }]", "have no reason");
    check(
        "[{ rows: [AA-002 and more], reason: x }]",
        "is no row and no range of rows",
    );
    check("[{ rows: [AA-002], why: x }]", "unknown field");
}
