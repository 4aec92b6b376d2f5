//! What no file says.

use std::path::Path;

use anyhow::Result;

use super::source::{self, Part};
use super::{files, none_of};

/// Code that is not finished, and tests that do not run.
const UNFINISHED: &[(&str, &str)] = &[
    ("todo !", "finish it"),
    ("unimplemented !", "finish it, or return an error"),
    (
        "# [ ignore",
        "assert what it does now, with a note, or remove the test",
    ),
];

#[test]
fn no_code_is_unfinished_and_no_test_is_left_out() -> Result<()> {
    let mut problems = Vec::new();
    for file in files::below("")?
        .iter()
        .filter(|file| file.extension().is_some_and(|extension| extension == "rs"))
    {
        let words = source::words(file, Part::Everything)?;
        for (sequence, advice) in UNFINISHED {
            for line in source::find(&words, sequence) {
                problems.push(format!(
                    "{}:{line}: {}: {advice}",
                    file.display(),
                    sequence.replace(' ', "")
                ));
            }
        }
    }
    none_of(&problems, "unfinished:")
}

/// Folders of one machine. In two parts, since this file is read, too.
const PRIVATE_FOLDERS: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/ho", "me/"),
    concat!("/ro", "ot/"),
    concat!("/Us", "ers/"),
    concat!("/t", "mp/"),
];

/// The last names of hosts that only one network knows.
const PRIVATE_NETWORKS: &[&str] = &["corp", "home", "intranet", "lan", "private"];

/// Written by tools.
const LOCKS: &[&str] = &["Cargo.lock", "go.sum"];

#[test]
fn nothing_refers_to_one_machine_or_one_network() -> Result<()> {
    let mut problems = Vec::new();
    for file in files::below("")? {
        if LOCKS.iter().any(|lock| file.ends_with(Path::new(lock))) {
            continue;
        }
        let Some(text) = files::text(&file)? else {
            continue;
        };
        for (number, line) in (1..).zip(text.lines()) {
            let folders = PRIVATE_FOLDERS
                .iter()
                .filter(|folder| names_folder(line, folder))
                .map(ToString::to_string);
            for found in folders.chain(private_hosts(line)) {
                problems.push(format!("{}:{number}: {found}", file.display()));
            }
        }
    }
    none_of(&problems, "what others do not have:")
}

/// Does a path in the line begin with the folder? In the middle of a path it is another one.
fn names_folder(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(start, _)| {
        let before = line
            .get(..start)
            .and_then(|before| before.chars().next_back());
        !before.is_some_and(|before| before.is_alphanumeric() || "._-})*/".contains(before))
    })
}

/// The hosts of URLs that only one network knows.
fn private_hosts(line: &str) -> Vec<String> {
    let urls = line.split("://").skip(1);
    let hosts = urls.filter_map(|rest| {
        let end = rest.find(|character: char| {
            !character.is_ascii_alphanumeric() && !".-@".contains(character)
        });
        rest.get(..end.unwrap_or(rest.len()))
    });
    let hosts = hosts.map(|host| {
        host.rsplit('@')
            .next()
            .unwrap_or(host)
            .trim_end_matches('.')
    });
    let private = hosts.filter(|host| {
        host.rsplit('.')
            .next()
            .is_some_and(|last| last != *host && PRIVATE_NETWORKS.contains(&last))
    });
    private.map(str::to_owned).collect()
}

#[test]
fn a_path_and_a_host_are_private_by_how_they_begin_and_end() {
    let work = PRIVATE_FOLDERS[0];
    for (line, expected) in [
        (format!("see {work}x"), true),
        (format!("\"{work}x\""), true),
        (format!("target{work}x"), false),
        (format!("https://example.com{work}x"), false),
    ] {
        assert_eq!(names_folder(&line, work), expected, "{line}");
    }
    for (line, expected) in [
        (
            concat!("https://mirror.example.co", "rp/simple"),
            &["mirror.example.corp"][..],
        ),
        (concat!("http://me@cache.l", "an:8080"), &["cache.lan"]),
        (
            "http://prometheus.monitoring.svc:9090 and https://example.com/corp",
            &[],
        ),
        ("http://lan/", &[]),
        ("no URL", &[]),
    ] {
        assert_eq!(private_hosts(line), expected, "{line}");
    }
}
