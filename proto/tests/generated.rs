//! The committed Rust of the .proto files is what the .proto files say. `MAILLE_PROTO_WRITE=1` writes it.

use std::{collections::BTreeMap, env, fs, path::Path};

/// The packages are `maille.<name>.v1`, and their files `<name>.proto`.
const PACKAGES: [&str; 11] = [
    "admission",
    "blobs",
    "catchup",
    "control",
    "document",
    "frame",
    "leases",
    "lockstep",
    "peers",
    "requests",
    "ticket",
];

#[test]
fn generated_code_is_current() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let write = env::var_os("MAILLE_PROTO_WRITE").is_some_and(|value| value == "1");
    let generated = generate(root);
    assert_eq!(
        generated.len(),
        PACKAGES.len(),
        "a .proto file without a package of its own, or the reverse"
    );

    for (name, code) in generated {
        let path = root.join("src/generated").join(name).join("v1.rs");
        if write {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, code).unwrap();
            continue;
        }
        let committed = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == code,
            "{} is not what {name}.proto says: run `MAILLE_PROTO_WRITE=1 cargo test -p maille-proto --test generated` \
             and commit the result",
            path.display(),
        );
    }
}

fn generate(root: &Path) -> BTreeMap<&'static str, String> {
    let files = PACKAGES.map(|name| format!("{name}.proto"));
    let descriptors = protox::compile(files, [root]).unwrap();
    let modules = descriptors
        .file
        .iter()
        .map(|file| {
            (
                prost_build::Module::from_protobuf_package_name(file.package()),
                file.clone(),
            )
        })
        .collect();
    let code = prost_build::Config::new().generate(modules).unwrap();
    code.into_iter()
        .map(|(module, code)| {
            let name = *PACKAGES
                .iter()
                .find(|name| module.parts().any(|part| part == **name))
                .unwrap();
            (
                name,
                format!("//! The messages of `{name}.proto`. Generated: not to be edited.\n{code}"),
            )
        })
        .collect()
}
