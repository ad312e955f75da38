//! What maille is built from: licences, bans and sources as deny.toml lists them, and what a library user does not get.

use std::process::Command;

use maille_tests::processes::workspace;

use crate::spdx;

/// Dependencies of the program that a user of the library has no use for. (What derives run while compiling is another matter:
/// prost's uses anyhow.)
const PROGRAM_ONLY: [&str; 5] = ["clap", "indicatif", "anyhow", "axum", "tracing-subscriber"];

/// What the simulator of whole nodes, a workspace of its own, is not to have from the main one: itself, and what it replaces.
const SIMULATOR_ONLY: [&str; 2] = ["nodesim", "futures-timer"];

/// A crate as the lock file or cargo describes it.
#[derive(Debug)]
struct Package {
    name: String,
    version: String,
    source: Option<String>,
    licence: Option<String>,
}

/// What deny.toml says.
#[derive(Debug)]
struct Policy {
    licences: Vec<String>,
    /// Names, and the version below which they are banned; all if none.
    bans: Vec<(String, Option<String>)>,
    registries: Vec<String>,
}

impl Policy {
    fn read() -> Self {
        Self::parse(&std::fs::read_to_string(workspace().join("deny.toml")).unwrap())
    }

    fn parse(text: &str) -> Self {
        let ban = |entry: &str| {
            let name = value(entry, "name").expect("a ban has a name");
            let version = value(entry, "version");
            let floor = version.map(|version| version.strip_prefix('<').expect("a ban is a floor").to_owned());
            (name, floor)
        };
        let bans = list(text, "bans", "deny");
        Self {
            licences: strings(&list(text, "licenses", "allow")),
            bans: bans.split('{').skip(1).map(ban).collect(),
            registries: strings(&list(text, "sources", "allow-registry")),
        }
    }
}

/// What stands between the brackets of `key = [ … ]` in a section, without comments.
fn list(text: &str, section: &str, key: &str) -> String {
    let uncommented: Vec<&str> = text
        .lines()
        .map(|line| line.split(" #").next().unwrap_or_default())
        .collect();
    let text = uncommented.join("\n");
    let section_start = text.find(&format!("[{section}]")).expect("the section is there");
    let body = &text[section_start + section.len() + 2..];
    let body = body.find("\n[").map_or(body, |end| &body[..end]);
    let key_start = body.find(&format!("\n{key} = [")).expect("the key is there");
    let rest = &body[key_start + key.len() + 5..];
    rest[..rest.find(']').expect("the list ends")].to_owned()
}

