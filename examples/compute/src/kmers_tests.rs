//! The k-mer counts of a real genome: by the module, in one task or in many, and by this program itself.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::outcome::Outcome;
use crate::sandbox::{Limits, run};
use crate::submit::{GENOME, KMERS};

const LIMITS: Limits = Limits {
    fuel: 1_000_000_000,
    memory: 4 * 1_024 * 1_024,
};

/// The same counts, by other means.
fn counted(fasta: &[u8]) -> String {
    let text = String::from_utf8(fasta.to_vec()).unwrap();
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    for sequence in text.split('>') {
        let bases: String = sequence.lines().skip(1).collect::<String>().to_uppercase();
        for part in bases.split(|base| !"ACGT".contains(base)) {
            for place in 0..part.len().saturating_sub(7) {
                *counts.entry(part[place..place + 8].to_owned()).or_default() += 1;
            }
        }
    }
    counts.into_iter().fold(String::new(), |mut all, (kmer, count)| {
        writeln!(all, "{kmer} {count}").unwrap();
        all
    })
}

fn by_module(input: &[u8], tasks: u32) -> Vec<u8> {
    let part = |task| match run(KMERS, input, (task, tasks), LIMITS, &|| true) {
        Some(Outcome::Done(result)) => result,
        other => panic!("{other:?}"),
    };
    (0..tasks).flat_map(part).collect()
}

#[test]
fn the_module_is_what_its_source_gives() {
    let source = include_str!("../data/kmers.wat");
    let made = wat::parse_str(source).unwrap();
    if std::env::var_os("MAILLE_WASM_WRITE").is_some() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/data/kmers.wasm"), &made).unwrap();
    } else {
        assert!(
            made == KMERS,
            "run this test with MAILLE_WASM_WRITE=1 and commit data/kmers.wasm"
        );
    }
}

#[test]
fn a_genomes_counts_are_the_same_in_any_number_of_tasks() {
    let alone = by_module(GENOME, 1);
    assert_eq!(String::from_utf8(alone.clone()).unwrap(), counted(GENOME));
    let lines = alone.split(|byte| *byte == b'\n').count();
    eprintln!("{} bytes of genome, {lines} different 8-mers", GENOME.len());
    assert!(lines > 10_000);
    for tasks in [2, 7, 64] {
        assert_eq!(by_module(GENOME, tasks), alone, "{tasks} tasks");
    }
}

#[test]
fn headers_and_unknown_bases_interrupt_and_ends_of_lines_do_not() {
    for fasta in [
        &b">x\nACGTAC\nGTACGT\n"[..],
        b">x ACGTACGT\nacgtacgtNacgtacgt\n>y\nACGTACG\n>z\nT\n",
        b">x\r\nACGTA\r\nCGTAAAAAAAAAAAAAAAAAAAA\r\n",
        b"",
    ] {
        assert_eq!(String::from_utf8(by_module(fasta, 3)).unwrap(), counted(fasta));
    }
}
