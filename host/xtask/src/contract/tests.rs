use std::fs;

use super::*;

fn files(files: &[(&str, &str)]) -> Files {
    let files = files.iter();
    files
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
        .collect()
}

const ONE: &str = "package sluice:plugin@0.1.0;\ninterface types {}\n";
const TWO: &str = "package sluice:plugin@0.2.0;\ninterface types {}\n";

#[test]
fn only_the_same_version_has_to_stay_the_same() {
    let steps = ("wit/step.wit", "interface step {}\n");
    let one = files(&[("wit/types.wit", ONE), steps]);
    let two = files(&[("wit/types.wit", TWO)]);
    let longer = files(&[
        ("wit/types.wit", ONE),
        ("wit/step.wit", "interface step { a: func(); }\n"),
    ]);
    let shorter = files(&[("wit/types.wit", ONE)]);
    let none = Files::new();
    for (now, then, expected) in [
        (&one, &one, &[][..]),
        (&two, &one, &[]),
        (&longer, &one, &["wit/step.wit"]),
        (&shorter, &one, &["wit/step.wit"]),
        (&one, &shorter, &["wit/step.wit"]),
        // A tag from before there was a contract.
        (&one, &none, &[]),
    ] {
        let found: Vec<String> = differences(now, then).into_iter().collect();
        assert_eq!(found, expected, "{now:?} after {then:?}");
    }
}

#[test]
fn a_tag_is_a_release() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let root = folder.path();
    fs::create_dir(root.join(FOLDER))?;
    fs::write(root.join("wit/types.wit"), ONE)?;
    fs::write(root.join("wit/README.md"), "early\n")?;
    git(root, &["init", "--quiet"])?;
    git(root, &["add", "."])?;
    let author = ["-c", "user.name=a", "-c", "user.email=a@example.com"];
    git(
        root,
        &[&author[..], &["commit", "--quiet", "--message", "release"]].concat(),
    )?;
    // Without a release anything may change.
    fs::write(root.join("wit/types.wit"), format!("{ONE}// more\n"))?;
    assert_eq!(edited(root)?, [""; 0]);
    git(root, &["tag", "v0.1.0"])?;
    assert_eq!(
        edited(root)?,
        ["wit/types.wit is not what v0.1.0 has, which released sluice:plugin@0.1.0"]
    );
    fs::write(root.join("wit/types.wit"), ONE)?;
    fs::write(root.join("wit/README.md"), "better\n")?;
    assert_eq!(edited(root)?, [""; 0]);
    fs::write(root.join("wit/types.wit"), TWO)?;
    assert_eq!(edited(root)?, [""; 0]);
    Ok(())
}