fn strings(list: &str) -> Vec<String> {
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

fn value(entry: &str, key: &str) -> Option<String> {
    let (_, rest) = entry.split_once(&format!("{key} = \""))?;
    Some(rest.split('"').next()?.to_owned())
}

fn version(text: &str) -> Vec<u64> {
    let plain = text.split(['-', '+']).next().unwrap_or_default();
    plain.split('.').map(|part| part.parse().unwrap()).collect()
}

fn banned(packages: &[Package], policy: &Policy) -> Vec<String> {
    let mut violations = Vec::new();
    for Package { name, version: has, .. } in packages {
        for (ban, floor) in policy.bans.iter().filter(|(ban, _)| ban == name) {
            match floor {
                Some(floor) if version(has) >= version(floor) => {}
                Some(floor) => violations.push(format!("{ban} {has} is older than {floor}")),
                None => violations.push(format!("{ban} {has} is banned")),
            }
        }
    }
    violations
}

fn from_elsewhere(packages: &[Package], policy: &Policy) -> Vec<String> {
    let known = |source: &String| {
        policy
            .registries
            .iter()
            .any(|known| *source == format!("registry+{known}"))
    };
    let strange = |package: &&Package| package.source.as_ref().is_some_and(|source| !known(source));
    packages
        .iter()
        .filter(strange)
        .map(|package| format!("{package:?} is not from a known registry"))
        .collect()
}

fn unlicensed(packages: &[Package], policy: &Policy) -> Vec<String> {
    let is_met = |package: &&Package| {
        package
            .licence
            .as_ref()
            .is_some_and(|licence| spdx::is_met(licence, &policy.licences))
    };
    let bad = packages.iter().filter(|package| !is_met(package));
    bad.map(|package| {
        format!(
            "{} {}: licence {:?} is not on the list",
            package.name, package.version, package.licence
        )
    })
    .collect()
}

/// Everything the lock file names, for all platforms.
fn locked() -> Vec<Package> {
    locked_in("Cargo.lock")
}

fn locked_in(file: &str) -> Vec<Package> {
    let text = std::fs::read_to_string(workspace().join(file)).unwrap();
    let package = |entry: &str| Package {
        name: value(entry, "name").unwrap(),
        version: value(entry, "version").unwrap(),
        source: value(entry, "source"),
        licence: None,
    };
    let packages: Vec<Package> = text.split("[[package]]").skip(1).map(package).collect();
    assert!(packages.len() > 100, "the lock file was not understood");
    packages
}

fn cargo(arguments: &[&str]) -> String {
    let run = |network: &[&str]| {
        Command::new(env!("CARGO"))
            .args(arguments)
            .args(network)
            .current_dir(workspace())
            .output()
            .unwrap()
    };
    // Everything was fetched to build this test; should cargo think otherwise, let it.
    let mut output = run(&["--offline"]);
    if !output.status.success() {
        output = run(&[]);
    }
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The platform that this test was built on.
fn host() -> String {
    let about = Command::new(env!("CARGO"))
        .args(["--version", "--verbose"])
        .output()
        .unwrap();
    let about = String::from_utf8(about.stdout).unwrap();
    about
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .unwrap()
        .to_owned()
}

/// Everything that is built here, with its licence.
fn built() -> Vec<Package> {
    let text = cargo(&[
        "metadata",
        "--format-version",
        "1",
        "--locked",
        "--filter-platform",
        &host(),
    ]);
    let metadata: serde_json::Value = serde_json::from_str(&text).unwrap();
    let words = |package: &serde_json::Value, key: &str| package[key].as_str().map(str::to_owned);
    let package = |package: &serde_json::Value| Package {
        name: words(package, "name").unwrap(),
        version: words(package, "version").unwrap(),
        source: words(package, "source"),
        licence: words(package, "license"),
    };
    let packages: Vec<Package> = metadata["packages"].as_array().unwrap().iter().map(package).collect();
    assert!(packages.len() > 100, "cargo's metadata was not understood");
    packages
}

#[test]
fn licences_are_on_the_list() {
    crate::assert_none(&unlicensed(&built(), &Policy::read()));
}

#[test]
fn nothing_banned_is_locked() {
    let packages = locked();
    for floor in ["yamux", "libp2p-gossipsub", "hickory-proto"] {
        assert!(
            packages.iter().any(|package| package.name == floor),
            "{floor} is a floor of nothing"
        );
    }
    crate::assert_none(&banned(&packages, &Policy::read()));
}

/// What is locked in another version, or not at all, in the workspace that it should follow.
fn astray(packages: &[Package], main: &[Package], own: &[&str]) -> Vec<String> {
    let follows = |package: &&Package| {
        own.contains(&package.name.as_str())
            || main
                .iter()
                .any(|known| known.name == package.name && known.version == package.version)
    };
    let bad = packages.iter().filter(|package| !follows(package));
    bad.map(|Package { name, version, .. }| format!("{name} {version} is not what Cargo.lock has"))
        .collect()
}

#[test]
fn the_simulator_is_built_from_the_same() {
    let simulator = locked_in("tests/nodesim/Cargo.lock");
    crate::assert_none(&astray(&simulator, &locked(), &SIMULATOR_ONLY));
}

#[test]
fn everything_comes_from_crates_io() {
    crate::assert_none(&from_elsewhere(&locked(), &Policy::read()));
}

#[test]
fn a_library_user_gets_nothing_of_the_program() {
    let tree = |more: &[&str]| {
        let arguments = [
            "tree",
            "-p",
            "maille",
            "-e",
            "normal,no-proc-macro",
            "--prefix",
            "none",
            "--locked",
            "--format",
            "{p}",
        ];
        cargo(&[&arguments, more].concat())
    };
    let has = |tree: &str, name: &str| tree.lines().any(|line| line.split(' ').next() == Some(name));
    let (library, program) = (tree(&["--no-default-features"]), tree(&[]));
    assert!(
        has(&library, "libp2p") && has(&program, "clap"),
        "the tree was not understood:\n{library}"
    );
    for name in PROGRAM_ONLY {
        assert!(!has(&library, name), "a library user gets {name}");
    }
}

#[test]
fn each_breach_is_found() {
    let policy = Policy::parse(
        "[licenses]\nallow = [\n    \"MIT\", # ours\n    \"ISC\",\n]\n[bans]\ndeny = [\n    { name = \"yamux\", version = \"<0.13.10\" },\n    \
         { name = \"openssl-sys\" }, # no\n]\n[sources]\nallow-registry = [\"https://known\"]\n",
    );
    assert_eq!(policy.licences, ["MIT", "ISC"]);
    let package = |name: &str, version: &str, source: Option<&str>, licence: Option<&str>| {
        [Package {
            name: name.to_owned(),
            version: version.to_owned(),
            source: source.map(str::to_owned),
            licence: licence.map(str::to_owned),
        }]
    };
    assert_eq!(banned(&package("yamux", "0.13.9", None, None), &policy).len(), 1);
    assert_eq!(banned(&package("yamux", "0.12.1", None, None), &policy).len(), 1);
    assert_eq!(banned(&package("yamux", "0.13.10", None, None), &policy).len(), 0);
    assert_eq!(banned(&package("yamux", "0.14.0", None, None), &policy).len(), 0);
    assert_eq!(banned(&package("openssl-sys", "0.9.1+x", None, None), &policy).len(), 1);
    assert_eq!(
        from_elsewhere(&package("a", "1.0.0", Some("git+https://known"), None), &policy).len(),
        1
    );
    assert_eq!(
        from_elsewhere(&package("a", "1.0.0", Some("registry+https://known"), None), &policy).len(),
        0
    );
    let (old, new) = (package("a", "1.0.0", None, None), package("a", "1.0.1", None, None));
    assert_eq!(astray(&old, &old, &[]).len(), 0);
    assert_eq!(astray(&new, &old, &[]).len(), 1);
    assert_eq!(astray(&new, &old, &["a"]).len(), 0);
    assert_eq!(
        unlicensed(&package("a", "1.0.0", None, Some("GPL-3.0")), &policy).len(),
        1
    );
    assert_eq!(unlicensed(&package("a", "1.0.0", None, None), &policy).len(), 1);
    assert_eq!(
        unlicensed(&package("a", "1.0.0", None, Some("MIT OR GPL-3.0")), &policy).len(),
        0
    );
    let policy = Policy::read();
    assert!(
        policy.licences.len() > 5 && policy.bans.len() > 3 && policy.registries.len() == 1,
        "{policy:?}"
    );
}
